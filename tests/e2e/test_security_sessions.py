"""Where one is signed in, and who else has tried: the tabs “Sessions” and “Attempts” of `/settings/security`."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.account import Account, new_account
from tests.e2e.conftest import OpenPage
from tests.e2e.site import Site
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SESSIONS, ATTEMPTS = "/settings/security?tab=sessions", "/settings/security?tab=attempts"


@pytest.fixture
def account(site: Site) -> Account:
    """Somebody with a password alone."""
    return new_account(site)


@pytest.fixture
def page(open_page: OpenPage, account: Account) -> Page:
    """A page of theirs."""
    return open_page(account.site.url, cookies=account.cookies())


@pytest.fixture
def elsewhere(open_page: OpenPage, account: Account) -> Page:
    """Another browser that they sign in with; it is signed out while it looks."""
    watch = Watch(account.site.url)
    watch.allow(r"\b(401|403)\b|WebSocket")
    other = open_page(account.site.url, watch=watch)
    other.goto("/login?next=/webhooks")
    other.get_by_test_id("login-email").fill(account.email)
    other.get_by_test_id("login-password").fill(account.password)
    other.get_by_test_id("login-submit").click()
    expect(other.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    return other


def test_a_session_that_is_revoked_ends_within_a_second(page: Page, elsewhere: Page, account: Account) -> None:
    page.goto(SESSIONS)
    ends = page.get_by_test_id("session-end")
    expect(ends).to_have_count(1)
    expect(page.get_by_test_id("sessions")).to_contain_text("Chrome on Linux")
    expect(page.get_by_test_id("sessions")).to_contain_text("this one")
    ends.click()
    began = time.monotonic()
    expect(elsewhere).to_have_url(re.compile(r"/login\?next=%2Fwebhooks"), timeout=1000)
    took = time.monotonic() - began
    assert took < 1, took
    expect(ends).to_have_count(0)
    page.reload()
    expect(page.get_by_test_id("sessions")).to_be_visible()  # this one goes on


def test_all_others_are_signed_out_at_once(page: Page, elsewhere: Page) -> None:
    page.goto(SESSIONS)
    page.get_by_test_id("sessions-end").click()
    page.get_by_test_id("sessions-end-confirm").click()
    expect(page.locator("[data-sonner-toast]")).to_contain_text("One other session is signed out.")
    expect(elsewhere).to_have_url(re.compile("/login"))
    expect(page.get_by_test_id("session-end")).to_have_count(0)


def test_a_remembered_browser_is_forgotten(page: Page, open_page: OpenPage, account: Account) -> None:
    account.enrol()
    watch = Watch(account.site.url)
    watch.allow(r"\b403\b|WebSocket")  # the socket is closed with its session
    other = open_page(account.site.url, watch=watch)
    for remembered in (False, True):
        other.goto("/login?next=/webhooks")
        other.get_by_test_id("login-email").fill(account.email)
        other.get_by_test_id("login-password").fill(account.password)
        other.get_by_test_id("login-submit").click()
        if not remembered:
            other.get_by_test_id("remember-device").check()
            other.get_by_test_id("mfa-code").fill(account.phone.code())
        expect(other.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
        other.get_by_test_id("user-menu").click()
        other.get_by_test_id("sign-out").click()
        expect(other.get_by_test_id("login-email")).to_be_visible()
    page.goto(SESSIONS)
    kept = page.get_by_test_id("devices").get_by_role("listitem").filter(has_text="remembered until")
    expect(kept).to_have_count(1)
    kept.get_by_test_id("device-forget").click()
    expect(kept).to_have_count(0)
    other.goto("/login")
    other.get_by_test_id("login-email").fill(account.email)
    other.get_by_test_id("login-password").fill(account.password)
    other.get_by_test_id("login-submit").click()
    expect(other.get_by_test_id("mfa-code")).to_be_visible()


def test_attempts_are_shown_by_network_with_what_was_done(page: Page, account: Account) -> None:
    account.enrol()
    body = {"email": account.email, "password": account.password}
    account.client.cookies.clear()
    challenge = account.client.post("/auth/login", json=body).json()["challenge"]
    account.client.post("/auth/mfa/verify", json={"challenge": challenge, "code": account.phone.wrong()})
    answers = [
        account.client.post("/auth/login", json=body | {"password": f"a guess, number {number}"}).status_code
        for number in range(7)
    ]
    refused, limited = answers.count(401), answers.count(429)
    assert refused >= 1
    assert limited >= 1
    page.goto(ATTEMPTS)
    expect(page.get_by_test_id("attempts-summary")).to_contain_text(f"{refused + 1} refused")
    expect(page.get_by_test_id("attempts-network")).to_have_count(1)
    expect(page.get_by_test_id("attempts-network")).to_contain_text("127.0.0.0/24")
    expect(page.get_by_test_id("attempts-network")).to_contain_text(f"wrong password {refused}×")
    expect(page.get_by_test_id("attempts-known")).to_contain_text("with your password failed at the second factor")
    rows = page.get_by_test_id("attempt-row")
    expect(rows.filter(has_text="Wrong password")).to_contain_text("Refused.")
    expect(rows.filter(has_text="Wrong second factor")).to_contain_text("though the password was right")
    expect(rows.filter(has_text="Too many tries")).to_contain_text("Not even looked at")
    expect(rows.filter(has_text="Signed in").first).to_contain_text("Let in")
