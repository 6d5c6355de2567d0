"""Sessions of browsers: a random token in a cookie, its SHA-256 in the database.

A session is looked up live; what was found is kept for two seconds at most, and dropped at once in
every web process when it is revoked.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import ROLE_PERMISSIONS, Actor, Role
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import NotFoundError, UnauthorizedError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.security.devices import name_of, network_of
from novapulse.security.models import Session, User
from novapulse.security.rules import RulesView, current_rules, must_enrol

REVOKED = "{np}:revoked"
CHANGED = "{np}:session"  # what is known of a session is no longer so
SUDO_MS = 10 * 60_000
_BOTH_MS = 30_000  # how long the token before the last still works: requests and sockets are under way with it
_TOKEN_BYTES = 32
_KNOWN_FOR_S = 2.0
_KNOWN_MAX = 10_000
_SEEN_EVERY_MS = 60_000  # how often `last_seen_at` is written
_SESSION = table_of(Session)
_USER = table_of(User)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """A session that is valid now, and its user."""

    session_id: str
    user: User
    sudo_until: int = 0
    must_enrol: bool = False
    device_id: str | None = None

    def actor(self, ip: str = "") -> Actor:
        """What its user may do."""
        user = self.user
        permissions = ROLE_PERMISSIONS[Role(user.role)]
        return Actor(
            "user",
            user.id,
            user.email,
            permissions,
            session_id=self.session_id,
            sudo_until=self.sudo_until,
            must_enrol=self.must_enrol,
            ip=ip,
        )


class SessionView(BaseModel):
    """A session as its owner sees it."""

    id: str
    created_at: str
    last_seen_at: str
    ip: str
    network: str
    user_agent: str
    device: str
    methods: list[str]
    current: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A session that has begun; the token is for the cookie and is not kept."""

    session_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Elevated:
    """The new token of a session whose user has proven who they are, and until when that holds."""

    token: str
    sudo_until: int


async def add_session(
    session: AsyncSession, user_id: str, *, ip: str, user_agent: str, device_id: str | None, methods: str
) -> Made:
    """Begin a session within the transaction of `session`. Who has just signed in has proven who they are."""
    made, now = Made(new_id("ses"), secrets.token_urlsafe(_TOKEN_BYTES)), now_ms()
    session.add(
        Session(
            id=made.session_id,
            token_hash=_hash(made.token),
            user_id=user_id,
            device_id=device_id,
            methods=methods,
            sudo_until=now + SUDO_MS,
            created_at=now,
            last_seen_at=now,
            ip=ip[:64],
            user_agent=clean_agent(user_agent),
        )
    )
    await session.execute(update(_USER).where(_USER.c.id == user_id).values(last_sign_in_at=now))
    return made


def clean_agent(user_agent: str) -> str:
    """A `User-Agent` as it is kept."""
    return user_agent[:300].replace("\0", "")


async def elevate(rt: Runtime, actor: Actor, method: str) -> Elevated:
    """The user of this session has proven that it is them: for ten minutes they may do what needs that.

    The session goes on under a new token, which is returned (OWASP ASVS 5.0, 7.2.4).

    Raises:
        UnauthorizedError: the session has ended meanwhile.
    """
    token, now, s = secrets.token_urlsafe(_TOKEN_BYTES), now_ms(), _SESSION.c
    until = now + SUDO_MS
    async with rt.database.write() as session:
        done = await session.execute(
            update(_SESSION)
            .where(s.id == (actor.session_id or ""), s.revoked_at.is_(None))
            .values(**_replacing(token, now), sudo_until=until)
            .returning(s.id)
        )
        session_id = done.scalar_one_or_none()
        if session_id is None:
            raise UnauthorizedError("Your session has ended; sign in again.")
        target = ("session", session_id, "")
        await audit.append(rt, session, actor, "sudo.granted", target=target, detail={"method": method})
    await _changed(rt, session_id)
    return Elevated(token, until)


async def rotate(rt: Runtime, session_id: str) -> str:
    """Have a session go on under a new token, as after a change of password; nothing else about it changes."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    async with rt.database.write() as session:
        await session.execute(update(_SESSION).where(_SESSION.c.id == session_id).values(**_replacing(token, now_ms())))
    await _changed(rt, session_id)
    return token


def _replacing(token: str, now: int) -> dict[str, Any]:
    return {
        "token_hash": _hash(token),
        "previous_hash": _SESSION.c.token_hash,
        "previous_until": now + _BOTH_MS,
    }


async def refresh(rt: Runtime, user_id: str) -> None:
    """Something about this user changed that their sessions go by: have it looked up anew, everywhere."""
    async with rt.database.read() as session:
        ids = (await session.execute(select(_SESSION.c.id).where(_SESSION.c.user_id == user_id))).scalars().all()
    for session_id in ids:
        await _changed(rt, session_id)


async def _changed(rt: Runtime, session_id: str) -> None:
    rt.part(_Known).drop(session_id)
    with contextlib.suppress(RedisError, OSError):
        await rt.valkey.publish(CHANGED, session_id)


async def find_by_token(rt: Runtime, token: str) -> Live | None:
    """The live session of a cookie."""
    if not token:
        return None
    s, hashed = _SESSION.c, _hash(token)
    previous = (s.previous_hash == hashed) & (s.previous_until > now_ms())
    return await rt.part(_Known).find((s.token_hash == hashed) | previous, hashed)


async def find_by_id(rt: Runtime, session_id: str) -> Live | None:
    """The live session with this public id; for what the gate has authenticated before."""
    return await rt.part(_Known).find(_SESSION.c.id == session_id, session_id) if session_id else None


async def list_sessions(rt: Runtime, actor: Actor, current_id: str | None) -> list[SessionView]:
    """The actor's own live sessions, latest first."""
    s = _SESSION.c
    live = _is_live(await current_rules(rt), now_ms())
    async with rt.database.read() as session:
        rows = await session.execute(
            select(_SESSION).where(s.user_id == actor.id, *live).order_by(s.last_seen_at.desc()).limit(100)
        )
        return [
            SessionView(
                id=row.id,
                created_at=rfc3339(row.created_at),
                last_seen_at=rfc3339(row.last_seen_at),
                ip=row.ip,
                network=network_of(row.ip),
                user_agent=row.user_agent,
                device=name_of(row.user_agent),
                methods=row.methods.split(),
                current=row.id == current_id,
            )
            for row in rows
        ]


async def revoke(rt: Runtime, actor: Actor, session_id: str, action: str = "session.revoked") -> None:
    """End one of the actor's own sessions, at once, with its open sockets.

    Raises:
        NotFoundError: it is not the actor's, or has ended.
    """
    if not await _end(rt, _SESSION.c.id == session_id, _SESSION.c.user_id == actor.id, by=actor, action=action):
        raise NotFoundError("session", session_id)


async def end_replaced(rt: Runtime, token: str) -> None:
    """End the session that the browser had when somebody signed in with it again (OWASP ASVS 5.0, 7.2.4)."""
    if token:
        await _end(rt, _SESSION.c.token_hash == _hash(token))


async def revoke_others(rt: Runtime, actor: Actor) -> int:
    """End every session of the actor but the one they act in; how many."""
    others = (_SESSION.c.user_id == actor.id, _SESSION.c.id != (actor.session_id or ""))
    return len(await _end(rt, *others, by=actor, action="session.revoked"))


async def revoke_all(rt: Runtime, user_id: str, *, but: str | None = None) -> int:
    """End every session of a user, `but` one; how many."""
    return len(await _end(rt, _SESSION.c.user_id == user_id, _SESSION.c.id != (but or "")))


async def _end(rt: Runtime, *conditions: Any, by: Actor | None = None, action: str = "") -> list[str]:
    async with rt.database.write() as session:
        done = await session.execute(
            update(_SESSION)
            .where(*conditions, _SESSION.c.revoked_at.is_(None))
            .values(revoked_at=now_ms())
            .returning(_SESSION.c.id, _SESSION.c.user_agent)
        )
        rows = done.all()
        if by is not None:
            for row in rows:
                target = ("session", row.id, name_of(row.user_agent))
                await audit.append(rt, session, by, action, target=target)
    ended = [row.id for row in rows]
    for session_id in ended:
        rt.part(_Known).forget(session_id)
        with contextlib.suppress(RedisError, OSError):
            # Without Valkey the other processes notice within the two seconds they trust what they know.
            await rt.valkey.publish(REVOKED, session_id)
    return ended


async def delete_ended(rt: Runtime) -> None:
    """Housekeeping: drop sessions that ended a month ago."""
    old = now_ms() - ((await current_rules(rt)).session_max_s + 30 * 86_400) * 1000
    async with rt.database.write() as session:
        await session.execute(_SESSION.delete().where(_SESSION.c.created_at < old))


def on_revoked(rt: Runtime, listener: Callable[[str], None]) -> None:
    """Call `listener` with the id of every session that ends, in this process or another."""
    rt.part(_Known).listeners.append(listener)


async def follow_changes(rt: Runtime) -> None:
    """Hear of sessions that other processes end or change. Runs as long as the web process."""
    known = rt.part(_Known)
    takers = {REVOKED: known.forget, CHANGED: known.drop}
    while True:
        try:
            async with rt.valkey.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(*takers)
                while True:
                    message = await channel.get_message(timeout=5)
                    if message is not None:
                        takers[message["channel"]](str(message["data"]))
        except (RedisError, OSError) as error:
            log.warning("sessions_not_heard_of", error=str(error)[:200])
            await asyncio.sleep(0.5)


def _is_live(rules: RulesView, now: int) -> tuple[Any, ...]:
    return (
        _SESSION.c.revoked_at.is_(None),
        _SESSION.c.created_at > now - rules.session_max_s * 1000,
        _SESSION.c.last_seen_at > now - rules.session_idle_s * 1000,
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class _Known:
    """What was looked up within the last two seconds. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._found: dict[str, tuple[float, Live]] = {}
        self.listeners: list[Callable[[str], None]] = []

    async def find(self, condition: Any, key: str) -> Live | None:
        known = self._found.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        self._found.pop(key, None)
        found = await self._read(condition)
        if found is not None:
            if len(self._found) >= _KNOWN_MAX:
                self._found.clear()
            self._found[key] = (time.monotonic() + _KNOWN_FOR_S, found)
        return found

    def drop(self, session_id: str) -> None:
        self._found = {key: value for key, value in self._found.items() if value[1].session_id != session_id}

    def forget(self, session_id: str) -> None:
        self.drop(session_id)
        for listener in self.listeners:
            listener(session_id)

    async def _read(self, condition: Any) -> Live | None:
        s, now = _SESSION.c, now_ms()
        rules = await current_rules(self._rt)
        async with self._rt.database.read() as session:
            row = (
                await session.execute(
                    select(s.id, s.user_id, s.last_seen_at, s.sudo_until, s.device_id).where(
                        condition, *_is_live(rules, now)
                    )
                )
            ).one_or_none()
            user = None if row is None else await session.get(User, row.user_id)
        if row is None or user is None or not user.active:
            return None
        if row.last_seen_at < now - _SEEN_EVERY_MS:
            async with self._rt.database.write() as session:
                await session.execute(update(_SESSION).where(s.id == row.id).values(last_seen_at=now))
        return Live(row.id, user, row.sudo_until, must_enrol(user, rules, now), row.device_id)
