"""Passkeys and security keys: those a user has. How they are made and shown is in `webauthn_ceremonies`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import InvalidError, NotFoundError
from novapulse.core.runtime import Runtime
from novapulse.security import audit, devices, factors, notices
from novapulse.security.models import Passkey
from novapulse.security.notices import Notice

NAME_MAX = 60
_PASSKEY = table_of(Passkey)


class PasskeyView(BaseModel):
    """A passkey as its owner sees it."""

    id: str
    name: str
    backed_up: bool
    created_at: str
    proven_at: str | None


async def list_passkeys(rt: Runtime, user_id: str) -> list[PasskeyView]:
    """A user's, oldest first."""
    async with rt.database.read() as session:
        rows = await session.execute(select(_PASSKEY).where(_PASSKEY.c.user_id == user_id).order_by(_PASSKEY.c.id))
        return [view(row) for row in rows]


async def count_passkeys(session: AsyncSession, user_id: str) -> int:
    """How many a user has."""
    counted = select(func.count()).select_from(_PASSKEY).where(_PASSKEY.c.user_id == user_id)
    return (await session.execute(counted)).scalar_one()


async def rename_passkey(rt: Runtime, actor: Actor, passkey_id: str, name: str) -> PasskeyView:
    """Another name; NotFoundError if it is not the actor's."""
    async with rt.database.write() as session:
        row = await _own(session, actor, passkey_id)
        row.name = check_name(name)
        session.add(row)
        await audit.append(rt, session, actor, "passkey.renamed", target=("passkey", row.id, row.name))
    return view(row)


async def remove_passkey(rt: Runtime, actor: Actor, passkey_id: str) -> None:
    """Have it work no longer.

    Raises:
        NotFoundError: it is not the actor's.
        ConflictError: it is the last factor.
        ReauthenticationError: not proven lately.
    """
    actor.require_sudo()
    async with rt.database.write() as session:
        user = await factors.lock(session, actor.id)
        row = await _own(session, actor, passkey_id)
        await factors.require_another(session, actor.id)
        await session.execute(delete(_PASSKEY).where(_PASSKEY.c.id == row.id))
        await devices.end_remembered(session, actor.id)
        await notices.tell(rt, session, user.email, Notice.PASSKEY_REMOVED, {"name": row.name, "ip": actor.ip})
        await audit.append(rt, session, actor, "passkey.removed", target=("passkey", row.id, row.name))


def check_name(name: str) -> str:
    """A name that a person gives.

    Raises:
        InvalidError: none, or too long.
    """
    plain = " ".join(name.split())
    if not 0 < len(plain) <= NAME_MAX or not plain.isprintable():
        raise InvalidError.at("/name", f"must have 1 to {NAME_MAX} characters")
    return plain


def view(row: Any) -> PasskeyView:
    """A row as its owner sees it."""
    return PasskeyView(
        id=row.id,
        name=row.name,
        backed_up=row.backed_up,
        created_at=rfc3339(row.created_at),
        proven_at=None if row.proven_at is None else rfc3339(row.proven_at),
    )


async def _own(session: AsyncSession, actor: Actor, passkey_id: str) -> Passkey:
    row = await session.get(Passkey, passkey_id)
    if row is None or row.user_id != actor.id:
        raise NotFoundError("passkey", passkey_id)
    return row
