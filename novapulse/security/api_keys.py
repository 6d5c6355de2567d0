"""API keys: `np_live_` and 32 random bytes, kept as a SHA-256. Random enough that a fast hash is right."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import select, update

from novapulse.core.actor import ROLE_PERMISSIONS, Actor, Permission, Role
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError, InvalidError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.security.models import ApiKey, User

PREFIX = "np_live_"
_SHOWN = len(PREFIX) + 6
_KNOWN_FOR_S = 2.0
_KNOWN_MAX = 10_000
_USED_EVERY_MS = 60_000  # how often `last_used_at` is written
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
    last_used_at: str | None


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
    rt: Runtime, actor: Actor, name: str, scopes: list[str], tenant: str | None = None
) -> tuple[ApiKeyView, str]:
    """Make a key; the key itself is in the answer and nowhere else.

    Raises:
        InvalidError: no name, no scope, or one that does not exist; not a tenant.
        ForbiddenError: a scope that the actor does not hold.
    """
    actor.require(Permission.KEYS_WRITE)
    if not 0 < len(name.strip()) <= 100 or "\0" in name:
        raise InvalidError.at("/name", "must have 1 to 100 characters")
    if tenant is not None and not _TENANT.fullmatch(tenant):
        raise InvalidError.at("/tenant", "must have 1 to 128 letters, digits or characters of ._:@/-")
    if not scopes:
        raise InvalidError.at("/scopes", "must name at least one scope")
    try:
        wanted = permissions_of(scopes)
    except ValueError as error:
        raise InvalidError.at("/scopes", str(error)) from None
    if not wanted <= actor.permissions:
        raise ForbiddenError("A key cannot have a scope that its maker does not have.")
    if actor.tenant is not None and tenant != actor.tenant:
        raise ForbiddenError(f"This key may only act for tenant '{actor.tenant}'.")
    key = PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(
        id=new_id("key"),
        name=name.strip(),
        prefix=key[:_SHOWN],
        key_hash=_hash(key),
        scopes=scopes,
        tenant=tenant,
        created_by=actor.id,
        created_at=now_ms(),
    )
    async with rt.database.write() as session:
        session.add(row)
    return _view(row, actor.name), key


async def list_api_keys(rt: Runtime, actor: Actor, *, limit: int = 50, cursor: str | None = None) -> Page[ApiKeyView]:
    """Keys that work, newest first."""
    actor.require(Permission.KEYS_WRITE)
    k = _KEY.c
    conditions: list[Any] = [k.revoked_at.is_(None)]
    if actor.tenant is not None:
        conditions.append(k.tenant == actor.tenant)
    if cursor is not None:
        conditions.append(k.id < decode_cursor(cursor, "key_"))
    async with rt.database.read() as session:
        rows = (await session.execute(select(_KEY).where(*conditions).order_by(k.id.desc()).limit(limit + 1))).all()
        makers = {row.created_by for row in rows}
        users = await session.execute(select(_USER.c.id, _USER.c.email).where(_USER.c.id.in_(makers)))
        keys = await session.execute(select(k.id, k.name).where(k.id.in_(makers)))
        names = {row[0]: row[1] for row in (*users, *keys)}
    return page_of(rows, limit, lambda row: _view(row, names.get(row.created_by, row.created_by)), lambda row: row.id)


async def revoke_api_key(rt: Runtime, actor: Actor, key_id: str) -> None:
    """Have a key work no longer; NotFoundError if there is none."""
    actor.require(Permission.KEYS_WRITE)
    k = _KEY.c
    mine = [] if actor.tenant is None else [k.tenant == actor.tenant]
    async with rt.database.write() as session:
        done = await session.execute(
            update(_KEY)
            .where(k.id == key_id, k.revoked_at.is_(None), *mine)
            .values(revoked_at=now_ms())
            .returning(k.id)
        )
        if done.one_or_none() is None:
            raise NotFoundError("API key", key_id)
    rt.part(_Known).found.clear()


async def actor_of_key(rt: Runtime, key: str, ip: str = "") -> Actor | None:
    """Who a key is, None if it does not work. Other processes notice a revocation within two seconds."""
    return await rt.part(_Known).find(key, ip) if key.startswith(PREFIX) else None


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
        self.found[hashed] = (time.monotonic() + _KNOWN_FOR_S, actor)
        return actor


def _view(row: Any, created_by: str) -> ApiKeyView:
    return ApiKeyView(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=row.scopes,
        tenant=row.tenant,
        created_by=created_by,
        created_at=rfc3339(row.created_at),
        last_used_at=None if row.last_used_at is None else rfc3339(row.last_used_at),
    )
