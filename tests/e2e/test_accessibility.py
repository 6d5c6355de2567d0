"""axe-core finds no violation: on every page and in every state, in both themes, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, OpenPage
from tests.e2e.site import Site
from tests.e2e.watch import Watch
from tests.instance import Instance
from tests.receiver import Answer, Arrival, Receiver, receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
NEXT_FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
AXE = Axe()


def violations(page: Page, *sizes: tuple[int, int], within: str | None = None) -> list[str]:
    """What axe-core says of the page as it is, or of a part of it, in each theme and at each size."""
    found: list[str] = []
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        if page.locator("html.light, html.dark").count():  # the pages to sign in on have style sheets of their own
            expect(page.locator("html")).to_have_class(re.compile(rf"\b{theme}\b"))
        for width, height in sizes or (DESKTOP, PHONE):
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate(NEXT_FRAME)
            for violation in AXE.run(page, within).response["violations"]:
                for node in violation["nodes"]:
                    says = [each["message"] for kind in ("any", "all", "none") for each in node[kind]]
                    found.append(f"{theme} {width}: {violation['id']}: {node['html'][:200]}: {says}")
    return found


class House(NamedTuple):
    """Webhooks and deliveries of every kind."""

    site: Site
    main: str  # webhook with a delivery in each state that lasts
    disabled: str
    slow: str
    retrying: str  # delivery

    def sending(self) -> str:
        """A delivery that is being sent for as long as anybody looks; its event."""
        event = self.site.send("axe.slow")
        self.site.reaches(event, "sending")
        return event


def _answer(arrival: Arrival) -> Answer:
    if b"axe.slow" in arrival.body:
        return Answer(silent=True)
    if b"axe.gone" in arrival.body:
        return Answer(410)
    return Answer(500, body=b'{"error": "down"}') if b'"bad"' in arrival.body else Answer(body=b'{"ok": true}')


def _fill(site: Site, receiver: Receiver) -> House:
    never_again = {"schedule_s": [0, 3600]}
    main = site.webhook(receiver.url(), "axe.main", retry=never_again, tenant=None)["id"]
    disabled = site.webhook(receiver.url(), "axe.gone")["id"]
    slow = site.webhook(receiver.url(), "axe.slow", timeout_s=30, retry=never_again)["id"]
    site.webhook(receiver.url())  # idle
    site.send("axe.gone")
    site.reaches(site.send("axe.main", how="good"), "delivered")
    retrying, cancelled, failed = (site.send("axe.main", how="bad") for _ in range(3))
    for event in (retrying, cancelled, failed):
        site.reaches(event, "retrying")
    for event in (cancelled, failed):
        site.post(f"/deliveries/{site.delivery(event)['id']}/cancel")
    site.post(f"/deliveries/{site.delivery(failed)['id']}/retry")
    site.reaches(failed, "failed")
    site.client.patch(f"/webhooks/{main}", json={"status": "paused"}).raise_for_status()
    site.send("axe.main", how="later")
    return House(site, main, disabled, slow, site.delivery(retrying)["id"])


@pytest.fixture(scope="module")
def house(_running_site: Site, _is_within_reach: bool) -> Iterator[House]:
    """The instance with something of everything."""
    if not _is_within_reach:
        pytest.skip("the instance at E2E_BASE_URL cannot send to this machine's loopback addresses")
    # Of its own mark, so that it stays when what a test made is deleted.
    own = Site(_running_site.url, _running_site.email, _running_site.password)
    own.sign_in()
    with receiving(_answer) as receiver:
        key = own.post("/api-keys", {"name": own.name("key"), "scopes": ["events:write", "webhooks:read"]})
        yield _fill(own, receiver)
        own.client.delete(f"/api-keys/{key['id']}")
        own.clean()


class State(NamedTuple):
    """A page, what is done on it, and what is there once it may be judged."""

    name: str
    path: Callable[[House], str]
    shows: str  # a test id
    act: Callable[[Page], object] = lambda _: None
    sizes: tuple[tuple[int, int], ...] = (DESKTOP, PHONE)
    within: str | None = None  # the part that is judged


def _clicks(*test_ids: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        for test_id in test_ids:
            page.get_by_test_id(test_id).first.click()

    return act


def _main(query: str = "") -> Callable[[House], str]:
    return lambda house: f"/webhooks/{house.main}{query}"


def _at(path: str) -> Callable[[House], str]:
    return lambda _: path


def _send_test(data: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.get_by_test_id("test-open").click()
        expect(page.get_by_test_id("test-data")).not_to_have_value("")
        page.get_by_test_id("test-data").fill(data)
        page.get_by_test_id("test-send").click()

    return act


def _wrong_form(page: Page) -> None:
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    page.get_by_test_id("webhook-retry").fill("0, 60, 3600")
    page.get_by_test_id("type-*").uncheck()
    page.get_by_test_id("webhook-event-types").fill("axe.* in..voice")
    page.get_by_test_id("type-add").click()
    page.get_by_test_id("header-add").click()
    page.get_by_test_id("header-name").fill("Host")
    page.get_by_test_id("webhook-url").fill("ftp://example.com/")
    page.get_by_test_id("webhook-save").click()
    expect(page.get_by_test_id("error-headers")).to_be_visible()


def _make_webhook(page: Page) -> None:
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    page.get_by_test_id("webhook-url").fill("https://1.1.1.1/")
    page.get_by_test_id("type-*").uncheck()
    page.get_by_test_id("webhook-event-types").fill("axe.never")
    page.get_by_test_id("webhook-save").click()


def _search(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.get_by_test_id("palette-input").fill("web")


STATES = (
    State("overview", _at("/"), "feed-row"),
    State("user menu", _at("/"), "sign-out", _clicks("user-menu")),
    State("theme menu", _at("/"), "theme-dark", _clicks("theme-switch")),
    State("phone menu", _at("/"), "phone-nav", _clicks("phone-menu"), (PHONE,)),
    State("palette", _at("/webhooks"), "palette-item", _search),
    State("shortcuts", _at("/webhooks"), "shortcuts", lambda page: page.keyboard.press("?")),
    State("webhooks", _at("/webhooks"), "webhook-row"),
    State(
        "webhooks selected", _at("/webhooks"), "bulk-delete", lambda page: page.get_by_role("checkbox").first.click()
    ),
    State("webhooks none fits", _at("/webhooks?q=there-is-none"), "nothing-matches"),
    # An open listbox keeps the focus to itself until it is closed: what is hidden behind it cannot be reached. As
    # axe-core knows this of modal dialogs only, it is asked about the listbox alone.
    State("filter", _at("/webhooks"), "filter-status", _clicks("filter-status"), within="[role=listbox]"),
    State("new webhook", _at("/webhooks/new"), "error-url", _wrong_form),
    State("made webhook", _at("/webhooks/new"), "secret-value", _make_webhook),
    State("edit webhook", lambda house: f"/webhooks/{house.main}/edit", "webhook-save"),
    State("deliveries", _main(), "delivery-row"),
    State("disabled", lambda house: f"/webhooks/{house.disabled}", "webhook-disabled"),
    State("sending", lambda house: house.sending() and f"/webhooks/{house.slow}", "delivery-row"),
    State("attempts over time", _main("?tab=time"), "attempts-summary"),
    State("settings", _main("?tab=settings"), "settings-edit"),
    State("secret", _main("?tab=secret"), "secret-value", _clicks("secret-reveal")),
    State("rotate", _main("?tab=secret"), "secret-rotate-confirm", _clicks("secret-rotate")),
    State("delete", _main(), "confirm-delete", _clicks("webhook-delete")),
    State("delivery", lambda house: f"/webhooks/{house.main}?delivery={house.retrying}", "attempt"),
    State("test sent", _main(), "test-result", _send_test('{"how": "bad"}')),
    State("test refused", _main(), "test-problem", _send_test("{")),
    State("API keys", _at("/settings/api-keys"), "key-revoke"),
    State("new key", _at("/settings/api-keys"), "key-error", _clicks("key-create", "key-save")),
    State("revoke key", _at("/settings/api-keys"), "key-revoke-confirm", _clicks("key-revoke")),
)


def _find(page: Page, shows: str) -> Locator:
    """By test id, or by its beginning where an id follows."""
    return page.locator(f"[data-testid='{shows}'], [data-testid^='{shows}-']").first


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_no_violation(page: Page, house: House, state: State) -> None:
    width, height = state.sizes[0]
    page.set_viewport_size({"width": width, "height": height})
    page.goto(state.path(house))
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    state.act(page)
    expect(_find(page, state.shows)).to_be_visible()
    assert violations(page, *state.sizes, within=state.within) == []


def test_no_violation_where_one_signs_in(open_page: OpenPage, site: Site) -> None:
    page = open_page(site.url)
    page.goto("/login")
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_test_id("login-error")).to_be_visible()
    assert violations(page) == []


def test_no_violation_on_an_empty_instance(new_instance: Callable[..., Instance], open_page: OpenPage) -> None:
    instance = new_instance()
    watch = Watch(instance.url)
    page = open_page(instance.url, watch=watch)
    page.goto("/login")
    assert violations(page) == []
    page.goto(instance.setup_link() or "")
    assert violations(page) == []
    page.get_by_test_id("setup-email").fill("grace@example.com")
    page.get_by_test_id("setup-password").fill("a compiler of many words 9")
    page.get_by_test_id("setup-submit").click()
    expect(page.get_by_test_id("checklist")).to_be_visible()
    expect(page.get_by_test_id("stat-delivered")).to_have_text("0")
    assert violations(page) == []
    for path, says in (("/webhooks", "No webhooks yet"), ("/settings/api-keys", "No API keys yet")):
        page.goto(path)
        expect(page.get_by_role("heading", name=says)).to_be_visible()
        assert violations(page) == []
