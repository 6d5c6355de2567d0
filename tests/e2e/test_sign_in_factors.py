"""The second step of signing in, in a browser: codes of a phone, recovery codes, passkeys, and what is said of each."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.account import KNOWN_FOR_S, Account, client_of, new_account, type_in
from tests.e2e.conftest import PHONE, OpenPage
from tests.e2e.site import Site
from tests.e2e.test_accessibility import violations
from tests.e2e.test_passkeys import Authenticator
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
REFUSALS = r"\b(401|403|422|429)\b"
SMALL = (360, 740)


@pytest.fixture
def account(site: Site) -> Account:
    """Somebody of their own for each test."""
    return new_account(site)


@pytest.fixture(autouse=True)
def codes(account: Account) -> list[str]:
    """The recovery codes of `account`."""
    return account.enrol()


@pytest.fixture
def watch(site: Site) -> Watch:
    """What holds `page` to account."""
    return Watch(site.url)


@pytest.fixture
def page(open_page: OpenPage, site: Site, watch: Watch) -> Page:
    """A browser that nobody has signed in with."""
    return open_page(site.url, watch=watch)


def give_password(page: Page, account: Account, next_: str = "/webhooks") -> None:
    page.goto(f"/login?next={next_}")
    page.get_by_test_id("login-email").fill(account.email)
    page.get_by_test_id("login-password").fill(account.password)
    page.get_by_test_id("login-submit").click()


def at_code(page: Page, account: Account) -> None:
    give_password(page, account)
    expect(page.get_by_test_id("mfa-code")).to_be_focused()


def test_the_code_is_sent_with_its_sixth_digit_and_leads_on(page: Page, account: Account) -> None:
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    at_code(page, account)
    assert len(loads) == 1, "from the password to the code, no page is loaded"
    code = page.get_by_test_id("mfa-code")
    expect(code).to_have_attribute("autocomplete", "one-time-code")
    expect(code).to_have_attribute("inputmode", "numeric")
    expect(page).to_have_title("Enter your code · NovaPulse")
    type_in(page, account.phone.code())
    expect(page).to_have_url(f"{account.site.url}/webhooks")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")


def test_a_code_can_be_pasted_as_apps_show_it(page: Page, account: Account) -> None:
    at_code(page, account)
    code = account.phone.code()
    page.evaluate("(text) => navigator.clipboard.writeText(text)", f" {code[:3]} {code[3:]}\n")
    page.keyboard.press("Control+v")
    expect(page).to_have_url(f"{account.site.url}/webhooks")


def test_a_wrong_code_is_said_and_the_next_one_is_taken(page: Page, account: Account, watch: Watch) -> None:
    watch.allow(REFUSALS)
    at_code(page, account)
    page.get_by_test_id("mfa-submit").click()
    expect(page.get_by_test_id("mfa-error")).to_have_text("Enter the six digits.")
    type_in(page, account.phone.wrong())
    expect(page.get_by_test_id("mfa-error")).to_contain_text("This code is wrong.")
    expect(page.get_by_test_id("mfa-code")).to_be_focused()
    expect(page.get_by_test_id("mfa-code")).to_have_attribute("aria-invalid", "true")
    type_in(page, account.phone.code())  # over the wrong one, which is selected
    expect(page).to_have_url(f"{account.site.url}/webhooks")


def test_a_code_of_another_time_says_that_the_clock_is_off(page: Page, account: Account, watch: Watch) -> None:
    watch.allow(REFUSALS)
    at_code(page, account)
    type_in(page, account.phone.late())
    expect(page.get_by_test_id("mfa-error")).to_contain_text("your phone's clock is off. Set it to automatic")


def test_a_recovery_code_leads_to_a_new_authenticator(
    page: Page, account: Account, codes: list[str], watch: Watch
) -> None:
    watch.allow(REFUSALS)
    at_code(page, account)
    page.get_by_test_id("use-recovery").click()
    expect(page.get_by_test_id("mfa-recovery")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("mfa-error")).to_have_text("Enter a recovery code.")
    type_in(page, "abcd-efgh-jkmn-pqrs")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("mfa-error")).to_contain_text("This code is wrong.")
    page.get_by_test_id("mfa-recovery").fill(codes[4].upper().replace("-", " "))
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/settings/security\b.*[?&]recover=1"))


def test_a_remembered_device_is_not_asked_again_and_others_are(
    page: Page, account: Account, open_page: OpenPage, site: Site
) -> None:
    at_code(page, account)
    expect(page.get_by_text("Remember this device for 30 days")).to_be_visible()
    page.get_by_test_id("remember-device").check()
    page.get_by_test_id("mfa-code").fill(account.phone.code())
    expect(page).to_have_url(f"{site.url}/webhooks")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    page.context.clear_cookies(name=re.compile("session"))
    give_password(page, account)
    expect(page).to_have_url(f"{site.url}/webhooks")
    at_code(open_page(site.url), account)


def test_where_the_rules_forbid_it_no_device_can_be_remembered(page: Page, account: Account, site: Site) -> None:
    site.sign_in()
    before = {name: value for name, value in site.get("/security/rules").items() if name != "changed_at"}
    try:
        site.client.put("/security/rules", json=before | {"remember_days": 0}).raise_for_status()
        time.sleep(KNOWN_FOR_S)
        at_code(page, account)
        expect(page.get_by_test_id("remember-device")).to_have_count(0)
        type_in(page, account.phone.code())
        expect(page).to_have_url(f"{site.url}/webhooks")
    finally:
        site.sign_in()
        site.client.put("/security/rules", json=before).raise_for_status()
        time.sleep(KNOWN_FOR_S)


def test_a_sign_in_that_has_ended_begins_anew_with_the_address_kept(page: Page, account: Account, watch: Watch) -> None:
    watch.allow(REFUSALS)
    at_code(page, account)
    fresh = f"{account.password} x"
    body = {"current_password": account.password, "new_password": fresh}
    account.call("POST", "/security/password", body)  # ends what the old password has begun
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("login-error")).to_contain_text("begin again")
    expect(page.get_by_test_id("login-email")).to_have_value(account.email)
    expect(page.get_by_test_id("login-password")).to_be_focused()
    expect(page.get_by_test_id("login-password")).to_have_value("")
    type_in(page, fresh)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("mfa-code")).to_be_focused()
    type_in(page, account.phone.code())
    expect(page).to_have_url(f"{account.site.url}/webhooks")


def test_somebody_else_may_sign_in_instead(page: Page, account: Account) -> None:
    at_code(page, account)
    page.get_by_test_id("start-again").click()
    expect(page.get_by_test_id("login-email")).to_be_focused()
    expect(page.get_by_test_id("login-email")).to_have_value("")
    expect(page.get_by_test_id("login-password")).to_have_value("")
    expect(page.get_by_test_id("login-error")).to_be_hidden()


def test_too_many_tries_are_waited_for_in_seconds(page: Page, site: Site, watch: Watch) -> None:
    watch.allow(REFUSALS)
    email, stranger = f"{time.time_ns()}@example.com", client_of(site)
    wait_s = 0
    while wait_s < 4:
        answer = stranger.post("/auth/login", json={"email": email, "password": "not the password"})
        wait_s = int(answer.headers.get("retry-after", 0)) if answer.status_code == 429 else 0
        if 0 < wait_s < 4:
            time.sleep(wait_s)
    page.goto("/login")
    page.get_by_test_id("login-email").fill(email)
    page.get_by_test_id("login-password").fill("not the password")
    page.get_by_test_id("login-submit").click()
    expect(page.get_by_test_id("login-submit")).to_have_text(re.compile(r"Try again in [1-8] s"))
    expect(page.get_by_test_id("login-submit")).to_be_disabled()
    expect(page.get_by_test_id("login-error")).to_contain_text("Too many failed tries")
    expect(page.get_by_test_id("login-submit")).to_have_text("Sign in")
    expect(page.get_by_test_id("login-submit")).to_be_enabled()


@pytest.fixture
def by_name(open_page: OpenPage, site: Site) -> Page:
    """A browser at the site's name: for an address, there are no passkeys."""
    if site.instance is None:
        pytest.skip("E2E_BASE_URL may be an address")
    origin = site.url.replace("127.0.0.1", "localhost")
    watch = Watch(origin)
    watch.allow(REFUSALS)
    watch.allow("WebSocket")
    return open_page(origin, watch=watch)


_MAKE = """async () => {
  const call = async (path, body) => {
    const headers = { "Content-Type": "application/json" };
    const answer = await fetch(`/api/v1${path}`, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };
  const { challenge, options } = await call("/security/passkeys/options", {});
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = (await navigator.credentials.create({ publicKey })).toJSON();
  await call("/security/passkeys", { challenge, credential, name: "Blue key" });
}"""


def test_a_passkey_is_the_second_factor_or_all_of_it(by_name: Page, account: Account) -> None:
    page = by_name
    key = Authenticator(page)
    at_code(page, account)
    expect(page.get_by_test_id("use-passkey")).to_be_hidden()  # the account has none yet
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    page.evaluate(_MAKE)
    assert len(key.credentials()) == 1

    page.context.clear_cookies()
    at_code(page, account)
    page.get_by_test_id("use-passkey").click()
    expect(page.get_by_role("heading")).to_have_text("Use your passkey")
    page.get_by_test_id("mfa-submit").click()
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")

    page.context.clear_cookies()
    page.goto("/login?next=/webhooks")
    page.get_by_test_id("login-passkey").click()
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")


def test_a_passkey_that_is_not_there_says_so_and_the_code_still_works(by_name: Page, account: Account) -> None:
    page = by_name
    key = Authenticator(page)
    at_code(page, account)
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    page.evaluate(_MAKE)
    page.context.clear_cookies()
    at_code(page, account)
    page.get_by_test_id("use-passkey").click()
    key.verifies_user(False)
    key.drop()
    page.get_by_test_id("mfa-submit").click()
    expect(page.get_by_test_id("mfa-error")).to_contain_text("No passkey was used.")
    page.get_by_test_id("use-totp").click()
    expect(page.get_by_test_id("mfa-error")).to_be_hidden()
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")


def test_no_passkey_is_offered_where_browsers_make_none(page: Page, site: Site, account: Account) -> None:
    if "127.0.0.1" not in site.url:
        pytest.skip("the instance has a name")
    page.goto("/login")
    expect(page.get_by_test_id("login-submit")).to_be_visible()
    expect(page.get_by_test_id("login-passkey")).to_be_hidden()


def test_the_pages_run_no_script_and_no_style_but_their_own(page: Page, site: Site) -> None:
    for path in ("/login", "/forgot", "/reset", "/invite", "/confirm-email", "/stop-reset"):
        answer = page.goto(path)
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not page.locator("[style], style, script:not([src])").count()


_TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_no_violation_at_any_step(page: Page, account: Account, watch: Watch) -> None:
    watch.allow(REFUSALS)
    at_code(page, account)
    type_in(page, account.phone.wrong())
    expect(page.get_by_test_id("mfa-error")).to_be_visible()
    states: list[Any] = [lambda: None, page.get_by_test_id("use-recovery").click]
    for act in states:
        act()
        assert violations(page, PHONE, SMALL) == []
        assert page.evaluate(_TOO_WIDE) == 0
