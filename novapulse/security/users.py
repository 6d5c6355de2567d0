"""Users: making, changing, listing them, and telling a right password from a wrong one."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from novapulse.core.actor import ROLE_PERMISSIONS, Actor, Permission, Role
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitedError,
    NotFoundError,
    UnauthorizedError,
)
from novapulse.core.ids import new_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.security import attempts, audit, devices, sessions, throttle
from novapulse.security.devices import Caller
from novapulse.security.models import User
from novapulse.security.passwords import check_password, hash_password, length_min, verify_password
from novapulse.security.rules import check_domain, current_rules

_USER = table_of(User)
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")
WRONG = "The e-mail or the password is wrong."


class UserView(BaseModel):
    """A user as others may see it."""

    id: str
    email: str
    role: Role
    active: bool
    invited: bool = Field(description="Has been invited, and has not come yet.")
    mfa: bool = Field(description="Signs in with a second factor.")
    created_at: str
    last_sign_in_at: str | None


class UserPatch(BaseModel):
    """Changes to a user; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "operator"}]})

    role: Literal["admin", "operator", "viewer"] | None = None
    active: bool | None = None


def normalise_email(email: str) -> str:
    """The form under which an address is stored and looked up.

    Raises:
        InvalidError: not an address.
    """
    plain = unicodedata.normalize("NFKC", email).strip().lower()
    if not _EMAIL.fullmatch(plain):
        raise InvalidError.at("/email", "must be an e-mail address")
    return plain


async def create_user(rt: Runtime, actor: Actor, *, email: str, password: str, role: Role) -> UserView:
    """Make a user.

    Raises:
        InvalidError: not an address, or a password that is too weak.
        ConflictError: the address has a user already.
        ForbiddenError: a role that may do more than the actor.
    """
    require_admin(actor, role)
    address = normalise_email(email)
    rules = await current_rules(rt)
    check_domain(rules, address)
    try:
        await check_password(password, length=length_min(role.value, rules.require_mfa), email=address)
    except ValueError as error:
        raise InvalidError.at("/password", str(error)) from None
    row = User(
        id=new_id("usr"),
        email=address,
        role=role.value,
        password_hash=await hash_password(password),
        created_at=now_ms(),
    )
    try:
        async with rt.database.write() as session:
            session.add(row)
            await audit.append(
                rt, session, actor, "user.created", target=("user", row.id, address), detail={"role": row.role}
            )
    except IntegrityError:
        raise ConflictError("There is a user with this e-mail already.") from None
    return user_view(row)


async def list_users(rt: Runtime, actor: Actor, *, limit: int = 50, cursor: str | None = None) -> Page[UserView]:
    """Users, newest first."""
    require_admin(actor)
    conditions = [] if cursor is None else [_USER.c.id < decode_cursor(cursor, "usr_")]
    async with rt.database.read() as session:
        rows = (
            await session.execute(select(_USER).where(*conditions).order_by(_USER.c.id.desc()).limit(limit + 1))
        ).all()
    return page_of(rows, limit, user_view, lambda row: row.id)


async def update_user(rt: Runtime, actor: Actor, user_id: str, patch: UserPatch) -> UserView:
    """Change a role, or let somebody in or out. Takes effect at once: their sessions end.

    Raises:
        NotFoundError: no such user.
        ConflictError: the last active admin would be gone.
        ForbiddenError: a role that may do more than the actor.
    """
    require_admin(actor, None if patch.role is None else Role(patch.role))
    is_admin = (_USER.c.role == Role.ADMIN.value, _USER.c.active.is_(True))
    async with rt.database.write() as session:
        # Locked, or two admins could remove each other in the same moment.
        await session.execute(select(_USER.c.id).where(*is_admin).order_by(_USER.c.id).with_for_update())
        row = await session.get(User, user_id)
        if row is None:
            raise NotFoundError("user", user_id)
        changed: dict[str, Any] = {}
        if patch.role is not None and patch.role != row.role:
            changed["role"] = {"from": row.role, "to": patch.role}
            row.role = patch.role
        if patch.active is not None and patch.active != row.active:
            changed["active"] = patch.active
            row.active = patch.active
        session.add(row)
        await session.flush()
        if (await session.execute(select(func.count()).where(*is_admin))).scalar_one() == 0:
            raise ConflictError("This is the last active admin; make another one first.")
        if changed:
            await audit.append(rt, session, actor, "user.changed", target=("user", row.id, row.email), detail=changed)
    await sessions.revoke_all(rt, user_id)
    return user_view(row)


async def end_sessions(rt: Runtime, actor: Actor, user_id: str) -> int:
    """Sign somebody out everywhere, at once; how many sessions that were (ASVS 5.0, 7.4.5).

    Raises:
        NotFoundError: no such user.
    """
    require_admin(actor)
    actor.require_sudo()
    async with rt.database.write() as session:
        user = await session.get(User, user_id)
        if user is None:
            raise NotFoundError("user", user_id)
        await audit.append(rt, session, actor, "user.signed_out", target=("user", user.id, user.email))
    return await sessions.revoke_all(rt, user_id)


async def count_users(rt: Runtime) -> int:
    """How many users there are."""
    async with rt.database.read() as session:
        return (await session.execute(select(func.count()).select_from(_USER))).scalar_one()


async def authenticate(rt: Runtime, email: str, password: str, caller: Caller | None = None) -> User:
    """The user with this e-mail and password. Wrong e-mail and wrong password look and take the same.

    Failures are counted per address, whether it has a user or not, and apart for each device its user has signed in
    with before: who guesses from elsewhere cannot lock the owner out.

    Raises:
        UnauthorizedError: one of the two is wrong, or the user may not sign in.
        LimitedError: too many wrong passwords; the right one is not tried either.
    """
    caller = caller or Caller()
    try:
        address = normalise_email(email)
    except InvalidError:
        address = ""
    async with rt.database.read() as session:
        user = (await session.execute(select(User).where(_USER.c.email == address))).scalar_one_or_none()
        device = await devices.find(session, "" if user is None else user.id, caller.device_cookie)
    key = throttle_key(rt, address, None if device is None else device.id)
    if not await _is_right(rt, key, user, password, "sign_in", caller) or user is None:
        raise UnauthorizedError(WRONG)
    return user


async def confirm_password(rt: Runtime, actor: Actor, password: str, caller: Caller, device_id: str | None) -> None:
    """A signed-in user proves by their password that it is them; failures count as those of a sign-in do.

    Raises:
        UnauthorizedError: it is wrong.
        LimitedError: too many were wrong; the right one is not tried either.
    """
    async with rt.database.read() as session:
        user = await session.get(User, actor.id)
    if not await _is_right(rt, throttle_key(rt, actor.name, device_id), user, password, "sudo", caller):
        raise UnauthorizedError("The password is wrong.")


async def _is_right(rt: Runtime, key: str, user: User | None, password: str, act: str, caller: Caller) -> bool:
    try:
        await throttle.count_try(rt, key)
    except LimitedError:
        await attempts.note_failure(rt, user, act, "limited", caller, key)
        raise
    right = await verify_password(None if user is None else user.password_hash, password)
    if user is None or not right or not user.active:
        await attempts.note_failure(rt, user, act, "wrong_password", caller, key)
        return False
    await throttle.forget(rt, key)
    return True


def throttle_key(rt: Runtime, address: str, device_id: str | None) -> str:
    """Under which name failed passwords are counted; who reads it does not learn the address."""
    hashed = hmac.new(rt.keyring.derive("throttle"), address.encode(), hashlib.sha256).hexdigest()[:32]
    return f"password:{hashed}:{device_id or 'stranger'}"


def require_admin(actor: Actor, role: Role | None = None) -> None:
    """Refuse who may not manage users, or not those of this role.

    Raises:
        ForbiddenError: they may not.
    """
    actor.require(Permission.USERS_WRITE)
    if actor.tenant is not None:
        raise ForbiddenError(f"This key may only act for tenant '{actor.tenant}'; users belong to none.")
    if role is not None and not ROLE_PERMISSIONS[role] <= actor.permissions:
        raise ForbiddenError("Nobody can give a role that may do more than they may.")


def user_view(row: Any) -> UserView:
    """A user as the API shows it."""
    return UserView(
        id=row.id,
        email=row.email,
        role=Role(row.role),
        active=row.active,
        invited=not row.password_hash,
        mfa=row.mfa_on_at is not None,
        created_at=rfc3339(row.created_at),
        last_sign_in_at=None if row.last_sign_in_at is None else rfc3339(row.last_sign_in_at),
    )
