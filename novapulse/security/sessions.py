"""Sessions of browsers: a random token in a cookie, its SHA-256 in the database.

A session is looked up live; what was found is kept for two seconds at most, and dropped at once in
every web process when it is revoked.
"""

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

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security.models import Session, User

CHANNEL = "np:revoked"
TOKEN_BYTES = 32
_KNOWN_FOR_S = 2.0
_KNOWN_MAX = 10_000
_SEEN_EVERY_MS = 60_000  # how often `last_seen_at` is written
_SESSION = table_of(Session)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """A session that is valid now, and its user."""

    session_id: str
    user: User


class SessionView(BaseModel):
    """A session as its owner sees it."""

    id: str
    created_at: str
    last_seen_at: str
    ip: str
    user_agent: str
    current: bool


async def create_session(rt: Runtime, user_id: str, *, ip: str, user_agent: str) -> str:
    """Begin a session; the token is for the cookie and is not kept."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = now_ms()
    async with rt.database.write() as session:
        session.add(
            Session(
                id=new_id("ses"),
                token_hash=_hash(token),
                user_id=user_id,
                created_at=now,
                last_seen_at=now,
                ip=ip[:64],
                user_agent=user_agent[:300].replace("\0", ""),
            )
        )
    return token


async def find_by_token(rt: Runtime, token: str) -> Live | None:
    """The live session of a cookie."""
    return await rt.part(_Known).find(_SESSION.c.token_hash == _hash(token), _hash(token)) if token else None


async def find_by_id(rt: Runtime, session_id: str) -> Live | None:
    """The live session with this public id; for what the gate has authenticated before."""
    return await rt.part(_Known).find(_SESSION.c.id == session_id, session_id) if session_id else None


async def list_sessions(rt: Runtime, actor: Actor, current_id: str | None) -> list[SessionView]:
    """The actor's own live sessions, latest first."""
    s = _SESSION.c
    now = now_ms()
    async with rt.database.read() as session:
        rows = await session.execute(
            select(_SESSION).where(s.user_id == actor.id, *_is_live(rt, now)).order_by(s.last_seen_at.desc()).limit(100)
        )
        return [
            SessionView(
                id=row.id,
                created_at=rfc3339(row.created_at),
                last_seen_at=rfc3339(row.last_seen_at),
                ip=row.ip,
                user_agent=row.user_agent,
                current=row.id == current_id,
            )
            for row in rows
        ]


async def revoke(rt: Runtime, actor: Actor, session_id: str) -> None:
    """End one of the actor's own sessions, at once, with its open sockets.

    Raises:
        NotFoundError: it is not the actor's, or has ended.
    """
    if session_id not in await _end(rt, _SESSION.c.id == session_id, _SESSION.c.user_id == actor.id):
        raise NotFoundError("session", session_id)


async def revoke_all(rt: Runtime, user_id: str) -> None:
    """End every session of a user."""
    await _end(rt, _SESSION.c.user_id == user_id)


async def _end(rt: Runtime, *conditions: Any) -> list[str]:
    async with rt.database.write() as session:
        done = await session.execute(
            update(_SESSION)
            .where(*conditions, _SESSION.c.revoked_at.is_(None))
            .values(revoked_at=now_ms())
            .returning(_SESSION.c.id)
        )
        ended = [row[0] for row in done.all()]
    for session_id in ended:
        rt.part(_Known).forget(session_id)
        with contextlib.suppress(RedisError, OSError):
            # Without Valkey the other processes notice within the two seconds they trust what they know.
            await rt.valkey.publish(CHANNEL, session_id)
    return ended


async def delete_ended(rt: Runtime) -> None:
    """Housekeeping: drop sessions that ended a month ago."""
    old = now_ms() - (rt.settings.session_max_s + 30 * 86_400) * 1000
    async with rt.database.write() as session:
        await session.execute(_SESSION.delete().where(_SESSION.c.created_at < old))


def on_revoked(rt: Runtime, listener: Callable[[str], None]) -> None:
    """Call `listener` with the id of every session that ends, in this process or another."""
    rt.part(_Known).listeners.append(listener)


async def follow_revocations(rt: Runtime) -> None:
    """Hear of sessions that other processes end. Runs as long as the web process."""
    known = rt.part(_Known)
    while True:
        try:
            async with rt.valkey.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(CHANNEL)
                while True:
                    message = await channel.get_message(timeout=5)
                    if message is not None:
                        known.forget(str(message["data"]))
        except (RedisError, OSError) as error:
            log.warning("revocations_not_heard", error=str(error)[:200])
            await asyncio.sleep(0.5)


def _is_live(rt: Runtime, now: int) -> tuple[Any, ...]:
    return (
        _SESSION.c.revoked_at.is_(None),
        _SESSION.c.created_at > now - rt.settings.session_max_s * 1000,
        _SESSION.c.last_seen_at > now - rt.settings.session_idle_s * 1000,
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

    def forget(self, session_id: str) -> None:
        self._found = {key: value for key, value in self._found.items() if value[1].session_id != session_id}
        for listener in self.listeners:
            listener(session_id)

    async def _read(self, condition: Any) -> Live | None:
        s, now = _SESSION.c, now_ms()
        async with self._rt.database.read() as session:
            row = (
                await session.execute(
                    select(s.id, s.user_id, s.last_seen_at).where(condition, *_is_live(self._rt, now))
                )
            ).one_or_none()
            user = None if row is None else await session.get(User, row.user_id)
        if row is None or user is None or not user.active:
            return None
        if row.last_seen_at < now - _SEEN_EVERY_MS:
            async with self._rt.database.write() as session:
                await session.execute(update(_SESSION).where(s.id == row.id).values(last_seen_at=now))
        return Live(row.id, user)
