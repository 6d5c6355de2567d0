"""Links that are mailed, from the mail to the page they open: a new password, an invitation, a new address."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.account import Account, new_account, type_in
from tests.e2e.conftest import DESKTOP, PHONE, OpenPage
from tests.e2e.site import EMAIL, PASSWORD, WAIT_S, Site
from tests.e2e.test_accessibility import violations
from tests.e2e.watch import Watch
from tests.instance import running
from tests.postoffice import Arrived, PostOffice, opened

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
REFUSALS = r"\b(401|403|422)\b"
FRESH = "seven quiet herons at dusk"


@pytest.fixture(scope="module")
def office() -> Iterator[PostOffice]:
    """Where the mail arrives."""
    with opened() as made:
        yield made


@pytest.fixture(scope="module")
def postal(office: PostOffice, built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A NovaPulse that sends mail."""
    settings = {"admin_email": EMAIL, "admin_password": PASSWORD, "smtp_url": office.url()}
    with running(tmp_path_factory.mktemp("postal"), **settings) as instance:
        site = Site(instance.url, EMAIL, PASSWORD, instance)
        site.sign_in()
        yield site


@pytest.fixture
def watch(postal: Site) -> Watch:
    """What holds `page` to account."""
    return Watch(postal.url)


@pytest.fixture
def page(open_page: OpenPage, postal: Site, watch: Watch) -> Page:
    """A browser that nobody has signed in with."""
    return open_page(postal.url, watch=watch)


@pytest.fixture
def account(postal: Site) -> Account:
    """Somebody with a password alone."""
    return new_account(postal)


def mail_to(office: PostOffice, email: str, subject: str) -> Arrived:
    """The latest mail of this subject to somebody, waited for."""
    end = time.monotonic() + WAIT_S
    while True:
        fitting = [each for each in office.arrived if email in each.recipients and subject in each.mail["Subject"]]
        if fitting:
            return fitting[-1]
        assert time.monotonic() < end, f"no mail '{subject}' to {email}; {len(office.arrived)} others came"
        time.sleep(0.1)


def link_in(arrived: Arrived) -> str:
    found = re.search(r"http://\S+#token=[A-Za-z0-9_-]+", arrived.part("plain"))
    assert found is not None
    assert found[0] in arrived.part("html")
    return found[0]


def ask_for_link(page: Page, office: PostOffice, email: str) -> str:
    page.goto("/login")
    page.get_by_test_id("forgot").click()
    page.get_by_test_id("forgot-email").fill(email)
    page.get_by_test_id("forgot-submit").click()
    expect(page.get_by_test_id("forgot-sent")).to_contain_text(f"If there is an account for {email}")
    return link_in(mail_to(office, email, "Set a new password"))


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_test_id("login-email").fill(email)
    page.get_by_test_id("login-password").fill(password)
    page.get_by_test_id("login-submit").click()


def test_a_forgotten_password_is_chosen_anew_and_everybody_is_signed_out(
    page: Page, open_page: OpenPage, postal: Site, account: Account, office: PostOffice, watch: Watch
) -> None:
    watch.allow(REFUSALS)
    old_watch = Watch(postal.url)
    old_watch.allow(REFUSALS)
    old_watch.allow("WebSocket")
    old = open_page(postal.url, cookies=account.cookies(), watch=old_watch)
    old.goto("/webhooks")
    expect(old.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url + str(request.headers)))
    link = ask_for_link(page, office, account.email)
    token = link.partition("#token=")[2]
    page.goto(link)
    expect(page.get_by_test_id("whose")).to_have_text(account.email)
    password = page.get_by_test_id("choose-password")
    expect(password).to_be_focused()
    expect(password).to_have_attribute("autocomplete", "new-password")

    page.keyboard.type("passwordpassword")
    expect(page.get_by_test_id("strength")).to_contain_text("easily guessed")
    expect(page.locator(".meter")).to_have_attribute("data-score", "0")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("choose-error")).to_contain_text("This password is easily guessed.")
    expect(password).to_have_attribute("aria-invalid", "true")
    page.evaluate("(text) => navigator.clipboard.writeText(text)", FRESH)
    page.keyboard.press("Control+v")  # over the one that was refused
    expect(page.get_by_test_id("strength")).to_have_text("Strong.")
    expect(page.locator(".meter")).to_have_attribute("data-score", "4")
    page.get_by_test_id("choose-password-show").click()
    expect(password).to_have_attribute("type", "text")
    expect(password).to_have_value(FRESH)
    page.get_by_test_id("choose-submit").click()
    expect(page.get_by_test_id("choose-done")).to_be_visible()
    expect(page.get_by_test_id("choose-done")).to_contain_text("Your password is changed")
    expect(page).to_have_url(f"{postal.url}/reset")
    expect(old).to_have_url(re.compile("/login"))

    page.get_by_test_id("to-login").click()
    sign_in(page, account.email, FRESH)
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    assert "every other session was ended" in " ".join(
        mail_to(office, account.email, "password was changed").part("plain").split()
    )
    assert not [each for each in asked if token in each], "the token is in no address and no header"
    assert postal.instance is None or token not in postal.instance.output
    page.goto(link)
    expect(page.get_by_test_id("link-dead")).to_be_visible()
    expect(page.get_by_test_id("link-dead")).to_contain_text("This link does not work")
    page.get_by_role("link", name="Get a new link").click()
    expect(page).to_have_url(f"{postal.url}/forgot")


def test_a_stranger_is_told_the_same_and_gets_no_mail(page: Page, office: PostOffice) -> None:
    page.goto("/forgot")
    page.get_by_test_id("forgot-submit").click()
    expect(page.get_by_test_id("forgot-error")).to_have_text("Enter your e-mail.")
    page.get_by_test_id("forgot-email").fill("nobody@example.com")
    page.get_by_test_id("forgot-submit").click()
    expect(page.get_by_test_id("forgot-sent")).to_contain_text("If there is an account for nobody@example.com")
    assert not [each for each in office.arrived if "nobody@example.com" in each.recipients]


def test_after_a_reset_the_second_factor_is_asked_for(page: Page, account: Account, office: PostOffice) -> None:
    account.enrol()
    page.goto(ask_for_link(page, office, account.email))
    page.get_by_test_id("choose-password").fill(FRESH)
    page.get_by_test_id("choose-submit").click()
    page.get_by_test_id("to-login").click()
    sign_in(page, account.email, FRESH)
    expect(page.get_by_test_id("mfa-code")).to_be_focused()
    type_in(page, account.phone.code())
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")


def test_an_invitation_is_mailed_and_lets_somebody_in(page: Page, postal: Site, office: PostOffice) -> None:
    email = f"{time.time_ns()}@example.com"
    postal.sign_in()
    made = postal.post("/users/invite", {"email": email, "role": "operator"})
    assert made["link"] is None, "it was mailed"
    page.goto(link_in(mail_to(office, email, "You are invited")))
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    expect(page.get_by_test_id("whose")).to_have_text(email)
    page.get_by_test_id("choose-password").fill(FRESH)
    page.get_by_test_id("choose-submit").click()
    expect(page).to_have_url(f"{postal.url}/")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    page.go_back()
    assert "token=" not in page.url, "the link is not in the history"


def test_a_new_address_is_used_once_its_reader_says_so(
    page: Page, account: Account, postal: Site, office: PostOffice, watch: Watch
) -> None:
    watch.allow(REFUSALS)
    email = f"{time.time_ns()}@example.com"
    account.call("POST", "/security/email", {"email": email})
    link = link_in(mail_to(office, email, "Confirm your new address"))
    page.goto(link)
    expect(page.get_by_test_id("whose")).to_have_text(email)
    assert account.call("GET", "/auth/me")["user"]["email"] == account.email, "to load the page changes nothing"
    page.get_by_test_id("confirm-submit").click()
    expect(page.get_by_test_id("confirm-done")).to_be_visible()
    expect(page.get_by_test_id("confirm-done")).to_contain_text("Your address is changed")
    assert account.call("GET", "/auth/me")["user"]["email"] == email
    assert email in mail_to(office, account.email, "e-mail address was changed").part("plain")
    page.goto("/login")
    sign_in(page, email, account.password)
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")


def test_a_reset_of_second_factors_is_stopped_by_its_link(
    page: Page, account: Account, postal: Site, office: PostOffice
) -> None:
    account.enrol()
    postal.sign_in()
    asked = postal.post(f"/users/{account.id}/mfa-reset", {"reason": "says on the phone that it is lost"})
    page.goto(link_in(mail_to(office, account.email, "asked to remove your second factors")))
    expect(page.get_by_test_id("whose")).to_have_text(account.email)
    page.get_by_test_id("confirm-submit").click()
    expect(page.get_by_test_id("confirm-done")).to_be_visible()
    expect(page.get_by_test_id("confirm-done")).to_contain_text("The reset is stopped")
    found = next(each for each in postal.client.get("/users/mfa-resets").json()["data"] if each["id"] == asked["id"])
    assert found["outcome"] == "cancelled"


@pytest.mark.parametrize("path", ["/reset", "/invite", "/confirm-email", "/stop-reset"])
def test_a_link_that_does_not_work_says_so_and_what_to_do(page: Page, watch: Watch, path: str) -> None:
    watch.allow(REFUSALS)
    for ending in ("", "#token=", "#token=guessed", "#other"):
        page.goto("/login")
        page.goto(path + ending)
        expect(page.get_by_test_id("link-dead")).to_be_visible()
        expect(page.get_by_role("heading")).to_have_text("This link does not work")
    assert violations(page) == []


def test_a_link_of_one_kind_does_not_open_the_page_of_another(page: Page, account: Account, office: PostOffice) -> None:
    link = ask_for_link(page, office, account.email)
    page.goto("/login")
    page.goto(link.replace("/reset#", "/invite#"))
    expect(page.get_by_test_id("link-dead")).to_be_visible()
    page.goto(link)
    expect(page.get_by_test_id("whose")).to_have_text(account.email)


def test_no_violation_and_nothing_too_wide_on_these_pages(
    page: Page, account: Account, office: PostOffice, watch: Watch
) -> None:
    watch.allow(REFUSALS)
    link = ask_for_link(page, office, account.email)
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: page.goto(link),
        lambda: page.get_by_test_id("choose-password").fill("passwordpassword"),
        page.get_by_test_id("choose-submit").click,
    ]
    shown = ["forgot-sent", "choose-submit", "strength", "choose-error"]
    for act, shows in zip(steps, shown, strict=True):
        act()
        expect(page.get_by_test_id(shows)).to_be_visible()
        assert violations(page, DESKTOP, PHONE, (360, 740)) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_without_a_mail_server_the_page_says_whom_to_ask(open_page: OpenPage, site: Site) -> None:
    page = open_page(site.url)
    page.goto("/forgot")
    expect(page.get_by_test_id("forgot-no-mail")).to_contain_text("cannot send mail")
    expect(page.get_by_test_id("forgot-email")).to_have_count(0)
    assert violations(page, DESKTOP, (360, 740)) == []


def test_an_operator_prints_a_link_that_opens_the_page(page: Page, postal: Site, account: Account) -> None:
    assert postal.instance is not None
    done = postal.instance.run("user", "reset-link", "--email", account.email)
    assert (done.returncode, done.stderr) == (0, "")
    page.goto(done.stdout.strip())
    expect(page.get_by_test_id("whose")).to_have_text(account.email)
    page.get_by_test_id("choose-password").fill(FRESH)
    page.get_by_test_id("choose-submit").click()
    expect(page.get_by_test_id("choose-done")).to_be_visible()
    unknown = postal.instance.run("user", "reset-link", "--email", "nobody@example.com")
    assert unknown.returncode == 1
    assert "nobody@example.com" in unknown.stderr
    assert "Traceback" not in unknown.stderr
