"""A user with a second factor, and their phone: pyotp, on a clock that tests move."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest
from pyotp.totp import TOTP

from novapulse.core.actor import Role
from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.security import authenticators, factors, sessions
from novapulse.security.sessions import Live
from tests.calls import ORIGIN, make_cookie, make_user

STEP_MS = 30_000


class Clock:
    """The time that codes go by. It stands at the middle of a step until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ms = now_ms() // STEP_MS * STEP_MS + STEP_MS // 2
        for module in (factors, authenticators):
            monkeypatch.setattr(module, "now_ms", lambda: self.ms)

    def move(self, steps: int = 1) -> None:
        self.ms += steps * STEP_MS


@dataclass
class Phone:
    """An authenticator app that has scanned a secret."""

    secret: str
    clock: Clock

    def code(self, steps: int = 0) -> str:
        """What it shows now, or so many steps later."""
        return TOTP(self.secret).at(self.clock.ms // 1000, counter_offset=steps)


@dataclass
class Person:
    """A user whose second factor is on."""

    id: str
    email: str
    cookie: str
    phone: Phone
    codes: list[str]


async def enrol(client: httpx.AsyncClient, clock: Clock, **headers: str) -> tuple[Phone, list[str]]:
    """Set up an authenticator by the API, as far as its first code; the phone, and the recovery codes."""
    begun = await client.post("/security/mfa/enroll", headers=headers)
    assert begun.status_code == 200, begun.text
    phone = Phone(begun.json()["secret"], clock)
    confirmed = await client.post("/security/mfa/confirm", json={"code": phone.code()}, headers=headers)
    assert confirmed.status_code == 200, confirmed.text
    clock.move()
    return phone, confirmed.json()["recovery_codes"]


async def make_person(rt: Runtime, client: httpx.AsyncClient, clock: Clock, role: Role = Role.ADMIN) -> Person:
    """A user who has set up an authenticator and kept their recovery codes."""
    user = await make_user(rt, role)
    cookie = await make_cookie(rt, user.id)
    headers = {"Cookie": cookie, "Origin": ORIGIN}
    phone, codes = await enrol(client, clock, **headers)
    saved = await client.post("/security/mfa/saved", json={"code": codes[0]}, headers=headers)
    assert saved.status_code == 204, saved.text
    return Person(user.id, user.email, cookie, phone, codes)


async def live_of(rt: Runtime, cookie: str) -> Live:
    """The session of a `Cookie` header."""
    live = await sessions.find_by_token(rt, cookie.partition("=")[2])
    assert live is not None
    return live
