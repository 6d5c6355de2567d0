"""Making a webhook by the form."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PHONE
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
            ("http://10.1.2.3/hook", "10.1.2.3 is not a public address (private)"),
            ("http://169.254.169.254/latest", "169.254.169.254 is not a public address"),
            ("https://ann:secret@example.com/", "user name or password"),
            ("https://exa mple.com/", "no spaces"),
        ),
    ),
    ("webhook-event-types", "invoice.*", (("invoice*", "a pattern is a type"), ("in..voice", "a pattern is a type"))),
    ("webhook-retry", "5 s, 1 h", (("5 s, soon", "Must be waits such as"), ("8 d", "more than 7 d"))),
)
SNIPPETS = {
    "python": "webhook.verify(",
    "node": "webhook.verify(",
    "go": "webhook.Verify(",
    "ruby": "WEBHOOK.verify(",
    "php": "->verify(",
    "curl": "openssl dgst",
}
ON_SAVING = (
    ("webhook-url", "", "Enter the URL"),
    ("webhook-retry", "soon, later", "Must be waits"),
    ("webhook-timeout-s", "31", "Must be at most 30."),
    ("webhook-timeout-s", "long", "Must be a number"),
    ("webhook-rate-limit", "-1", "Must be at least 0.001."),
    ("webhook-tenant", "a b", "Must be letters, digits and"),
    ("webhook-name", "n" * 300, "Must have at most 200 characters."),
    ("webhook-description", "d" * 2_001, "2000"),
)
HEADERS_ON_SAVING = (
    ("Host", "example.com", "set by NovaPulse"),
    ("", "no name", "needs a name"),
    ("X-Line", "naïve", "printable ASCII"),
)


@pytest.fixture
def form(page: Page) -> Page:
    """The form for a new webhook, ready to be filled in."""
    page.goto("/webhooks/new")
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    return page


def error_of(test_id: str) -> str:
    """Where the form says what is wrong with a field."""
    return "error-" + test_id.removeprefix("webhook-").replace("-", "_")


def add_header(page: Page, name: str, value: str) -> None:
    """Fill in one more row of headers."""
    page.get_by_test_id("header-add").click()
    expect(page.get_by_test_id("header-name").last).to_be_focused()
    page.get_by_test_id("header-name").last.fill(name)
    page.get_by_test_id("header-value").last.fill(value)


def save(page: Page) -> None:
    """Press the button."""
    page.get_by_test_id("webhook-save").click()


def found(site: Site, name: str) -> dict[str, Any]:
    """The one webhook of this name."""
    (webhook,) = site.get("/webhooks", q=name)["data"]
    return webhook


def test_a_new_webhook_is_saved_as_typed(form: Page, site: Site, receiver: Receiver) -> None:
    name = site.name("made")
    form.get_by_test_id("webhook-url").fill(receiver.url("/made"))
    form.get_by_test_id("webhook-name").fill(name)
    form.get_by_test_id("webhook-description").fill("One line,\nand another.")
    form.get_by_test_id("type-*").uncheck()
    form.get_by_test_id("webhook-event-types").fill("invoice.*, user.created")
    form.get_by_test_id("webhook-rate-limit").fill("7.5")
    form.get_by_test_id("webhook-timeout-s").fill("4")
    form.get_by_test_id("webhook-tenant").fill("acme")
    form.get_by_test_id("webhook-retry").fill("5, 1 h")
    form.get_by_test_id("webhook-ordered").click()
    add_header(form, "X-Team", "billing")
    add_header(form, "Authorization", "Bearer typed")
    save(form)
    expect(form.get_by_test_id("webhook-made")).to_be_visible()
    made = found(site, name)
    assert (made["url"], made["event_types"]) == (receiver.url("/made"), ["invoice.*", "user.created"])
    assert (made["rate_limit"], made["timeout_s"], made["tenant"]) == (7.5, 4, "acme")
    assert (made["retry"]["schedule_s"], made["ordered"]) == ([0, 5, 3600], True)
    assert made["description"] == "One line,\nand another."
    site.post(f"/webhooks/{made['id']}/test")
    sent = receiver.arrivals[-1].headers
    assert (sent["x-team"], sent["authorization"]) == ("billing", "Bearer typed")


def test_what_is_left_as_it_was_is_the_default(form: Page, site: Site) -> None:
    name = site.name("plain")
    form.get_by_test_id("webhook-url").fill(f"  {ELSEWHERE} ")
    form.get_by_test_id("webhook-name").fill(name)
    save(form)
    expect(form.get_by_test_id("webhook-made")).to_be_visible()
    by_api = site.webhook(ELSEWHERE, "*")
    made = found(site, name)
    assert {key for key in made if made[key] != by_api[key]} <= {"id", "name", "created_at", "updated_at"}


def test_the_secret_is_shown_once_with_code_that_verifies(form: Page, site: Site) -> None:
    name = site.name("secret")
    form.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})  # the button is far below where the secret will be
    form.get_by_test_id("webhook-url").fill(ELSEWHERE)
    form.get_by_test_id("webhook-name").fill(name)
    save(form)
    secret = form.get_by_test_id("secret-value")
    expect(secret).to_be_in_viewport()
    expect(form.locator("#content")).to_be_focused()
    expect(secret).to_have_text(site.get(f"/webhooks/{found(site, name)['id']}/secret")["secret"])
    form.get_by_role("button", name="Copy to the clipboard").first.click()
    expect(form.get_by_text("Copied").first).to_be_visible()
    assert form.evaluate("navigator.clipboard.readText()") == secret.inner_text()
    for language, sign in SNIPPETS.items():
        form.get_by_test_id(f"verify-{language}").click()
        code = form.get_by_role("tabpanel").locator("pre")
        expect(code).to_contain_text(sign)
        form.get_by_role("tabpanel").get_by_role("button", name="Copy to the clipboard").click()
        assert form.evaluate("navigator.clipboard.readText()") == code.text_content()
    form.reload()
    expect(form.get_by_test_id("webhook-url")).to_have_value("")
    expect(secret).to_have_count(0)


def test_a_webhook_is_made_once_however_often_it_is_asked_for(form: Page, site: Site) -> None:
    name = site.name("once")
    form.get_by_test_id("webhook-url").fill(ELSEWHERE)
    form.get_by_test_id("webhook-name").fill(name)
    form.get_by_test_id("webhook-save").dblclick()
    expect(form.get_by_test_id("webhook-made")).to_be_visible()
    form.get_by_test_id("webhook-open").click()
    expect(form.get_by_role("heading", name=name)).to_be_visible()
    found(site, name)


def test_what_is_wrong_is_said_at_the_field_while_typing(form: Page) -> None:
    for test_id, right, mistakes in WHILE_TYPING:
        field, error = form.get_by_test_id(test_id), form.get_by_test_id(error_of(test_id))
        for value, says in mistakes:
            field.fill(value)
            expect(error, value).to_contain_text(says)
            expect(field).to_have_attribute("aria-invalid", "true")
            field.fill(right)
            expect(error, value).to_have_count(0)
            expect(field).to_have_attribute("aria-invalid", "false")


def test_a_url_that_may_be_sent_to_is_confirmed_without_sending(form: Page, receiver: Receiver) -> None:
    verdict = form.get_by_test_id("url-verdict")
    expect(verdict).to_have_attribute("data-verdict", "")
    form.get_by_test_id("webhook-url").fill(receiver.url("/typed"))
    expect(verdict).to_have_attribute("data-verdict", "fine")
    expect(verdict).to_contain_text("They go unencrypted")
    form.get_by_test_id("webhook-url").fill(ELSEWHERE)
    expect(verdict).to_have_text("Deliveries may go here.")
    form.get_by_test_id("webhook-url").fill("https:/")
    expect(verdict, "too early to say anything").to_have_attribute("data-verdict", "")
    assert receiver.arrivals == []


def test_a_name_without_an_address_is_told_and_can_be_saved(form: Page, site: Site) -> None:
    name = site.name("later")
    form.get_by_test_id("webhook-name").fill(name)
    form.get_by_test_id("webhook-url").fill("https://there-is-none.invalid/hook")
    verdict = form.get_by_test_id("url-verdict")
    expect(verdict).to_have_attribute("data-verdict", "unsure")
    expect(verdict).to_contain_text("No address of there-is-none.invalid can be looked up")
    save(form)
    expect(form.get_by_test_id("webhook-made")).to_be_visible()
    assert found(site, name)["url"] == "https://there-is-none.invalid/hook"


def test_what_is_wrong_on_saving_is_said_at_the_field_and_nothing_is_made(form: Page, site: Site) -> None:
    form.get_by_test_id("webhook-name").fill(site.name("wrong"))
    form.get_by_test_id("webhook-url").fill(ELSEWHERE)
    for test_id, value, says in ON_SAVING:
        field, error = form.get_by_test_id(test_id), form.get_by_test_id(error_of(test_id))
        right = field.input_value()
        field.fill(value)
        save(form)
        expect(error, value).to_contain_text(says)
        expect(field, "the keyboard goes on there").to_be_focused()
        expect(form.locator("[data-testid^=error-]"), "one field is wrong").to_have_count(1)
        expect(field).to_have_value(value)
        field.fill(right)
        expect(error, value).to_have_count(0)
    for name, value, says in HEADERS_ON_SAVING:
        add_header(form, name, value)
        save(form)
        expect(form.get_by_test_id("error-headers")).to_contain_text(says)
        form.get_by_test_id("header-remove").click()
        expect(form.get_by_test_id("error-headers")).to_have_count(0)
    assert site.get("/webhooks", q=site.mark)["data"] == []
    save(form)
    expect(form.get_by_test_id("webhook-open"), "now that all is right").to_be_visible()


def test_all_that_is_wrong_is_said_at_once(form: Page) -> None:
    form.get_by_test_id("type-*").uncheck()
    form.get_by_test_id("webhook-retry").fill("soon")
    form.get_by_test_id("webhook-timeout-s").fill("31")
    save(form)
    for name in ("url", "event_types", "retry", "timeout_s"):
        expect(form.get_by_test_id(f"error-{name}")).to_be_visible()
    expect(form.get_by_test_id("webhook-url")).to_be_focused()


def test_the_retry_schedule_is_drawn_while_it_is_typed(form: Page, site: Site) -> None:
    steps, total = form.get_by_test_id("retry-step"), form.get_by_test_id("retry-total")
    expect(steps).to_have_count(8)
    expect(total).to_have_text("8 attempts; gives up after about 1 d 3 h.")
    expect(form.get_by_test_id("retry-default")).to_have_attribute("aria-pressed", "true")
    form.get_by_test_id("webhook-retry").fill("5 s, 5 min, 1 d")
    expect(steps).to_have_text(["1at once", "2+5 s", "3+5 min", "4+1 d"])
    widths = [box["width"] for box in (step.bounding_box() for step in steps.all()) if box]
    assert widths[0] < widths[1] < widths[2], "a longer wait is a longer line"
    expect(total).to_have_text("4 attempts; gives up after about 1 d 5 min.")
    expect(form.get_by_test_id("retry-default")).to_have_attribute("aria-pressed", "false")
    form.get_by_test_id("webhook-retry").fill("5 s, 5 mi")
    expect(form.get_by_test_id("error-retry")).to_be_visible()
    expect(steps, "as it was understood last").to_have_count(4)
    form.get_by_test_id("retry-once").click()
    expect(form.get_by_test_id("error-retry")).to_have_count(0)
    expect(form.get_by_test_id("retry-once")).to_have_attribute("aria-pressed", "true")
    expect(total).to_have_text("One attempt: what fails is not tried again.")
    name = site.name("preset")
    form.get_by_test_id("retry-quick").click()
    expect(form.get_by_test_id("webhook-retry")).to_have_value("5 s, 30 s, 2 min, 10 min")
    expect(steps).to_have_count(5)
    form.get_by_test_id("webhook-url").fill(ELSEWHERE)
    form.get_by_test_id("webhook-name").fill(name)
    save(form)
    expect(form.get_by_test_id("webhook-made")).to_be_visible()
    assert found(site, name)["retry"]["schedule_s"] == [0, 5, 30, 120, 600]


def test_tenants_that_exist_are_suggested(page: Page, site: Site) -> None:
    tenant = site.name("tenant").replace(" ", "-")
    site.webhook(ELSEWHERE, tenant=tenant)
    page.goto("/webhooks/new")
    expect(page.get_by_test_id("webhook-tenant")).to_have_attribute("list", "tenants")
    expect(page.locator(f"datalist#tenants option[value='{tenant}']")).to_have_count(1)
