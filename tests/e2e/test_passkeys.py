"""Passkeys with Chromium's virtual authenticator: made, used as second factor and instead of a password, refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.site import Site
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

_PLATFORM = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
# What the screen for it does, in the browser's own words (WebAuthn Level 3, 5.1).
_MAKE = """async ({ challenge, options }) => {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return { challenge, credential: (await navigator.credentials.create({ publicKey })).toJSON() };
}"""


class Authenticator:
    """A virtual one, plugged into a page."""

    def __init__(self, page: Page, **options: Any) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("WebAuthn.enable")
        made = self._session.send("WebAuthn.addVirtualAuthenticator", {"options": _PLATFORM | options})
        self._id = {"authenticatorId": made["authenticatorId"]}

    def verifies_user(self, on: bool) -> None:
        """Whether the person's finger fits."""
        self._session.send("WebAuthn.setUserVerified", {**self._id, "isUserVerified": on})

    def credentials(self) -> list[dict[str, Any]]:
        """What it holds."""
        return self._session.send("WebAuthn.getCredentials", self._id)["credentials"]

    def put(self, credential: dict[str, Any]) -> None:
        """Have it hold this, as a clone would."""
        self._session.send("WebAuthn.addCredential", {**self._id, "credential": credential})

    def unplug(self) -> None:
        """Take it away."""
        self._session.send("WebAuthn.removeVirtualAuthenticator", self._id)

    def drop(self) -> None:
        """Have it hold nothing."""
        self._session.send("WebAuthn.clearCredentials", self._id)


def _security_key(page: Page) -> Authenticator:
    """One that is touched and knows nobody, as the older ones are."""
    options = {"hasResidentKey": False, "hasUserVerification": False, "isUserVerified": False}
    return Authenticator(page, protocol="u2f", transport="usb", **options)


@pytest.fixture
def origin(site: Site) -> str:
    """The site by a name: browsers make no passkey for an address."""
    if site.instance is None:
        pytest.skip("E2E_BASE_URL may be an address, and its account must not get a passkey")
    return site.url.replace("127.0.0.1", "localhost")


@pytest.fixture
def page(open_page: OpenPage, origin: str, site: Site) -> Iterator[Page]:
    """A page of somebody who has just signed in by password; their passkeys are gone afterwards."""
    site.sign_in()  # proven lately, to clean up
    watch = Watch(origin)
    watch.allow("401|403|404|409|422|WebSocket")
    opened = open_page(origin, watch=watch)
    opened.goto("/login")
    assert _api(opened, "POST", "/auth/login", {"email": site.email, "password": site.password})["status"] == 200
    yield opened
    if site.get("/security/mfa")["passkeys"]:
        site.client.post("/security/mfa/disable", json={}).raise_for_status()


def _api(page: Page, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """A call made by the page; its status and body."""
    return page.evaluate(
        """async ([method, path, body]) => {
          const headers = body === null ? {} : { "Content-Type": "application/json" };
          const sent = body === null ? undefined : JSON.stringify(body);
          const answer = await fetch(`/api/v1${path}`, { method, headers, body: sent });
          return { status: answer.status, body: await answer.json().catch(() => null) };
        }""",
        [method, path, body],
    )


def _add(page: Page, name: str) -> dict[str, Any]:
    """Make a passkey and have it kept."""
    ceremony = _api(page, "POST", "/security/passkeys/options", {})
    assert ceremony["status"] == 200, ceremony
    made = page.evaluate(_MAKE, ceremony["body"])
    return _api(page, "POST", "/security/passkeys", made | {"name": name})


def _sign_out(page: Page) -> None:
    _api(page, "POST", "/auth/logout", {})
    page.goto("/login")
    page.add_script_tag(url="/login/passkey.js")


def _show(page: Page, **options: Any) -> Any:
    """Sign in by the script of the sign-in page; what it answers, or what it says went wrong."""
    return page.evaluate("(options) => npPasskey.signIn(options).catch((error) => error.message)", options)


def test_a_passkey_signs_in_without_a_password(page: Page, site: Site) -> None:
    Authenticator(page)
    added = _add(page, "Laptop")
    assert added["status"] == 201, added
    assert added["body"]["name"] == "Laptop"
    _sign_out(page)
    assert _show(page)["user"]["email"] == site.email
    page.goto("/webhooks")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")


def test_alone_it_has_to_know_its_user(page: Page) -> None:
    authenticator = Authenticator(page)
    _add(page, "Laptop")
    _sign_out(page)
    authenticator.verifies_user(False)
    assert _show(page) == "No passkey was used. Try again, or use another way."


def test_after_a_password_it_is_asked_for_and_then_a_touch_is_enough(page: Page, site: Site) -> None:
    _security_key(page)
    _add(page, "Blue key")
    _sign_out(page)
    first = _api(page, "POST", "/auth/login", {"email": site.email, "password": site.password})
    assert first["body"]["mfa_required"], first
    assert "passkey" in first["body"]["methods"]
    assert _api(page, "GET", "/auth/me")["status"] == 401, "half a sign-in is none"
    assert _show(page, challenge=first["body"]["challenge"])["user"]["email"] == site.email
    assert _api(page, "GET", "/auth/me")["status"] == 200


def test_an_answer_works_once_and_not_for_another_challenge(page: Page) -> None:
    Authenticator(page)
    _add(page, "Laptop")
    ceremony = _api(page, "POST", "/security/passkeys/options", {})["body"]
    made = page.evaluate(_MAKE, ceremony | {"options": ceremony["options"] | {"excludeCredentials": []}})
    other = _api(page, "POST", "/security/passkeys/options", {})["body"]
    wrong = _api(page, "POST", "/security/passkeys", made | {"challenge": other["challenge"], "name": "x"})
    assert wrong["status"] == 422, wrong
    assert _api(page, "POST", "/security/passkeys", made | {"name": "Second"})["status"] == 201
    again = _api(page, "POST", "/security/passkeys", made | {"name": "Third"})
    assert again["status"] == 401
    assert again["body"]["type"] == "urn:novapulse:problem:challenge-ended"


def test_a_clone_that_counts_less_is_refused(page: Page) -> None:
    authenticator = Authenticator(page)
    _add(page, "Laptop")
    (old,) = authenticator.credentials()
    _sign_out(page)
    assert "user" in _show(page)
    authenticator.drop()
    authenticator.put(old)  # its count is that of before
    _sign_out(page)
    assert "was not accepted" in _show(page)


def test_removed_it_opens_nothing(page: Page) -> None:
    laptop = Authenticator(page)
    added = _add(page, "Laptop")["body"]
    (old,) = laptop.credentials()
    laptop.unplug()
    renamed = _api(page, "PATCH", f"/security/passkeys/{added['id']}", {"name": "Old laptop"})
    assert renamed["body"]["name"] == "Old laptop"
    assert _api(page, "DELETE", f"/security/passkeys/{added['id']}")["status"] == 409, "the last factor stays"
    key = _security_key(page)
    assert _add(page, "Blue key")["status"] == 201
    key.unplug()
    Authenticator(page).put(old)
    assert _api(page, "DELETE", f"/security/passkeys/{added['id']}")["status"] == 204
    assert _api(page, "DELETE", f"/security/passkeys/{added['id']}")["status"] == 404
    _sign_out(page)
    assert "was not accepted" in _show(page)


def test_at_an_address_it_says_why_there_are_none(open_page: OpenPage, site: Site) -> None:
    watch = Watch(site.url)
    watch.allow("409")
    opened = open_page(site.url, cookies=site.cookies(), watch=watch)
    opened.goto("/webhooks")
    refused = _api(opened, "POST", "/security/passkeys/options", {})
    assert refused["status"] == 409
    assert "http://localhost:8000" in refused["body"]["detail"]
