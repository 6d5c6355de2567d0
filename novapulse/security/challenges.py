"""Challenges: what a first step began and a second one ends, such as a sign-in that waits for its second factor.

The token is the caller's, its SHA-256 is in the database. A challenge is bound to what it was begun for, runs out, and
ends once (OWASP ASVS 5.0, 6.6.2 and 6.6.3).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select, update

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import UnauthorizedError
from novapulse.core.runtime import Runtime
from novapulse.security.models import Challenge

TRIES_MAX = 5
ENDED = "urn:novapulse:problem:challenge-ended"
_CHALLENGE = table_of(Challenge)
_TOKEN_BYTES = 32


async def begin(
    rt: Runtime, kind: str, user_id: str | None, data: dict[str, Any], ttl_s: int = 600, device_id: str | None = None
) -> str:
    """Begin a challenge of this kind; the token to end it with. `data` is kept as it is and holds no secret."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    row = Challenge(
        token_hash=_hash(token),
        kind=kind,
        user_id=user_id,
        device_id=device_id,
        data=data,
        expires_at=now_ms() + ttl_s * 1000,
    )
    async with rt.database.write() as session:
        session.add(row)
    return token


async def find(rt: Runtime, token: str, *kinds: str) -> Challenge:
    """The challenge of one of these kinds that the token is for.

    Raises:
        UnauthorizedError: there is none, or it has ended (problem type `challenge-ended`).
    """
    c = _CHALLENGE.c
    async with rt.database.read() as session:
        row = (await session.execute(select(Challenge).where(*_is_open(token), c.kind.in_(kinds)))).scalar_one_or_none()
    if row is None:
        raise ended()
    return row


async def put(rt: Runtime, token: str, data: dict[str, Any]) -> None:
    """Replace what is kept with a challenge.

    Raises:
        UnauthorizedError: it has ended.
    """
    async with rt.database.write() as session:
        done = await session.execute(update(_CHALLENGE).where(*_is_open(token)).values(data=data))
    if cast("CursorResult[tuple[()]]", done).rowcount != 1:
        raise ended()


async def count_try(rt: Runtime, token: str) -> int:
    """Count a try before it is judged; how many more there may be.

    Raises:
        UnauthorizedError: it has ended, or there were `TRIES_MAX` before.
    """
    c = _CHALLENGE.c
    async with rt.database.write() as session:
        counted = await session.execute(
            update(_CHALLENGE)
            .where(*_is_open(token), c.failures < TRIES_MAX)
            .values(failures=c.failures + 1)
            .returning(c.failures)
        )
        failures = counted.scalar_one_or_none()
    if failures is None:
        raise ended()
    return TRIES_MAX - failures


async def end(rt: Runtime, token: str) -> bool:
    """Use the challenge up: of all who try, one gets True."""
    async with rt.database.write() as session:
        done = await session.execute(delete(_CHALLENGE).where(*_is_open(token)))
    return cast("CursorResult[tuple[()]]", done).rowcount == 1


async def delete_expired(rt: Runtime) -> None:
    """Housekeeping."""
    async with rt.database.write() as session:
        await session.execute(delete(_CHALLENGE).where(_CHALLENGE.c.expires_at <= now_ms()))


def ended() -> UnauthorizedError:
    """What somebody is told whose challenge is over."""
    error = UnauthorizedError("This sign-in took too long, or had too many wrong tries; begin again.")
    error.type = ENDED
    return error


def _is_open(token: str) -> tuple[Any, ...]:
    return (_CHALLENGE.c.token_hash == _hash(token), _CHALLENGE.c.expires_at > now_ms())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
