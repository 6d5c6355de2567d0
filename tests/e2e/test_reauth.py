"""“Confirm that it is you”: asked before what is sensitive, and then that goes on by itself, or does not."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.account import Account, new_account, type_in
from tests.e2e.conftest import DESKTOP, PHONE, OpenPage
from tests.e2e.site import ELSEWHERE, Site
from tests.e2e.test_accessibility import violations
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SECURITY = "/settings/security"


@pytest.fixture
def account(site: Site) -> Account:
    """Somebody with a password alone."""
    return new_account(site)


@pytest.fixture
def page(open_page: OpenPage, account: Account) -> Page:
    """A page of theirs, where they are refused at times."""
    watch = Watch(account.site.url)
    watch.allow(r"\b(401|403|422|429)\b")
    return open_page(account.site.url, cookies=account.cookies(), watch=watch)


def _ask(page: Page, account: Account, testid: str = "mfa-enrol") -> None:
    account.let_proof_expire()
    page.goto(SECURITY)
    page.get_by_test_id(testid).click()


def test_what_was_confirmed_goes_on_by_itself(page: Page, account: Account) -> None:
    _ask(page, account)
    dialog = page.get_by_test_id("reauth")
    expect(dialog).to_contain_text("To set up an authenticator app, show that it is still you.")
    expect(page.get_by_test_id("reauth-password")).to_be_focused()
    assert violations(page, DESKTOP, PHONE, within="[role=dialog]") == []
    page.keyboard.type("not my password at all")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("reauth-problem")).to_contain_text("wrong")
    expect(page.get_by_test_id("reauth-password")).to_be_focused()
    page.get_by_test_id("reauth-password").fill(account.password)
    page.get_by_test_id("reauth-confirm").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()
    page.get_by_test_id("enrol-cancel").click()
    page.get_by_test_id("mfa-enrol").click()
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()  # for ten minutes nothing is asked


def test_what_was_called_off_changes_nothing(page: Page, account: Account) -> None:
    account.enrol()
    before = account.call("GET", "/security/mfa")
    _ask(page, account, "codes-new")
    page.get_by_test_id("codes-new-confirm").click()
    expect(page.get_by_test_id("reauth-code")).to_be_focused()
    for _ in range(6):  # the focus goes round within the dialog
        page.keyboard.press("Tab")
        assert page.evaluate("() => Boolean(document.activeElement.closest('[data-testid=reauth]'))")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("reauth")).to_have_count(0)
    expect(page.get_by_test_id("recovery-codes")).to_have_count(0)
    expect(page.locator("[data-sonner-toast]")).to_have_count(0)
    assert account.call("GET", "/security/mfa") == before


def test_who_has_a_second_factor_shows_that(page: Page, account: Account) -> None:
    account.enrol()
    _ask(page, account, "codes-new")
    page.get_by_test_id("codes-new-confirm").click()
    expect(page.get_by_test_id("reauth-password")).to_have_count(0)
    expect(page.get_by_test_id("reauth-code")).to_be_focused()
    type_in(page, account.phone.wrong())
    expect(page.get_by_test_id("reauth-problem")).to_contain_text("This code is wrong.")
    expect(page.get_by_test_id("reauth-code")).to_be_focused()
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("recovery-codes").locator("code")).to_have_count(10)


def test_a_recovery_code_will_do(page: Page, account: Account) -> None:
    codes = account.enrol()
    _ask(page, account, "mfa-off")
    page.get_by_test_id("mfa-off-confirm").click()
    page.get_by_test_id("reauth-use-recovery").click()
    page.get_by_test_id("reauth-recovery").fill(codes[5])
    page.get_by_test_id("reauth-confirm").click()
    expect(page.get_by_test_id("mfa-sentence")).to_contain_text("Off")


def test_too_many_tries_are_waited_for(page: Page, account: Account) -> None:
    _ask(page, account)
    problem = page.get_by_test_id("reauth-problem")
    for number in range(8):
        page.get_by_test_id("reauth-password").fill(f"wrong {number}")
        with page.expect_response(re.compile("/auth/reauthenticate$")) as answer:
            page.get_by_test_id("reauth-confirm").click()
        if answer.value.status == 429:
            break
        expect(problem).to_contain_text("wrong")
        expect(page.get_by_test_id("reauth-confirm")).to_be_enabled()
    expect(problem).to_have_text(re.compile(r"Too many tries. The next one is possible in \d+ s\."))
    expect(page.get_by_test_id("reauth-confirm")).to_be_disabled()
    expect(page.get_by_test_id("reauth-confirm")).to_be_enabled()
    page.get_by_test_id("reauth-password").fill(account.password)
    page.get_by_test_id("reauth-confirm").click()
    expect(page.get_by_test_id("enrol-qr").locator("svg")).to_be_visible()


def test_an_event_of_a_page_is_sent_again(open_page: OpenPage, site: Site) -> None:
    operator = new_account(site, "operator")
    kept, deleted = (site.webhook(ELSEWHERE) for _ in range(2))
    page = open_page(site.url, cookies=operator.cookies())
    operator.let_proof_expire()
    for webhook, goes_on in ((kept, False), (deleted, True)):
        page.goto(f"/webhooks/{webhook['id']}")
        page.get_by_test_id("webhook-delete").click()
        page.get_by_test_id("confirm-name").fill(webhook["name"])
        page.get_by_test_id("confirm-delete").click()
        expect(page.get_by_test_id("reauth")).to_contain_text("What you are about to do is sensitive")
        if not goes_on:
            page.get_by_test_id("reauth-cancel").click()
            continue
        page.get_by_test_id("reauth-password").fill(operator.password)
        page.get_by_test_id("reauth-confirm").click()
        expect(page).to_have_url(f"{site.url}/webhooks")
    assert site.client.get(f"/webhooks/{kept['id']}").status_code == 200
    assert site.client.get(f"/webhooks/{deleted['id']}").status_code == 404


def test_what_was_selected_is_deleted_after_confirming(open_page: OpenPage, site: Site) -> None:
    operator = new_account(site, "operator")
    webhook = site.webhook(ELSEWHERE)
    page = open_page(site.url, cookies=operator.cookies())
    operator.let_proof_expire()
    page.goto(f"/webhooks?q={webhook['name']}")
    page.get_by_role("checkbox").first.click()
    page.get_by_test_id("bulk-delete").click()
    page.get_by_test_id("bulk-delete-confirm").click()
    page.get_by_test_id("reauth-password").fill(operator.password)
    page.get_by_test_id("reauth-confirm").click()
    expect(page.locator("[data-sonner-toast]")).to_contain_text("1 webhook deleted.")
    assert site.client.get(f"/webhooks/{webhook['id']}").status_code == 404
