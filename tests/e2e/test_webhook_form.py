"""Making and changing a webhook by the form."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.site import ELSEWHERE, Site
from tests.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Field, what is right, and mistakes with what is said of them.
WHILE_TYPING = (
    (
        "webhook-url",
        ELSEWHERE,
        (
            ("ftp://example.com/hook", "starts with https:// or http://"),
            ("http://10.1.2.3/hook", "10.1.2.3 is not a public address"),
            ("http://169.254.169.254/latest", "169.254.169.254 is not a public address"),
            ("https://ann:secret@example.com/", "user name or password"),
            ("https://exa mple.com/", "no spaces"),
        ),
    ),
    (
        "webhook-event-types",
        "invoice.*",
        (("invoice*", "a pattern is a type"), ("in..voice", "a pattern is a type")),
    ),
)
SNIPPETS = {
    "Python": "verify(",
    "Node": "verify(",
    "Go": "wh.Verify",
    "Ruby": ".verify(",
    "PHP": "->verify(",
    "Shell": "openssl",
}
ON_SAVING = (
    ("webhook-url", "", "Enter the URL"),
    ("webhook-headers", "Host: example.com", "set by NovaPulse"),
    ("webhook-headers", "no colon here", "Name: value"),
    ("webhook-headers", "X-Line: naïve", "printable ASCII"),
    ("webhook-event-types", "", "Enter at least one"),
    ("webhook-retry", "soon, later", "Must be seconds"),
    ("webhook-retry", "0, 99999999", "604800"),
    ("webhook-timeout-s", "31", "30"),
    ("webhook-timeout-s", "long", "Must be a number"),
    ("webhook-rate-limit", "-1", "greater than"),
    ("webhook-tenant", "a b", "match"),
    ("webhook-name", "n" * 300, "200"),
)


@pytest.fixture
def form(page: Page) -> Page:
    """The form for a new webhook, ready to be filled in."""
    page.goto("/webhooks/new")
    # The server fills in what is usual, when it has loaded the page's state.
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    return page


def error_of(test_id: str) -> str:
    """Where the form says what is wrong with a field."""
    return "error-" + test_id.removeprefix("webhook-").replace("-", "_")


def test_a_new_webhook_is_saved_as_typed(form: Page, site: Site, receiver: Receiver) -> None:
    name = site.name("made")
    form.get_by_test_id("webhook-url").fill(receiver.url("/made"))
    expect(form.get_by_text("This URL can be sent to.")).to_be_visible()
    form.get_by_test_id("webhook-name").fill(name)
    form.get_by_test_id("webhook-event-types").fill("invoice.*, user.created")
    form.get_by_test_id("webhook-rate-limit").fill("7.5")
    form.get_by_test_id("webhook-timeout-s").fill("4")
    form.get_by_test_id("webhook-tenant").fill("acme")
    form.get_by_test_id("webhook-retry").fill("0, 5, 3600")
    expect(form.get_by_text("+1 h")).to_be_visible()
    form.get_by_test_id("webhook-headers").fill("X-Team: billing\nX-Place: Graz")
    form.get_by_test_id("webhook-save").click()
    expect(form.get_by_test_id("webhook-open")).to_be_visible()
    (made,) = site.get("/webhooks", q=name)["data"]
    assert (made["url"], made["event_types"]) == (receiver.url("/made"), ["invoice.*", "user.created"])
    assert (made["rate_limit"], made["timeout_s"], made["tenant"]) == (7.5, 4, "acme")
    assert made["retry"]["schedule_s"] == [0, 5, 3600]
    assert set(made["headers"]) == {"X-Team", "X-Place"}


def test_the_secret_is_shown_once_with_code_that_verifies(form: Page, site: Site, receiver: Receiver) -> None:
    name = site.name("secret")
    form.get_by_test_id("webhook-url").fill(receiver.url())
    form.get_by_test_id("webhook-name").fill(name)
    form.get_by_test_id("webhook-save").click()
    secret = form.get_by_test_id("secret-value")
    (made,) = site.get("/webhooks", q=name)["data"]
    expect(secret).to_have_text(site.get(f"/webhooks/{made['id']}/secret")["secret"])
    form.get_by_role("button", name="Copy to the clipboard").first.click()
    expect(form.get_by_text("Copied").first).to_be_visible()
    assert form.evaluate("navigator.clipboard.readText()") == secret.inner_text()
    for language, sign in SNIPPETS.items():
        form.get_by_role("tab", name=language).click()
        expect(form.get_by_role("tabpanel")).to_contain_text(sign)
    form.reload()
    expect(form.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    expect(secret).to_have_count(0)


def test_what_is_wrong_is_said_at_the_field_while_typing(form: Page) -> None:
    for test_id, right, mistakes in WHILE_TYPING:
        field, error = form.get_by_test_id(test_id), form.get_by_test_id(error_of(test_id))
        for value, says in mistakes:
            field.fill(value)
            expect(error, value).to_contain_text(says)
            field.fill(right)
            expect(error, value).to_have_count(0)


def test_what_is_wrong_on_saving_is_said_at_the_field_and_nothing_is_made(form: Page, site: Site) -> None:
    form.get_by_test_id("webhook-name").fill(site.name("wrong"))
    form.get_by_test_id("webhook-url").fill(ELSEWHERE)
    for test_id, value, says in ON_SAVING:
        field, error = form.get_by_test_id(test_id), form.get_by_test_id(error_of(test_id))
        right = field.input_value()
        field.fill(value)
        form.get_by_test_id("webhook-save").click()
        expect(error, value).to_contain_text(says)
        expect(form.get_by_role("alert"), "one field is wrong").to_have_count(1)
        expect(field).to_have_value(value)
        field.fill(right)
        expect(error, value).to_have_count(0)
    assert site.get("/webhooks", q=site.mark)["data"] == []
    form.get_by_test_id("webhook-save").click()
    expect(form.get_by_test_id("webhook-open"), "now that all is right").to_be_visible()


def test_an_edit_changes_what_was_edited_and_keeps_the_rest(page: Page, site: Site, receiver: Receiver) -> None:
    made = site.webhook(receiver.url(), "order.*", headers={"Authorization": "Bearer kept"}, timeout_s=9)
    page.goto(f"/webhooks/{made['id']}/edit")
    name = page.get_by_test_id("webhook-name")
    expect(name).to_have_value(made["name"])
    expect(page.get_by_test_id("webhook-headers")).not_to_have_value("Authorization: Bearer kept")
    name.fill(site.name("changed"))
    changed = name.input_value()
    page.get_by_test_id("webhook-save").click()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}")
    expect(page.get_by_role("heading", name=changed)).to_be_visible()
    kept = ("url", "event_types", "headers", "timeout_s", "retry", "rate_limit", "tenant", "ordered", "status")
    now = site.get(f"/webhooks/{made['id']}")
    assert {key: now[key] for key in kept} == {key: made[key] for key in kept}
    site.post(f"/webhooks/{made['id']}/test")
    assert receiver.arrivals[-1].headers["authorization"] == "Bearer kept"


def test_a_wrong_edit_is_said_at_the_field_and_changes_nothing(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE)
    page.goto(f"/webhooks/{made['id']}/edit")
    url = page.get_by_test_id("webhook-url")
    expect(url).to_have_value(ELSEWHERE)
    url.fill("https://203.0.113.8/#part")
    page.get_by_test_id("webhook-save").click()
    expect(page.get_by_test_id("error-url")).to_contain_text("no #fragment")
    assert site.get(f"/webhooks/{made['id']}")["url"] == ELSEWHERE


def test_editing_what_does_not_exist_leads_to_the_list(page: Page, site: Site) -> None:
    page.goto(f"/webhooks/wh_{'0' * 32}/edit")
    expect(page).to_have_url(f"{site.url}/webhooks")
