"""The first start: an admin from the settings, or a link that makes one, once."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from novapulse.core.actor import SYSTEM, Actor, Role
from novapulse.core.clock import now_ms
from novapulse.core.errors import ConflictError, ForbiddenError
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.security.models import SetupLink
from novapulse.security.users import UserView, count_users, create_user


async def first_run(rt: Runtime) -> str | None:
    """While there is no user: make the admin of the settings, or answer with a fresh one-time link.

    Raises:
        InvalidError: the settings' e-mail or password cannot be used.
    """
    if await count_users(rt) > 0:
        return None
    settings = rt.settings
    password = settings.admin_password.get_secret_value()
    if settings.admin_email and password:
        with contextlib.suppress(ConflictError):  # another process was faster
            await create_user(rt, SYSTEM, email=settings.admin_email, password=password, role=Role.ADMIN)
        return None
    token = secrets.token_urlsafe(24)
    async with rt.database.write() as session:
        await session.execute(delete(SetupLink))
        session.add(SetupLink(token_hash=_hash(token), created_at=now_ms()))
    return f"{settings.base_url}/setup#token={token}"


async def is_open(rt: Runtime, token: str) -> bool:
    """Whether this link still makes the first admin."""
    async with rt.database.read() as session:
        known = (await session.execute(select(SetupLink))).scalar_one_or_none()
    return known is not None and hmac.compare_digest(known.token_hash, _hash(token)) and await count_users(rt) == 0


async def complete(rt: Runtime, token: str, email: str, password: str, *, ip: str = "") -> UserView:
    """Make the first admin and use the link up.

    Raises:
        ForbiddenError: the link is wrong, or used.
        InvalidError: the e-mail or the password cannot be used; the link stays good.
    """
    gone = ForbiddenError("This set-up link is wrong or was used; restart NovaPulse for a fresh one, or sign in.")
    if not await is_open(rt, token):
        raise gone
    try:
        user = await create_user(rt, SYSTEM, email=email, password=password, role=Role.ADMIN)
    except (ConflictError, IntegrityError):
        raise gone from None
    async with rt.database.write() as session:
        await session.execute(delete(SetupLink))
        first = Actor("user", user.id, user.email, frozenset(), ip=ip)
        await audit.append(rt, session, first, "setup.completed", target=("user", user.id, user.email))
    return user


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
