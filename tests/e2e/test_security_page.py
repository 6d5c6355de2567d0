"""`/settings/security` in a browser: trying one's factors, passkeys, password and address, and how all that looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.account import Account, client_of, new_account, type_in
from tests.e2e.conftest import DESKTOP, PHONE, OpenPage
from tests.e2e.site import EMAIL, PASSWORD, Site, wait_until
from tests.e2e.test_accessibility import violations
from tests.e2e.test_passkeys import Authenticator
from tests.e2e.watch import Watch
from tests.instance import Instance
from tests.postoffice import opened

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SECURITY = "/settings/security"
NARROW = (360, 740)


@pytest.fixture
def account(site: Site) -> Account:
    """Somebody with a password alone."""
    return new_account(site)


@pytest.fixture
def watch(site: Site) -> Watch:
    """What holds the pages of these tests to account."""
    return Watch(site.url)


@pytest.fixture
def page(open_page: OpenPage, account: Account, watch: Watch) -> Page:
    """A page of theirs."""
    return open_page(account.site.url, cookies=account.cookies(), watch=watch)


def test_the_drill_proves_both_and_uses_nothing_up(page: Page, account: Account, watch: Watch) -> None:
    watch.allow(r"\b422\b")
    codes = account.enrol()
    page.goto(SECURITY)
    page.get_by_test_id("drill-open").click()
    expect(page.get_by_test_id("drill-code")).to_be_focused()
    type_in(page, account.phone.wrong())
    expect(page.get_by_test_id("drill-problem")).to_contain_text("This code is wrong.")
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("drill-totp")).to_have_attribute("data-proven", "true")
    expect(page.get_by_test_id("drill-totp")).to_contain_text("“Phone” works")
    expect(page.get_by_test_id("drill-recovery")).to_be_focused()
    type_in(page, codes[2])
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("drill-recovery_code")).to_have_attribute("data-proven", "true")
    expect(page.get_by_test_id("drill-done")).to_contain_text("Both work.")
    page.get_by_test_id("drill-close").click()
    expect(page.get_by_test_id("apps")).to_contain_text(re.compile(r"last proven (now|\d+ s ago)"))
    expect(page.get_by_test_id("codes")).to_contain_text(
        re.compile(r"10 of 10 left.*last proven (now|\d+ s ago)", re.DOTALL)
    )


def test_an_authenticator_is_added_named_and_removed(page: Page, account: Account) -> None:
    account.enrol()
    page.goto(SECURITY)
    expect(page.get_by_test_id("app-remove")).to_have_count(0)  # the last one goes by turning it off
    page.get_by_test_id("app-add").click()
    page.get_by_test_id("app-add-name").fill("Tablet")
    page.get_by_test_id("app-add-save").click()
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    account.phone.scan(page)
    page.get_by_test_id("enrol-next").click()
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("enrol-on")).to_contain_text("The app is added")
    page.get_by_test_id("enrol-done").click()
    expect(page.get_by_test_id("mfa-sentence")).to_contain_text("2 authenticator apps")
    page.get_by_role("button", name="Rename Tablet").click()
    page.get_by_test_id("app-rename-name").fill(" ")
    page.get_by_test_id("app-rename-save").click()
    expect(page.get_by_test_id("app-rename-error")).to_have_text("A name tells them apart.")
    page.get_by_test_id("app-rename-name").fill("Old tablet")
    page.get_by_test_id("app-rename-save").click()
    expect(page.get_by_test_id("apps")).to_contain_text("Old tablet")
    page.get_by_role("button", name="Remove Old tablet").click()
    page.get_by_test_id("app-remove-confirm").click()
    expect(page.get_by_test_id("apps")).not_to_contain_text("Old tablet")
    assert [app["name"] for app in account.call("GET", "/security/mfa")["authenticators"]] == ["Phone"]


def test_few_codes_left_are_warned_of_and_made_anew(page: Page, account: Account) -> None:
    codes = account.enrol()
    for code in codes[:7]:
        body = {"email": account.email, "password": account.password}
        challenge = account.client.post("/auth/login", json=body).json()["challenge"]
        account.client.post("/auth/mfa/verify", json={"challenge": challenge, "code": code}).raise_for_status()
    page.context.add_cookies(account.cookies())  # type: ignore[arg-type]
    page.goto(SECURITY)
    expect(page.get_by_test_id("mfa-sentence")).to_contain_text("3 recovery codes left")
    expect(page.get_by_test_id("codes-warning")).to_contain_text("Only 3 recovery codes are left.")
    page.get_by_test_id("codes-warning").get_by_role("button", name="Make new codes").click()
    expect(page.get_by_test_id("recovery-codes").locator("code")).to_have_count(10)
    page.get_by_test_id("codes-later").click()
    expect(page.get_by_test_id("codes-warning")).to_contain_text("not shown yet that you saved")
    page.get_by_test_id("codes-warning").get_by_role("button", name="I have them").click()
    page.get_by_test_id("codes-ticked").click()
    page.get_by_test_id("codes-finish").click()
    expect(page.get_by_test_id("codes-warning")).to_have_count(0)


def test_a_passkey_is_added_with_codes_for_when_it_is_lost(open_page: OpenPage, account: Account) -> None:
    origin = account.site.url.replace("127.0.0.1", "localhost")
    cookies = [cookie | {"url": origin} for cookie in account.cookies()]
    watch = Watch(origin)
    watch.allow(r"\b403\b")  # until it is confirmed who turns it off
    page = open_page(origin, cookies=cookies, watch=watch)
    page.goto(SECURITY)
    key = Authenticator(page)
    page.get_by_test_id("passkey-add").click()
    page.get_by_test_id("passkey-add-name").fill("Blue key")
    page.get_by_test_id("passkey-add-save").click()
    expect(page.get_by_test_id("recovery-codes").locator("code")).to_have_count(10)
    page.get_by_test_id("codes-ticked").click()
    page.get_by_test_id("codes-finish").click()
    expect(page.get_by_test_id("mfa-sentence")).to_contain_text("a passkey, 10 recovery codes left")
    assert len(key.credentials()) == 1
    expect(page.get_by_test_id("passkey-remove")).to_have_count(0)
    account.let_proof_expire()
    page.get_by_test_id("mfa-off").click()
    page.get_by_test_id("mfa-off-confirm").click()
    page.get_by_test_id("reauth-passkey").click()
    expect(page.get_by_test_id("mfa-sentence")).to_contain_text("Off")


def test_the_password_is_changed(page: Page, account: Account, watch: Watch) -> None:
    watch.allow(r"\b(401|422)\b")
    other = new_session(account)
    page.goto(SECURITY)
    page.get_by_test_id("password-new").fill("aaaaaaaaaaaaaaaaaaaa")
    expect(page.get_by_test_id("password-strength")).to_have_attribute("data-score", re.compile("[01]"))
    expect(page.get_by_test_id("password-strength").get_by_role("status")).not_to_have_text("")
    fresh = "seven hats beneath the quiet moon"
    page.get_by_test_id("password-new").fill(fresh)
    expect(page.get_by_test_id("password-strength")).to_have_attribute("data-score", re.compile("[34]"))
    expect(page.get_by_test_id("password-new")).to_have_attribute("type", "password")
    page.get_by_role("button", name="Show the passwords").click()
    expect(page.get_by_test_id("password-new")).to_have_attribute("type", "text")
    page.get_by_test_id("password-current").fill("not this one at all")
    page.get_by_test_id("password-save").click()
    expect(
        page.locator("#password .np-refusal:not(:empty), [data-testid=password] .np-refusal:not(:empty)")
    ).to_be_visible()
    page.get_by_test_id("password-current").fill(account.password)
    page.get_by_test_id("password-save").click()
    expect(page.locator("[data-sonner-toast]")).to_contain_text("Your password is changed.")
    expect(page.get_by_test_id("password-new")).to_have_value("")
    assert other("/auth/me") == 401, "all other sessions have ended"
    account.password = fresh
    account.sign_in()


def test_the_new_address_is_written_to(new_instance: Callable[..., Instance], open_page: OpenPage) -> None:
    with opened() as office:
        instance = new_instance(admin_email=EMAIL, admin_password=PASSWORD, smtp_url=office.url())
        site = Site(instance.url, EMAIL, PASSWORD, instance)
        site.sign_in()
        page = open_page(site.url, cookies=site.cookies())
        page.goto(SECURITY)
        page.get_by_test_id("email-save").click()
        expect(page.get_by_test_id("email-new-error")).to_have_text("Enter the new address.")
        page.get_by_test_id("email-new").fill("lovelace@example.com")
        page.get_by_test_id("email-save").click()
        expect(page.get_by_test_id("email-sent")).to_contain_text("A link is on its way to lovelace@example.com.")
        wait_until(lambda: any("lovelace@example.com" in each.recipients for each in office.arrived), "it arrives")


def test_an_address_is_not_changed_where_no_mail_can_be_sent(page: Page, account: Account, watch: Watch) -> None:
    watch.allow(r"\b(409|503)\b")
    page.goto(SECURITY)
    page.get_by_test_id("email-new").fill(f"new-{account.email}")
    page.get_by_test_id("email-save").click()
    expect(page.get_by_test_id("email-new-error")).to_contain_text("No mail can be sent here")
    expect(page.get_by_test_id("email-sent")).to_be_empty()


def new_session(account: Account) -> Callable[[str], int]:
    """Another session of the same person: what it is answered at a path."""
    site = account.site
    another = Account(site, account.email, account.password, account.id, client=client_of(site), phone=account.phone)
    another.sign_in()
    return lambda path: another.client.get(path).status_code


class State(NamedTuple):
    """What is done on the page, and what is there once it may be judged."""

    name: str
    clicks: tuple[str, ...]
    shows: str
    path: str = SECURITY


STATES = (
    State("on", (), "mfa-off"),
    State("sessions", (), "session-end", f"{SECURITY}?tab=sessions"),
    State("attempts", (), "attempt-row", f"{SECURITY}?tab=attempts"),
    State("scan", ("app-add", "app-add-name=Tablet", "app-add-save"), "enrol-qr"),
    State("digits", ("app-add", "app-add-name=Tablet", "app-add-save", "enrol-next"), "enrol-code"),
    State("codes", ("codes-new", "codes-new-confirm"), "recovery-codes"),
    State("drill", ("drill-open",), "drill-code"),
    State("rename", ("app-rename",), "app-rename-name"),
    State("turn off", ("mfa-off",), "mfa-off-confirm"),
)


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_no_violation_and_nothing_wider_than_the_screen(page: Page, account: Account, state: State) -> None:
    account.enrol()
    new_session(account)
    page.goto(state.path)
    for click in state.clicks:
        testid, _, text = click.partition("=")
        field = page.get_by_test_id(testid)
        field.fill(text) if text else field.click()
    expect(page.get_by_test_id(state.shows).first).to_be_visible()
    assert violations(page, DESKTOP, PHONE) == []
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= NARROW[0]
    dialog = page.get_by_role("dialog")
    if dialog.count():
        assert dialog.evaluate("(element) => element.scrollWidth <= element.clientWidth")


def test_no_violation_where_it_is_off(page: Page) -> None:
    page.goto(SECURITY)
    expect(page.get_by_test_id("mfa-enrol")).to_be_visible()
    assert violations(page, DESKTOP, PHONE) == []
