"""The team: inviting, changing and shutting out people, resets by two admins, and the rules."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pyotp
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.site import PASSWORD, Site
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

REASON = "She called from the number we know and showed her badge."


@pytest.fixture
def own(site: Site) -> Iterator[Site]:
    """A site whose people and rules a test may change."""
    if site.instance is None:
        pytest.skip("changes the accounts of an instance, which E2E_BASE_URL's are not for")
    site.sign_in()  # proven lately
    rules = site.get("/security/rules")
    yield site
    site.client.put("/security/rules", json={name: rules[name] for name in rules if name != "changed_at"})


@pytest.fixture
def page(own: Site, open_page: OpenPage) -> Page:
    """A page of an admin who has just signed in; tests type what is refused."""
    watch = Watch(own.url)
    watch.allow("422")
    return open_page(own.url, cookies=own.cookies(), watch=watch)


def _person(site: Site, role: str = "viewer") -> dict[str, str]:
    """Somebody with a password."""
    return site.post(
        "/users", {"email": f"{site.mark}-{role}-{uuid4().hex[:6]}@example.com", "password": PASSWORD, "role": role}
    )


def _client(site: Site, email: str) -> httpx.Client:
    client = httpx.Client(base_url=f"{site.url}/api/v1", headers={"Origin": site.url}, trust_env=False)
    client.post("/auth/login", json={"email": email, "password": PASSWORD}).raise_for_status()
    return client


def test_an_invited_person_gets_a_link_and_chooses_a_password(page: Page, own: Site, open_page: OpenPage) -> None:
    email = f"{own.mark}-invited@example.com"
    page.goto("/settings/team")
    page.get_by_test_id("invite-open").click()
    page.get_by_test_id("invite-email").fill("nobody")
    page.get_by_test_id("invite-send").click()
    expect(page.get_by_test_id("invite-error")).to_contain_text("e-mail address")
    page.get_by_test_id("invite-email").fill(email)
    page.get_by_test_id("invite-send").click()
    link = page.get_by_test_id("invite-link").inner_text()
    assert link.startswith(f"{own.url}/invite#token=")
    page.get_by_test_id("invite-done").click()
    row = page.get_by_test_id("people").locator("li").filter(has_text=email)
    expect(row).to_contain_text("invited")
    watch = Watch(own.url)
    watch.allow("WebSocket")
    guest = open_page(own.url, watch=watch)
    guest.goto(link)
    guest.get_by_label("Password", exact=False).first.fill(PASSWORD)
    guest.get_by_role("button", name="Create", exact=False).or_(guest.get_by_role("button", name="Join")).first.click()
    expect(guest.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    page.reload()
    expect(row).to_contain_text("password only")


def test_a_role_is_changed_and_somebody_is_shut_out_at_once(page: Page, own: Site) -> None:
    person = _person(own)
    theirs = _client(own, person["email"])
    page.goto("/settings/team")
    row = page.get_by_test_id(f"person-{person['id']}")
    row.get_by_test_id("person-role").click()
    page.get_by_role("option", name="Operator").click()
    expect(row.get_by_test_id("person-role")).to_have_text("Operator")
    assert theirs.get("/auth/me").status_code == 401, "what they may do has changed: they sign in again"
    theirs = _client(own, person["email"])
    row.get_by_test_id("person-more").click()
    page.get_by_test_id("person-out").click()
    expect(row).to_contain_text("shut out")
    assert theirs.get("/auth/me").status_code == 401
    assert theirs.post("/auth/login", json={"email": person["email"], "password": PASSWORD}).status_code == 401


def test_a_reset_waits_for_a_second_admin(page: Page, own: Site) -> None:
    person, second = _person(own, "operator"), _person(own, "admin")
    theirs = _client(own, person["email"])
    secret = theirs.post("/security/mfa/enroll", json={}).json()["secret"]
    codes = theirs.post("/security/mfa/confirm", json={"code": pyotp.TOTP(secret).now()}).json()["recovery_codes"]
    theirs.post("/security/mfa/saved", json={"code": codes[0]}).raise_for_status()
    page.goto("/settings/team")
    row = page.get_by_test_id(f"person-{person['id']}")
    expect(row).to_contain_text("second factor")
    row.get_by_test_id("person-more").click()
    page.get_by_test_id("person-reset").click()
    page.get_by_test_id("reset-reason").fill("lost it")
    page.get_by_test_id("reset-ask").click()
    expect(page.get_by_text("how you know who asks")).to_be_visible()
    page.get_by_test_id("reset-reason").fill(REASON)
    page.get_by_test_id("reset-ask").click()
    reset = page.get_by_test_id("resets").locator("li").filter(has_text=person["email"])
    expect(reset).to_contain_text("waits for a second admin")
    expect(reset.get_by_test_id("reset-approve")).to_have_count(0)
    other = _client(own, second["email"])
    (row_,) = [each for each in other.get("/users/mfa-resets").json()["data"] if each["email"] == person["email"]]
    other.post(f"/users/mfa-resets/{row_['id']}/approve", json={}).raise_for_status()
    page.reload()
    expect(reset).to_contain_text(f"agreed to by {second['email']}")
    reset.get_by_test_id("reset-cancel").click()
    expect(reset).to_contain_text("taken back by")


def test_the_rules_are_changed_and_wrong_ones_are_told_at_their_field(page: Page, own: Site) -> None:
    page.goto("/settings/team")
    page.get_by_test_id("rule-grace_days").fill("1000")
    page.get_by_test_id("rules-save").click()
    expect(page.get_by_test_id("rule-grace_days-error")).to_be_visible()
    page.get_by_test_id("rule-grace_days").fill("3")
    page.get_by_test_id("require-viewer").click()
    page.get_by_test_id("rule-session_idle_s").fill("2")
    page.get_by_test_id("rules-save").click()
    expect(page.get_by_text("The rules hold from now on.")).to_be_visible()
    rules = own.get("/security/rules")
    assert (rules["grace_days"], rules["require_mfa"], rules["session_idle_s"]) == (3, ["viewer"], 7200)
    page.reload()
    expect(page.get_by_test_id("require-viewer")).to_have_attribute("data-state", "checked")


def test_who_is_no_admin_is_told_so(own: Site, open_page: OpenPage) -> None:
    person = _person(own)
    client = _client(own, person["email"])
    cookies = [{"name": each.name, "value": each.value or "", "url": own.url} for each in client.cookies.jar]
    watch = Watch(own.url)
    watch.allow("403")
    opened = open_page(own.url, cookies=cookies, watch=watch)
    opened.goto("/settings/team")
    expect(opened.get_by_test_id("team-admins-only")).to_be_visible()
