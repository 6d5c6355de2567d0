"""Devices: browsers that somebody has signed in with before, told from strangers by a cookie of their own.

A known device has its own count of failures, so that whoever guesses from elsewhere cannot lock the owner out. If its
user wants that, and the rules allow it, it is remembered for some days, in which no second factor is asked for there.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import cast

from pydantic import BaseModel
from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.security.models import Device, Throttle, User
from novapulse.security.rules import RulesView

COOKIE_MAX_AGE_S = 400 * 86_400  # browsers keep no cookie for longer (RFC 6265bis, 5.5)
_PEOPLE_MAX = 5  # as many people may share a browser; each has a token of theirs in its cookie
_TOKEN_BYTES = 24
_TOKEN_CHARS = 32  # the same in base64
_DAY_MS = 86_400_000
_DEVICE = table_of(Device)
_THROTTLE = table_of(Throttle)

# The first that fits: Edge and Opera call themselves Chrome too, and everybody calls themselves Safari.
_BROWSERS = (
    ("Edge", r"Edg(e|A|iOS)?/"),
    ("Opera", r"OPR/"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Firefox", r"(Firefox|FxiOS)/"),
    ("Chrome", r"(Chrome|CriOS|HeadlessChrome)/"),
    ("Safari", r"Version/.*Safari/"),
    ("curl", r"^curl/"),
)
_SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("Chrome OS", r"CrOS"),
    ("macOS", r"Macintosh|Mac OS X"),
    ("Linux", r"Linux|X11"),
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a call comes from."""

    ip: str = ""
    user_agent: str = ""
    device_cookie: str = ""
    session_cookie: str = ""


class DeviceView(BaseModel):
    """A device as its owner sees it."""

    id: str
    name: str
    ip: str
    network: str
    created_at: str
    last_seen_at: str
    remembered_until: str | None
    current: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """The device of a sign-in."""

    id: str
    cookie: str  # what the browser is to keep from now on
    new: bool


async def find(session: AsyncSession, user_id: str, cookie: str) -> Device | None:
    """The device of this very user that the cookie tells of."""
    hashes = [_hash(token) for token in _tokens(cookie)] or [""]
    found = select(Device).where(_DEVICE.c.user_id == user_id, _DEVICE.c.token_hash.in_(hashes))
    return (await session.execute(found.order_by(_DEVICE.c.last_seen_at.desc()).limit(1))).scalar_one_or_none()


async def known_id(rt: Runtime, cookie: str) -> str | None:
    """A device that the cookie tells of, whoever's it is; None: a stranger."""
    hashes = [_hash(token) for token in _tokens(cookie)]
    if not hashes:
        return None
    async with rt.database.read() as session:
        found = select(_DEVICE.c.id).where(_DEVICE.c.token_hash.in_(hashes)).order_by(_DEVICE.c.id).limit(1)
        return (await session.execute(found)).scalar_one_or_none()


async def see(session: AsyncSession, user: User, caller: Caller, user_agent: str, remember_days: int | None) -> Seen:
    """Note that a user has signed in from here; `remember_days`: ask for no second factor that long."""
    now = now_ms()
    device = await find(session, user.id, caller.device_cookie)
    cookie, new = caller.device_cookie, device is None
    if device is None:
        # Always a token of our making: one that somebody planted in the browser would be known to them.
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        cookie = ".".join([*_tokens(caller.device_cookie)[-_PEOPLE_MAX + 1 :], token])
        device = Device(id=new_id("dev"), user_id=user.id, token_hash=_hash(token), created_at=now)
    device.user_agent, device.ip, device.last_seen_at = user_agent, caller.ip[:64], now
    if remember_days is not None:
        device.remembered_until = now + remember_days * _DAY_MS
    session.add(device)
    await session.flush()
    return Seen(device.id, cookie, new)


def is_remembered(device: Device | None, rules: RulesView) -> bool:
    """Whether no second factor is asked for on this device."""
    return device is not None and rules.remember_days > 0 and device.remembered_until > now_ms()


async def end_remembered(session: AsyncSession, user_id: str) -> None:
    """Ask for the second factor on all devices of a user again: their password or a factor has changed."""
    await session.execute(update(_DEVICE).where(_DEVICE.c.user_id == user_id).values(remembered_until=0))


async def list_devices(rt: Runtime, actor: Actor, current_id: str | None) -> list[DeviceView]:
    """The actor's own devices, last seen first."""
    now, d = now_ms(), _DEVICE.c
    async with rt.database.read() as session:
        rows = await session.execute(
            select(_DEVICE).where(d.user_id == actor.id).order_by(d.last_seen_at.desc()).limit(100)
        )
        return [
            DeviceView(
                id=row.id,
                name=name_of(row.user_agent),
                ip=row.ip,
                network=network_of(row.ip),
                created_at=rfc3339(row.created_at),
                last_seen_at=rfc3339(row.last_seen_at),
                remembered_until=rfc3339(row.remembered_until) if row.remembered_until > now else None,
                current=row.id == current_id,
            )
            for row in rows
        ]


async def forget(rt: Runtime, actor: Actor, device_id: str) -> None:
    """Have a device of the actor be a stranger from now on; its session goes on until it ends.

    Raises:
        NotFoundError: it is not the actor's.
    """
    async with rt.database.write() as session:
        row = await session.get(Device, device_id)
        if row is None or row.user_id != actor.id:
            raise NotFoundError("device", device_id)
        done = await session.execute(delete(_DEVICE).where(_DEVICE.c.id == device_id))
        if cast("CursorResult[tuple[()]]", done).rowcount != 1:
            raise NotFoundError("device", device_id)
        await session.execute(delete(_THROTTLE).where(_THROTTLE.c.key.endswith(f":{device_id}", autoescape=True)))
        name = name_of(row.user_agent)
        await audit.append(rt, session, actor, "device.forgotten", target=("device", device_id, name))


async def delete_unseen(rt: Runtime) -> None:
    """Housekeeping: drop devices whose cookie has run out."""
    async with rt.database.write() as session:
        await session.execute(delete(_DEVICE).where(_DEVICE.c.last_seen_at < now_ms() - COOKIE_MAX_AGE_S * 1000))


def name_of(user_agent: str) -> str:
    """What a person would call it: `Firefox on Linux`."""
    browser = next((name for name, pattern in _BROWSERS if re.search(pattern, user_agent)), "")
    system = next((name for name, pattern in _SYSTEMS if re.search(pattern, user_agent)), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or user_agent.split("/", maxsplit=1)[0][:40].strip() or "Unknown device"


def network_of(ip: str) -> str:
    """The network of an address: its /24, or its /48 of IPv6, which is what one household or company has."""
    try:
        address = ip_address(ip)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(ip_network((address, 48), strict=False))
        address = address.ipv4_mapped
    return str(ip_network((address, 24), strict=False))


def _tokens(cookie: str) -> list[str]:
    return [token for token in cookie.split(".") if len(token) == _TOKEN_CHARS][-_PEOPLE_MAX:]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
