"""API keys: `np_live_` and 32 random bytes, kept as a SHA-256. Random enough that a fast hash is right.

A key ends when it is revoked or its time is over. Rotating makes another that does the same, and lets the old one work
for a while longer, in which programs change over.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import ROLE_PERMISSIONS, Actor, Permission, Role
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError, InvalidError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.security.models import ApiKey, User
from novapulse.security.notices import Notice, tell

PREFIX = "np_live_"
_SHOWN = len(PREFIX) + 6
_KNOWN_FOR_S = 2.0
_KNOWN_MAX = 10_000
_USED_EVERY_MS = 60_000  # how often `last_used_at` is written
EXPIRES_MAX_DAYS = 3650
OVERLAP_S = 86_400
OVERLAP_MAX_S = 90 * 86_400
_DAY_MS = 86_400_000
_SOON_MS = 14 * _DAY_MS  # before its end, a key is pointed out
_SHOWN_EXPIRED_MS = 30 * _DAY_MS  # so that whoever looks for why a program fails finds it
_MAKERS_MAX = 10
_TENANT = re.compile(r"[A-Za-z0-9._:@/-]{1,128}")
_KEY = table_of(ApiKey)
_USER = table_of(User)


class ApiKeyView(BaseModel):
    """A key without the key."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    tenant: str | None
    created_by: str = Field(description="The e-mail or the key's name of who made it; its id once they are gone.")
    created_at: str
    expires_at: str | None
    status: Literal["active", "expiring", "expired"] = Field(description="`expiring`: within 14 days.")
    last_used_at: str | None = Field(description="To the minute.")
    last_used_ip: str | None


def permissions_of(scopes: list[str]) -> frozenset[Permission]:
    """What scopes allow: a permission, `webhooks:*`, `*`, or the name of a role.

    Raises:
        ValueError: an unknown scope, with those there are.
    """
    found: set[Permission] = set()
    for scope in scopes:
        if scope == "*":
            found |= set(Permission)
        elif scope in set(Role):
            found |= ROLE_PERMISSIONS[Role(scope)]
        else:
            fitting = {p for p in Permission if p == scope or (scope.endswith(":*") and p.startswith(scope[:-1]))}
            if not fitting:
                known = ", ".join(["*", *Role, *Permission])
                raise ValueError(f"'{scope[:64]}' is not a scope; the scopes are {known}")
            found |= fitting
    return frozenset(found)


async def create_api_key(
    rt: Runtime,
    actor: Actor,
    name: str,
    scopes: list[str],
    tenant: str | None = None,
    expires_in_days: int | None = None,
) -> tuple[ApiKeyView, str]:
    """Make a key; the key itself is in the answer and nowhere else.

    Raises:
        InvalidError: no name, no scope, or one that does not exist; not a tenant; no such number of days.
        ForbiddenError: a scope that the actor does not hold.
        ReauthenticationError: a person has to show first that it is them.
    """
    actor.require(Permission.KEYS_WRITE)
    if not 0 < len(name.strip()) <= 100 or "\0" in name:
        raise InvalidError.at("/name", "must have 1 to 100 characters")
    if tenant is not None and not _TENANT.fullmatch(tenant):
        raise InvalidError.at("/tenant", "must have 1 to 128 letters, digits or characters of ._:@/-")
    if expires_in_days is not None and not 1 <= expires_in_days <= EXPIRES_MAX_DAYS:
        raise InvalidError.at("/expires_in_days", f"must be 1 to {EXPIRES_MAX_DAYS}")
    if not scopes:
        raise InvalidError.at("/scopes", "must name at least one scope")
    try:
        permissions_of(scopes)
    except ValueError as error:
        raise InvalidError.at("/scopes", str(error)) from None
    _require_reach(actor, scopes, tenant)
    actor.require_sudo()
    now = now_ms()
    expires_at = None if expires_in_days is None else now + expires_in_days * _DAY_MS
    row, key = _made(actor, name.strip(), scopes, tenant, now, expires_at)
    async with rt.database.write() as session:
        session.add(row)
        await _tell(rt, session, actor, row.name)
        detail = {"scopes": scopes, "tenant": tenant, "expires_at": _shown(expires_at), "prefix": row.prefix}
        await audit.append(rt, session, actor, "api_key.created", target=_target(row), detail=detail)
    return _view(row, actor.name, now), key


async def rotate_api_key(rt: Runtime, actor: Actor, key_id: str, overlap_s: int = OVERLAP_S) -> tuple[ApiKeyView, str]:
    """Make a key that does the same; the one it replaces works for `overlap_s` longer, at most.

    It lives as long as the old one was meant to, from now on.

    Raises:
        NotFoundError: there is none, or it works no longer.
        InvalidError: no such overlap.
        ForbiddenError: the key may do what the actor may not.
        ReauthenticationError: a person has to show first that it is them.
    """
    actor.require(Permission.KEYS_WRITE)
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise InvalidError.at("/overlap_s", f"must be 0 to {OVERLAP_MAX_S}")
    now = now_ms()
    async with rt.database.write() as session:
        ends = now + overlap_s * 1000
        ending = (_KEY.c.expires_at.is_(None)) | (_KEY.c.expires_at > ends)
        found = select(_KEY).where(_KEY.c.id == key_id, *_works(now), *_within(actor)).with_for_update()
        old = (await session.execute(found)).one_or_none()
        if old is None:
            raise NotFoundError("API key", key_id)
        _require_reach(actor, old.scopes, old.tenant)
        actor.require_sudo()
        expires_at = None if old.expires_at is None else now + old.expires_at - old.created_at
        row, key = _made(actor, old.name, old.scopes, old.tenant, now, expires_at)
        await session.execute(update(_KEY).where(_KEY.c.id == key_id, ending).values(expires_at=ends))
        session.add(row)
        await _tell(rt, session, actor, row.name)
        detail = {"new": row.id, "prefix": row.prefix, "overlap_s": overlap_s}
        await audit.append(rt, session, actor, "api_key.rotated", target=_target(old), detail=detail)
    rt.part(_Known).found.clear()
    return _view(row, actor.name, now), key


async def list_api_keys(rt: Runtime, actor: Actor, *, limit: int = 50, cursor: str | None = None) -> Page[ApiKeyView]:
    """Keys that work or worked until lately, newest first."""
    actor.require(Permission.KEYS_WRITE)
    k, now = _KEY.c, now_ms()
    conditions: list[Any] = [*_works(now - _SHOWN_EXPIRED_MS), *_within(actor)]
    if cursor is not None:
        conditions.append(k.id < decode_cursor(cursor, "key_"))
    async with rt.database.read() as session:
        rows = (await session.execute(select(_KEY).where(*conditions).order_by(k.id.desc()).limit(limit + 1))).all()
        makers = {row.created_by for row in rows}
        users = await session.execute(select(_USER.c.id, _USER.c.email).where(_USER.c.id.in_(makers)))
        keys = await session.execute(select(k.id, k.name).where(k.id.in_(makers)))
        names = {row[0]: row[1] for row in (*users, *keys)}
    return page_of(
        rows, limit, lambda row: _view(row, names.get(row.created_by, row.created_by), now), lambda row: row.id
    )


async def revoke_api_key(rt: Runtime, actor: Actor, key_id: str) -> None:
    """Have a key work no longer.

    Raises:
        NotFoundError: there is none.
        ReauthenticationError: a person has to show first that it is them.
    """
    actor.require(Permission.KEYS_WRITE)
    actor.require_sudo()
    k = _KEY.c
    async with rt.database.write() as session:
        done = await session.execute(
            update(_KEY)
            .where(k.id == key_id, k.revoked_at.is_(None), *_within(actor))
            .values(revoked_at=now_ms())
            .returning(k.id, k.name)
        )
        row = done.one_or_none()
        if row is None:
            raise NotFoundError("API key", key_id)
        await audit.append(rt, session, actor, "api_key.revoked", target=_target(row))
    rt.part(_Known).found.clear()


async def actor_of_key(rt: Runtime, key: str, ip: str = "") -> Actor | None:
    """Who a key is, None if it does not work. Other processes notice a revocation within two seconds."""
    return await rt.part(_Known).find(key, ip) if key.startswith(PREFIX) else None


def _within(actor: Actor) -> list[Any]:
    """The condition that keeps a tenant's key to its own."""
    return [] if actor.tenant is None else [_KEY.c.tenant == actor.tenant]


def _require_reach(actor: Actor, scopes: list[str], tenant: str | None) -> None:
    if not permissions_of(scopes) <= actor.permissions:
        raise ForbiddenError("A key cannot have a scope that its maker does not have.")
    if actor.tenant is not None and tenant != actor.tenant:
        raise ForbiddenError(f"This key may only act for tenant '{actor.tenant}'.")


def _made(
    actor: Actor, name: str, scopes: list[str], tenant: str | None, now: int, expires_at: int | None
) -> tuple[ApiKey, str]:
    key = PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(
        id=new_id("key"),
        name=name,
        prefix=key[:_SHOWN],
        key_hash=_hash(key),
        scopes=scopes,
        tenant=tenant,
        created_by=actor.id,
        created_at=now,
        expires_at=expires_at,
    )
    return row, key


async def _tell(rt: Runtime, session: AsyncSession, actor: Actor, name: str) -> None:
    """Tell whose doing the new key is: the person, or the one behind the key that made it."""
    maker = actor.id
    for _ in range(_MAKERS_MAX):
        by = (await session.execute(select(_KEY.c.created_by).where(_KEY.c.id == maker))).scalar_one_or_none()
        if by is None:
            break
        maker = by
    email = (await session.execute(select(_USER.c.email).where(_USER.c.id == maker))).scalar_one_or_none()
    if email is not None:
        by_key = actor.name if actor.kind == "api_key" else ""
        await tell(rt, session, email, Notice.API_KEY_CREATED, {"name": name, "ip": actor.ip, "by": by_key})


def _target(row: Any) -> audit.Target:
    return "api_key", row.id, row.name


def _shown(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)


def _works(now: int) -> tuple[Any, ...]:
    return _KEY.c.revoked_at.is_(None), (_KEY.c.expires_at.is_(None)) | (_KEY.c.expires_at > now)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class _Known:
    """Keys looked up within the last two seconds. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self.found: dict[str, tuple[float, Actor]] = {}

    async def find(self, key: str, ip: str) -> Actor | None:
        hashed = _hash(key)
        known = self.found.get(hashed)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        k, now = _KEY.c, now_ms()
        async with self._rt.database.read() as session:
            row = (await session.execute(select(_KEY).where(k.key_hash == hashed, *_works(now)))).one_or_none()
        if row is None:
            self.found.pop(hashed, None)
            return None
        if row.last_used_at is None or row.last_used_at < now - _USED_EVERY_MS:
            async with self._rt.database.write() as session:
                await session.execute(update(_KEY).where(k.id == row.id).values(last_used_at=now, last_used_ip=ip[:64]))
        actor = Actor("api_key", row.id, row.name, permissions_of(row.scopes), row.tenant)
        if len(self.found) >= _KNOWN_MAX:
            self.found.clear()
        left_s = _KNOWN_FOR_S if row.expires_at is None else (row.expires_at - now) / 1000
        self.found[hashed] = (time.monotonic() + min(_KNOWN_FOR_S, left_s), actor)
        return actor


def _view(row: Any, created_by: str, now: int) -> ApiKeyView:
    left = _SOON_MS if row.expires_at is None else row.expires_at - now
    return ApiKeyView(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=row.scopes,
        tenant=row.tenant,
        created_by=created_by,
        created_at=rfc3339(row.created_at),
        expires_at=_shown(row.expires_at),
        status="expired" if left <= 0 else "expiring" if left < _SOON_MS else "active",
        last_used_at=_shown(row.last_used_at),
        last_used_ip=row.last_used_ip,
    )
