"""Links that are mailed and work once: to set a password, accept an invitation, confirm an address, stop a reset.

A token has 256 bits of chance and is kept as its SHA-256 (OWASP ASVS 5.0, 6.6.2 and 11.5.1). It stands behind the `#`
of its link, which browsers keep to themselves: no server, proxy or log sees it in an address, and no referrer tells it.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Literal

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError
from novapulse.core.runtime import Runtime
from novapulse.security.models import OneTimeLink

Kind = Literal["reset", "invite", "email", "stop_reset"]
PAGES: dict[Kind, str] = {
    "reset": "/reset",
    "invite": "/invite",
    "email": "/confirm-email",
    "stop_reset": "/stop-reset",
}
_TOKEN_BYTES = 32
_KEPT_MS = 24 * 3_600_000  # after they ran out, for the count of the last hour
_LINK = table_of(OneTimeLink)


async def make(
    rt: Runtime,  # noqa: ARG001 - as every service
    session: AsyncSession,
    kind: Kind,
    user_id: str,
    ttl_s: int,
    data: dict[str, Any] | None = None,
) -> str:
    """A fresh token within the transaction of `session`; those of the same kind before it work no longer."""
    await end_all(session, user_id, kind)
    token, now = secrets.token_urlsafe(_TOKEN_BYTES), now_ms()
    row = OneTimeLink(
        token_hash=_hash(token),
        kind=kind,
        user_id=user_id,
        data=data or {},
        created_at=now,
        expires_at=now + ttl_s * 1000,
    )
    session.add(row)
    await session.flush()
    return token


def address(rt: Runtime, kind: Kind, token: str) -> str:
    """The link to mail."""
    return f"{rt.settings.base_url}{PAGES[kind]}#token={token}"


async def peek(session: AsyncSession, token: str, *kinds: Kind) -> OneTimeLink:
    """The link of a token, without using it up; of one of these kinds, or of any.

    Raises:
        ForbiddenError: it does not work, or no longer.
    """
    found = select(OneTimeLink).where(*_is_open(token, kinds))
    row = (await session.execute(found)).scalar_one_or_none()
    if row is None:
        raise _dead()
    return row


async def use(
    rt: Runtime,  # noqa: ARG001 - as every service
    session: AsyncSession,
    token: str,
    *kinds: Kind,
) -> OneTimeLink:
    """Use a link up within the transaction of `session`: of all who try, one gets it.

    Raises:
        ForbiddenError: it does not work, or no longer.
    """
    done = await session.execute(
        update(_LINK).where(*_is_open(token, kinds)).values(used_at=now_ms()).returning(_LINK.c.token_hash)
    )
    token_hash = done.scalar_one_or_none()
    if token_hash is None:
        raise _dead()
    return await session.get_one(OneTimeLink, token_hash, populate_existing=True)


async def end_all(session: AsyncSession, user_id: str, *kinds: Kind) -> None:
    """Have a user's links of these kinds work no longer."""
    c, now = _LINK.c, now_ms()
    mine = (c.user_id == user_id, c.kind.in_(kinds), c.used_at.is_(None), c.expires_at > now)
    await session.execute(update(_LINK).where(*mine).values(expires_at=now))


async def count_since(session: AsyncSession, user_id: str, kind: Kind, since: int) -> int:
    """How many were made for a user since that time (ms)."""
    c = _LINK.c
    made = select(func.count()).where(c.user_id == user_id, c.kind == kind, c.created_at > since)
    return (await session.execute(made)).scalar_one()


async def delete_expired(rt: Runtime) -> None:
    """Housekeeping."""
    async with rt.database.write() as session:
        await session.execute(delete(_LINK).where(_LINK.c.expires_at < now_ms() - _KEPT_MS))


def _is_open(token: str, kinds: tuple[Kind, ...]) -> tuple[Any, ...]:
    c = _LINK.c
    fits = (c.token_hash == _hash(token), c.used_at.is_(None), c.expires_at > now_ms())
    return (*fits, c.kind.in_(kinds)) if kinds else fits


def _dead() -> ForbiddenError:
    return ForbiddenError("This link does not work, or no longer: each works once and for a limited time. Ask anew.")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
