"""People of their own for tests about accounts, so that none disturbs another; and their phone."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from uuid import uuid4

import httpx
import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Page, expect
from pyotp import parse_uri
from pyotp.totp import TOTP

from tests.e2e.site import Site

STEP_S = 30
KNOWN_FOR_S = 2.1  # how long a web process goes by what it knows of a session or the rules


class Phone:
    """An authenticator app: reads the QR code that a page shows, and shows codes."""

    def __init__(self) -> None:
        self.uri = ""
        self._totp: TOTP | None = None
        self._used = 0

    def scan(self, page: Page, testid: str = "enrol-qr") -> str:
        """Take a picture of the page, and read from it what it says."""
        found = zxingcpp.read_barcodes(Image.open(BytesIO(page.get_by_test_id(testid).screenshot())))
        assert len(found) == 1, "there is no QR code to be read on the page"
        self.uri = found[0].text
        totp = parse_uri(self.uri)
        assert isinstance(totp, TOTP)
        self._totp = totp
        return self.uri

    def adopt(self, secret: str) -> None:
        """Take a secret that was typed."""
        self._totp = TOTP(secret)

    def code(self) -> str:
        """One that has not been used: this step's, or the next one's, which a server takes a step early."""
        assert self._totp is not None
        while (step := max(self._used + 1, _now())) > _now() + 1:
            time.sleep(0.2)
        self._used = step
        return self._totp.generate_otp(step)

    def wrong(self) -> str:
        """Six digits that are of no step from here to the edge of what a server looks at."""
        assert self._totp is not None
        near = {self._totp.generate_otp(_now() + away) for away in range(-12, 13)}
        return next(code for code in ("000000", "111111", "222222") if code not in near)

    def late(self, minutes: int = 3) -> str:
        """What it would show if its clock were this late."""
        assert self._totp is not None
        return self._totp.generate_otp(_now() - minutes * 60 // STEP_S)


def _now() -> int:
    return int(time.time()) // STEP_S


@dataclass
class Account:
    """Somebody who may sign in, and their API calls."""

    site: Site
    email: str
    password: str
    id: str
    client: httpx.Client = field(repr=False)
    phone: Phone = field(default_factory=Phone)

    def sign_in(self) -> None:
        """Begin a session for the API calls, which a browser may share."""
        self.client.cookies.clear()
        answer = self.client.post("/auth/login", json={"email": self.email, "password": self.password})
        assert answer.status_code == 200, answer.text
        if answer.json().get("mfa_required"):
            body = {"challenge": answer.json()["challenge"], "code": self.phone.code()}
            answer = self.client.post("/auth/mfa/verify", json=body)
            assert answer.status_code == 200, answer.text

    def cookies(self) -> list[dict[str, Any]]:
        """The session for a browser."""
        return [{"name": c.name, "value": c.value or "", "url": self.site.url} for c in self.client.cookies.jar]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Do something by the API."""
        answer = self.client.request(method, path, json=body if body is not None or method != "POST" else {})
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def enrol(self) -> list[str]:
        """Have two-factor sign-in on, without a browser; the recovery codes."""
        begun = self.call("POST", "/security/mfa/enroll", {"name": "Phone"})
        self.phone.adopt(begun["secret"])
        codes = self.call("POST", "/security/mfa/confirm", {"code": self.phone.code(), "id": begun["id"]})
        self.call("POST", "/security/mfa/saved", {"saved": True})
        return list(codes["recovery_codes"])

    def let_proof_expire(self) -> None:
        """Ten minutes pass in which they do not show again who they are."""
        with _database(self.site) as database:
            database.execute("UPDATE session SET sudo_until = 0 WHERE user_id = ?", (self.id,))
        time.sleep(KNOWN_FOR_S)


@contextmanager
def _database(site: Site) -> Iterator[sqlite3.Connection]:
    if site.instance is None:
        pytest.skip("looks into the database, which that of E2E_BASE_URL is not for")
    connection = sqlite3.connect(site.instance.folder / "data" / "novapulse.db", timeout=10)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def client_of(site: Site) -> httpx.Client:
    """A caller nobody is known in, trusted as a page of the site."""
    return httpx.Client(base_url=f"{site.url}/api/v1", headers={"Origin": site.url}, timeout=30, trust_env=False)


def new_account(site: Site, role: str = "viewer") -> Account:
    """Somebody new, who has just signed in."""
    site.sign_in()  # making users needs a proof that is fresh
    email, password = f"{uuid4().hex[:10]}@example.com", f"{uuid4().hex[:6]} plum ladder ocean {uuid4().hex[:6]}"
    made = site.post("/users", {"email": email, "password": password, "role": role})
    account = Account(site, email, password, made["id"], client_of(site))
    account.sign_in()
    return account


def type_in(page: Page, text: str) -> None:
    """Type, as soon as the page has put the focus into a field: a person would not type before."""
    expect(page.locator("input:focus")).to_be_visible()
    page.keyboard.type(text)
