"""What is on the screen is what is so: at once, for everybody who looks, and after the server was away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.site import EMAIL, PASSWORD, Site
from tests.e2e.watch import Watch
from tests.instance import Instance
from tests.receiver import Answer, Receiver, receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WITHIN_S = 3.0  # the product promises 1 s; a busy machine that tests is not a fault
AWAY = "WebSocket|ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|INTERNET_DISCONNECTED|SOCKET_NOT_CONNECTED)"


def _row(page: Page, delivery: dict[str, str]) -> Locator:
    return page.get_by_test_id(f"delivery-row-{delivery['id']}")


def _indicator(page: Page, state: str) -> None:
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", state)


def test_an_event_is_on_the_screen_within_a_second(page: Page, site: Site, receiver: Receiver) -> None:
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_)
    key = site.post("/api-keys", {"name": site.name("key"), "scopes": ["events:write"]})
    page.goto(f"/webhooks/{made['id']}")
    expect(page.get_by_test_id("empty")).to_be_visible()
    _indicator(page, "live")
    page.evaluate("window.sinceItWasLoaded = true")
    took: list[float] = []
    with httpx.Client(headers={"Authorization": f"Bearer {key['key']}"}, trust_env=False) as program:
        for count in range(1, 4):
            answer = program.post(f"{site.url}/api/v1/events", json={"type": type_, "data": {"n": count}})
            began = time.monotonic()
            assert answer.status_code == 202
            page.locator("[data-testid^=delivery-row-]").nth(count - 1).wait_for()
            took.append(time.monotonic() - began)
            expect(page.locator("[data-status=delivered][data-testid]")).to_have_count(count)
    site.client.delete(f"/api-keys/{key['id']}").raise_for_status()
    print("on the screen after", ", ".join(f"{each * 1000:.0f} ms" for each in took))
    assert max(took) < WITHIN_S
    assert page.evaluate("window.sinceItWasLoaded")


def test_two_browsers_show_the_same(page: Page, site: Site, receiver: Receiver, signed_in: Callable[..., Page]) -> None:
    receiver.rule = lambda arrival: Answer(500 if b"bad" in arrival.body else 200)
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_, retry={"schedule_s": [0, 3600]})
    other, overview = signed_in(), signed_in()
    for each in (page, other):
        each.goto(f"/webhooks/{made['id']}")
        expect(each.get_by_test_id("empty")).to_be_visible()
    overview.goto("/")
    _indicator(overview, "live")
    good = site.reaches(site.send(type_, how="good"), "delivered")
    bad = site.reaches(site.send(type_, how="bad"), "retrying")
    for each in (page, other):
        expect(_row(each, good)).to_have_attribute("data-status", "delivered")
        expect(_row(each, bad)).to_have_attribute("data-status", "retrying")
        expect(each.get_by_test_id("webhook-delivered")).to_have_text("1")
    expect(overview.get_by_test_id("feed-row").filter(has_text=type_)).to_have_count(2)
    _row(page, bad).get_by_role("button").click()
    page.get_by_test_id("delivery-cancel").click()
    expect(_row(other, bad)).to_have_attribute("data-status", "cancelled")


def test_one_delivery_in_a_crowd_is_not_missed(page: Page, site: Site, receiver: Receiver) -> None:
    one, many = site.event_type("one"), site.event_type("many")
    made, _ = site.webhook(receiver.url(), one), site.webhook(receiver.url(), many)
    page.goto(f"/webhooks/{made['id']}")
    expect(page.get_by_test_id("empty")).to_be_visible()
    crowd = [{"type": many, "data": {"n": n}} for n in range(400)]
    site.post("/events/batch", {"events": [{"type": one, "data": {}}, *crowd]})
    expect(page.locator("[data-testid^=delivery-row-]")).to_have_attribute("data-status", "delivered")


@pytest.fixture
def own(new_instance: Callable[..., Instance]) -> Site:
    """A NovaPulse that may be stopped."""
    instance = new_instance(admin_email=EMAIL, admin_password=PASSWORD)
    site = Site(instance.url, EMAIL, PASSWORD, instance)
    site.sign_in()
    return site


def test_a_page_outlives_a_restart_and_catches_up(own: Site, open_page: OpenPage) -> None:
    watch = Watch(own.url)
    watch.allow(AWAY)
    page = open_page(own.url, cookies=own.cookies(), watch=watch)
    with receiving(lambda _: Answer(500)) as receiver:
        made = own.webhook(receiver.url(), "e2e.restart", retry={"schedule_s": [0, *[1] * 15]})
        page.goto(f"/webhooks/{made['id']}")
        expect(page.get_by_test_id("empty")).to_be_visible()
        page.evaluate("window.sinceItWasLoaded = true")
        first = own.delivery(own.send("e2e.restart"))
        expect(_row(page, first)).to_have_attribute("data-status", "retrying")
        assert own.instance is not None
        own.instance.stop()
        _indicator(page, "reconnecting")
        expect(page.get_by_role("status").get_by_text("Reconnecting by itself")).to_be_visible()
        expect(page.get_by_test_id("live-indicator")).to_contain_text("as of")
        expect(_row(page, first), "what was there stays").to_be_visible()
        page.context.set_offline(True)  # so that it cannot be back before something has happened
        own.instance.start()
        receiver.rule = lambda _: Answer(200)
        own.reaches(first["event_id"], "delivered")
        second = own.reaches(own.send("e2e.restart"), "delivered")
        page.context.set_offline(False)
        _indicator(page, "live")
        for delivery in (first, second):
            expect(_row(page, delivery)).to_have_attribute("data-status", "delivered")
        third = own.delivery(own.send("e2e.restart"))
        expect(_row(page, third), "and it goes on").to_have_attribute("data-status", "delivered")
    assert page.evaluate("window.sinceItWasLoaded"), "without loading anew"


@pytest.fixture
def viewer(site: Site) -> Iterator[Site]:
    """The same instance as somebody sees it who may only look."""
    email = f"{site.mark}-{time.monotonic_ns()}@example.com"
    user = site.post("/users", {"email": email, "password": PASSWORD, "role": "viewer"})
    seen = Site(site.url, email, PASSWORD)
    seen.sign_in()
    yield seen
    site.client.patch(f"/users/{user['id']}", json={"active": False}).raise_for_status()


def test_a_viewer_sees_all_and_changes_nothing(
    site: Site, viewer: Site, receiver: Receiver, open_page: OpenPage, watch: Watch
) -> None:
    receiver.rule = lambda _: Answer(500)
    watch.allow(r"\b403\b")  # the secret is refused by the API
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_, retry={"schedule_s": [0, 3600]})
    delivery = site.reaches(site.send(type_), "retrying")
    page = open_page(site.url, cookies=viewer.cookies(), watch=watch)
    page.goto("/webhooks")
    page.get_by_test_id(f"webhook-row-{made['id']}").get_by_role("link").click()
    _row(page, delivery).get_by_role("button").click()
    expect(page.get_by_test_id("attempt")).to_contain_text("Answered 500.")
    here = f"/webhooks/{made['id']}"
    for path, act in (
        (f"{here}?delivery={delivery['id']}", "delivery-retry"),
        (f"{here}?delivery={delivery['id']}", "delivery-cancel"),
        (here, "webhook-pause"),
        (here, "test-open"),
    ):
        page.goto(path)
        page.get_by_test_id(act).click()
        expect(page.get_by_text("You are not allowed to do this."), act).to_be_visible()
    page.goto(f"{here}/edit")
    expect(page.get_by_test_id("webhook-name")).to_have_value(made["name"])
    expect(page.get_by_test_id("webhook-save")).to_be_disabled()
    page.goto(here)
    page.get_by_test_id("webhook-delete").click()
    page.get_by_test_id("confirm-name").press_sequentially(made["name"])
    expect(page.get_by_test_id("confirm-delete")).to_be_disabled()
    page.goto(f"{here}?tab=secret")
    page.get_by_test_id("secret-reveal").click()
    expect(page.get_by_role("alert")).to_contain_text("webhooks:secret")
    page.goto("/settings/api-keys")
    expect(page.get_by_role("heading", name="Only admins see API keys")).to_be_visible()
    expect(page.get_by_test_id("key-create")).to_have_count(0)
    assert site.get(here)["updated_at"] == made["updated_at"]
    assert site.delivery(delivery["event_id"])["attempt_count"] == 1
