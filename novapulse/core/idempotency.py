"""`Idempotency-Key`: the same key with the same body gives the first answer again, for 24 hours.

After draft-ietf-httpapi-idempotency-key-header. Only answers that did something (2xx) are kept.
"""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import orjson
from sqlalchemy import BigInteger, Text, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, SQLModel

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import BadRequestError, ConflictError
from novapulse.core.runtime import Runtime

KEPT_MS = 24 * 3600 * 1000
_RUNNING_MS = 60_000  # a first call that took longer than this died
_KEY_MAX = 255


class IdempotentAnswer(SQLModel, table=True):
    """The first answer to a call with a key."""

    __tablename__ = "idempotent_answer"

    key: str = Field(primary_key=True)  # SHA-256 of caller, route and key
    fingerprint: str  # SHA-256 of the body
    status: int | None = None  # None: the first call is still running
    body: str | None = Field(default=None, sa_type=Text)  # encrypted: it may show a secret once
    created_at: int = Field(default=0, sa_type=BigInteger, index=True)


_ANSWER = table_of(IdempotentAnswer)


@dataclass(frozen=True, slots=True)
class Claimed:
    """The first call with this key: do the work, then `keep` or `forget`."""

    key: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """A later call: the answer is known."""

    status: int
    body: bytes


async def begin(rt: Runtime, *, caller: str, route: str, key: str, body: bytes) -> Claimed | Replayed:
    """Claim a key, or find the answer it had.

    Raises:
        BadRequestError: the key is empty or too long.
        ConflictError: another body, or the first call is still running.
    """
    if not 0 < len(key) <= _KEY_MAX:
        raise BadRequestError(f"An Idempotency-Key has 1 to {_KEY_MAX} characters.")
    hashed = hashlib.sha256("\0".join((caller, route, key)).encode("utf-8", "replace")).hexdigest()
    fingerprint = hashlib.sha256(body).hexdigest()
    now = now_ms()
    a = _ANSWER.c
    try:
        async with rt.database.write() as session:
            expired = (a.created_at < now - KEPT_MS) | (a.status.is_(None) & (a.created_at < now - _RUNNING_MS))
            await session.execute(delete(_ANSWER).where(a.key == hashed, expired))
            await session.execute(insert(_ANSWER).values(key=hashed, fingerprint=fingerprint, created_at=now))
    except IntegrityError:
        return await _earlier(rt, hashed, fingerprint)
    return Claimed(hashed)


async def _earlier(rt: Runtime, hashed: str, fingerprint: str) -> Replayed:
    async with rt.database.read() as session:
        row = (await session.execute(select(_ANSWER).where(_ANSWER.c.key == hashed))).one_or_none()
    if row is not None and row.fingerprint != fingerprint:
        raise ConflictError("This Idempotency-Key was used before with another body.")
    if row is None or row.status is None:
        raise ConflictError("A call with this Idempotency-Key is still running; repeat it in a moment.")
    sealed = orjson.loads(rt.keyring.decrypt(row.body, f"idempotent_answer:body:{hashed}"))
    return Replayed(row.status, sealed.encode())


async def keep(rt: Runtime, claimed: Claimed, status: int, body: bytes) -> None:
    """Remember the answer."""
    sealed = rt.keyring.encrypt(orjson.dumps(body.decode()).decode(), f"idempotent_answer:body:{claimed.key}")
    async with rt.database.write() as session:
        await session.execute(update(_ANSWER).where(_ANSWER.c.key == claimed.key).values(status=status, body=sealed))


async def forget(rt: Runtime, claimed: Claimed) -> None:
    """Give the key back: the call failed and may be repeated."""
    async with rt.database.write() as session:
        await session.execute(delete(_ANSWER).where(_ANSWER.c.key == claimed.key))


async def delete_expired(rt: Runtime) -> None:
    """Housekeeping: drop answers older than 24 h."""
    async with rt.database.write() as session:
        await session.execute(delete(_ANSWER).where(_ANSWER.c.created_at < now_ms() - KEPT_MS))
