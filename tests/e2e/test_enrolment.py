"""Setting up two-factor sign-in in a browser with a real authenticator's codes, and signing in with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.account import KNOWN_FOR_S, Account, Phone, new_account, type_in
from tests.e2e.conftest import DESKTOP, PHONE, OpenPage
from tests.e2e.site import Site
from tests.e2e.test_accessibility import violations
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
REFUSED = r"\b(401|403|422|429)\b"  # what a browser says of a code that is refused
SECURITY, ENROL = "/settings/security", "/settings/security/enrol"


@pytest.fixture
def account(site: Site) -> Account:
    """Somebody with a password alone."""
    return new_account(site)


@pytest.fixture
def watch(site: Site) -> Watch:
    """Codes are refused in these tests."""
    watch = Watch(site.url)
    watch.allow(REFUSED)
    return watch


@pytest.fixture
def page(open_page: OpenPage, account: Account, watch: Watch) -> Page:
    """A page of theirs."""
    return open_page(account.site.url, cookies=account.cookies(), watch=watch)


@pytest.fixture
def stranger(open_page: OpenPage, site: Site, watch: Watch) -> Page:
    """A browser nobody is known in."""
    return open_page(site.url, watch=watch)


@pytest.fixture
def required(site: Site) -> Iterator[None]:
    """Viewers need a second factor, at once."""
    before = {name: value for name, value in site.get("/security/rules").items() if name != "changed_at"}
    _set_rules(site, before | {"require_mfa": ["viewer"], "grace_days": 0})
    yield
    _set_rules(site, before)


def _set_rules(site: Site, rules: dict[str, object]) -> None:
    site.sign_in()
    answer = site.client.put("/security/rules", json=rules)
    assert answer.is_success, answer.text


def _shown_codes(page: Page) -> list[str]:
    expect(page.get_by_test_id("recovery-codes").locator("code")).to_have_count(10)
    return page.get_by_test_id("recovery-codes").locator("code").all_inner_texts()


def _set_up(page: Page, phone: Phone) -> list[str]:
    """From the first step to the last; the recovery codes."""
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    phone.scan(page)
    page.get_by_test_id("enrol-next").click()
    type_in(page, phone.code())
    codes = _shown_codes(page)
    page.get_by_test_id("codes-typed").fill(codes[3].upper().replace("-", " "))
    page.get_by_test_id("codes-finish").click()
    expect(page.get_by_test_id("enrol-on")).to_be_visible()
    return codes


def _give_password(page: Page, account: Account) -> None:
    page.get_by_test_id("login-email").fill(account.email)
    page.get_by_test_id("login-password").fill(account.password)
    page.get_by_test_id("login-submit").click()


def test_the_qr_code_says_the_very_uri_and_the_key_is_the_same(page: Page, account: Account) -> None:
    page.goto(SECURITY)
    expect(page.get_by_test_id("mfa-sentence")).to_have_text("Off: whoever knows your password is in.")
    with page.expect_response(re.compile("/security/mfa/enroll$")) as answer:
        page.get_by_test_id("mfa-enrol").click()
    begun = answer.value.json()
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    assert account.phone.scan(page) == begun["otpauth_uri"]
    key = page.get_by_test_id("enrol-key").inner_text()
    assert re.fullmatch(r"(\w{4} )+\w{1,4}", key)
    assert key.replace(" ", "") == begun["secret"]
    page.emulate_media(color_scheme="dark")
    assert Phone().scan(page) == begun["otpauth_uri"]
    assert answer.value.header_value("cache-control") == "no-store"


def test_two_factor_sign_in_is_on_after_three_steps(page: Page, account: Account, tmp_path: Path) -> None:
    page.goto(SECURITY)
    page.get_by_test_id("mfa-enrol").click()
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    account.phone.scan(page)
    page.get_by_test_id("enrol-next").click()
    expect(page.get_by_test_id("enrol-code")).to_be_focused()
    expect(page.get_by_test_id("enrol-code")).to_have_attribute("autocomplete", "one-time-code")
    type_in(page, account.phone.wrong())
    expect(page.get_by_test_id("enrol-problem")).to_contain_text("This code is wrong.")
    expect(page.get_by_test_id("enrol-code")).to_have_value("")
    expect(page.get_by_test_id("enrol-code")).to_be_focused()
    type_in(page, account.phone.late())
    expect(page.get_by_test_id("enrol-problem")).to_contain_text("your phone's clock is off")
    code = account.phone.code()
    page.evaluate("(text) => navigator.clipboard.writeText(text)", f"{code[:3]} {code[3:]}")
    page.keyboard.press("Control+v")
    codes = _shown_codes(page)
    assert account.call("GET", "/security/mfa")["on"] is False, "not before the recovery codes are saved"
    _take_them_along(page, account, codes, tmp_path)
    page.keyboard.press("Escape")
    page.get_by_test_id("codes-finish").click()
    expect(page.get_by_test_id("codes-problem")).to_contain_text("Type one of them")
    page.get_by_test_id("codes-typed").fill("0000-0000-0000-0000")
    page.get_by_test_id("codes-finish").click()
    expect(page.get_by_test_id("codes-problem")).to_contain_text("none of your recovery codes")
    page.get_by_test_id("codes-typed").fill(codes[7])
    page.get_by_test_id("codes-finish").click()
    expect(page.get_by_test_id("enrol-on")).to_contain_text("Two-factor authentication is on")
    page.get_by_test_id("enrol-done").click()
    expect(page.get_by_test_id("mfa-sentence")).to_have_text(
        re.compile(r"^On since \d+ \w+: an authenticator app, 10 recovery codes left\.$")
    )
    assert account.call("GET", "/security/mfa")["recovery_codes"]["left"] == 10, "none was used up"
    for secret in (account.phone.uri, *codes):
        assert secret not in page.content(), "what is shown once is gone with its dialog"
    kept = page.evaluate("() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href])")
    assert not any(secret in kept for secret in codes)


def _take_them_along(page: Page, account: Account, codes: list[str], folder: Path) -> None:
    page.get_by_role("button", name="Copy to the clipboard").click()
    assert page.evaluate("() => navigator.clipboard.readText()").split() == codes
    with page.expect_download() as download:
        page.get_by_test_id("codes-download").click()
    assert download.value.suggested_filename == "novapulse-recovery-codes.txt"
    download.value.save_as(folder / "codes.txt")
    text = (folder / "codes.txt").read_text()
    assert all(part in text for part in (account.site.url, account.email, *codes))
    page.evaluate("() => { window.printed = 0; window.print = () => { window.printed += 1; }; }")
    page.get_by_test_id("codes-print").click()
    assert page.evaluate("() => window.printed") == 1
    page.emulate_media(media="print")
    expect(page.locator(".np-print")).to_be_visible()
    expect(page.locator(".np-print")).to_contain_text(codes[9])
    expect(page.get_by_test_id("mfa-state")).to_be_hidden()
    page.emulate_media(media="screen")


def test_a_code_signs_in_once(page: Page, account: Account, stranger: Page, open_page: OpenPage, watch: Watch) -> None:
    page.goto(SECURITY)
    page.get_by_test_id("mfa-enrol").click()
    _set_up(page, account.phone)
    code = account.phone.code()
    stranger.goto("/login?next=/webhooks")
    _give_password(stranger, account)
    stranger.get_by_test_id("mfa-code").fill(account.phone.wrong())
    expect(stranger.get_by_test_id("mfa-error")).to_contain_text("This code is wrong.")
    stranger.get_by_test_id("mfa-code").fill(code)
    expect(stranger).to_have_url(f"{account.site.url}/webhooks")
    other = open_page(account.site.url, watch=watch)
    other.goto("/login")
    _give_password(other, account)
    other.get_by_test_id("mfa-code").fill(code)
    expect(other.get_by_test_id("mfa-error")).to_contain_text("This code has been used.")
    other.goto("/webhooks")
    expect(other).to_have_url(re.compile("/login"))


def test_a_recovery_code_leads_to_a_new_authenticator(account: Account, stranger: Page) -> None:
    codes = account.enrol()
    stranger.goto("/login")
    _give_password(stranger, account)
    stranger.get_by_test_id("use-recovery").click()
    stranger.get_by_test_id("mfa-recovery").fill(codes[0])
    stranger.get_by_test_id("mfa-submit").click()
    expect(stranger).to_have_url(re.compile(f"{SECURITY}\\?"))
    expect(stranger.get_by_test_id("lost")).to_contain_text("9 are left")
    stranger.get_by_test_id("lost-enrol").click()
    expect(stranger.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    new = Phone()
    new.scan(stranger)
    stranger.get_by_test_id("enrol-next").click()
    type_in(stranger, new.code())
    expect(stranger.get_by_test_id("enrol-on")).to_contain_text("The app is added")
    stranger.get_by_test_id("enrol-done").click()
    expect(stranger.get_by_test_id("lost")).to_have_count(0)
    stranger.get_by_role("button", name="Remove Phone", exact=True).click()
    stranger.get_by_test_id("app-remove-confirm").click()
    expect(stranger.get_by_test_id("app-remove")).to_have_count(0)
    expect(stranger.get_by_test_id("apps")).to_contain_text("New authenticator app")
    body = {"email": account.email, "password": account.password}
    challenge = account.client.post("/auth/login", json=body).json()["challenge"]
    old = account.client.post("/auth/mfa/verify", json={"challenge": challenge, "code": account.phone.code()})
    assert old.status_code == 401


def test_who_closed_too_early_goes_on_where_they_were(page: Page, account: Account) -> None:
    page.goto(SECURITY)
    page.get_by_test_id("mfa-enrol").click()
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    account.phone.scan(page)
    page.get_by_test_id("enrol-next").click()
    type_in(page, account.phone.code())
    codes = _shown_codes(page)
    page.get_by_test_id("enrol-cancel").click()
    expect(page.get_by_test_id("mfa-sentence")).to_contain_text("Almost on")
    page.get_by_test_id("mfa-have").click()
    page.get_by_test_id("codes-typed").fill(codes[0])
    page.get_by_test_id("codes-finish").click()
    expect(page.get_by_test_id("mfa-sentence")).to_contain_text("On since")


def test_who_needs_a_second_factor_reaches_nothing_else(
    account: Account, page: Page, required: None, watch: Watch
) -> None:
    page.wait_for_timeout(KNOWN_FOR_S * 1000)
    page.goto("/webhooks?status=paused")
    expect(page).to_have_url(f"{account.site.url}{ENROL}?next=%2Fwebhooks%3Fstatus%3Dpaused")
    expect(page.get_by_test_id("enrol-why")).to_contain_text("everybody with the role viewer")
    expect(page.get_by_role("navigation")).to_have_count(0)
    assert violations(page, DESKTOP, PHONE) == []
    for path in ("/webhooks", "/security/sessions", "/events"):
        answer = account.client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:novapulse:problem:enrol"), path
    page.get_by_test_id("enrol-begin").click()
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    assert violations(page, DESKTOP, PHONE) == []
    _set_up(page, account.phone)
    page.get_by_test_id("enrol-open").click()
    expect(page).to_have_url(f"{account.site.url}/webhooks?status=paused")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    assert account.client.get("/webhooks").status_code == 200
    page.goto(SECURITY)
    expect(page.get_by_test_id("mfa-off")).to_have_count(0)


def test_who_needs_a_second_factor_may_sign_out(account: Account, page: Page, required: None, watch: Watch) -> None:
    watch.allow("WebSocket")  # the socket is closed with its session
    page.wait_for_timeout(KNOWN_FOR_S * 1000)
    page.goto("/")
    expect(page).to_have_url(f"{account.site.url}{ENROL}")
    page.get_by_test_id("enrol-sign-out").click()
    expect(page).to_have_url(f"{account.site.url}/login")


def test_an_open_page_leads_to_the_second_factor_when_the_grace_ends(
    account: Account, page: Page, request: pytest.FixtureRequest
) -> None:
    page.goto("/webhooks")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    request.getfixturevalue("required")
    page.wait_for_timeout(KNOWN_FOR_S * 1000)
    page.get_by_test_id("live-indicator").click()
    expect(page).to_have_url(re.compile(ENROL))
    expect(page.get_by_test_id("enrol-begin")).to_be_visible()


def test_the_banner_says_until_when(account: Account, page: Page, site: Site) -> None:
    before = {name: value for name, value in site.get("/security/rules").items() if name != "changed_at"}
    _set_rules(site, before | {"require_mfa": ["viewer"], "grace_days": 7})
    try:
        page.wait_for_timeout(KNOWN_FOR_S * 1000)
        page.goto(SECURITY)
        expect(page.get_by_test_id("mfa-due")).to_contain_text(
            re.compile(r"Your role, viewer, requires it. Set it up by \d")
        )
    finally:
        _set_rules(site, before)
