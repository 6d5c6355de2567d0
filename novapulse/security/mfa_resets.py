"""Taking somebody's second factors away when they are lost: by two admins, after a delay, and stopped by the person.

An admin asks and says why. The person is mailed at once, with a link that stops it. A second admin has to agree; where
there is no second one, the delay is longer instead. Any sign-in of the person, who then has not lost anything, ends it.
"""

from __future__ import annotations

import structlog
from pydantic import BaseModel
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import SYSTEM, Actor, Permission, Role
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security import audit, factors, links, mfa, notices, sessions
from novapulse.security.models import MfaReset, User
from novapulse.security.notices import Notice

DELAY_MS = 24 * 3600 * 1000
DELAY_ALONE_MS = 72 * 3600 * 1000  # where no second admin can agree
STOP_LINK_S = 80 * 3600
_REASON_MIN, _REASON_MAX = 10, 500
_RESET = table_of(MfaReset)
_USER = table_of(User)

log = structlog.get_logger(__name__)


class MfaResetView(BaseModel):
    """A request, as admins see it."""

    id: str
    user_id: str
    email: str
    reason: str
    requested_by: str
    requested_at: str
    approved_by: str | None
    needs_approval: bool
    due_at: str
    outcome: str | None
    outcome_why: str | None


async def ask(rt: Runtime, actor: Actor, user_id: str, reason: str) -> MfaResetView:
    """Ask for a reset. The user is told, and can stop it.

    Raises:
        InvalidError: no reason that another could judge.
        NotFoundError: no such user.
        ConflictError: they have no second factor, or it was asked for already.
        ForbiddenError: one's own: that is what recovery codes are for.
    """
    _require(actor)
    why = " ".join(reason.split())
    if not _REASON_MIN <= len(why) <= _REASON_MAX:
        raise InvalidError.at("/reason", f"must say in {_REASON_MIN} to {_REASON_MAX} characters how you know who asks")
    if user_id == actor.id:
        raise ForbiddenError("Nobody resets their own second factors; use a recovery code, or ask another admin.")
    now = now_ms()
    async with rt.database.write() as session:
        user = await session.get(User, user_id, with_for_update=True)
        if user is None:
            raise NotFoundError("user", user_id)
        if not await factors.has_factors(session, user_id):
            raise ConflictError("This user has no second factor.")
        if await _open_of(session, user_id) is not None:
            raise ConflictError("A reset of this user's second factors has been asked for already.")
        alone = await _admins_besides(session, actor.id, user_id) == 0
        row = MfaReset(
            id=new_id("rst"),
            user_id=user_id,
            reason=why,
            requested_by=actor.id,
            requested_at=now,
            approved_by=actor.id if alone else None,
            due_at=now + (DELAY_ALONE_MS if alone else DELAY_MS),
        )
        session.add(row)
        token = await links.make(rt, session, "stop_reset", user_id, STOP_LINK_S, {"reset": row.id})
        facts = {
            "link": links.address(rt, "stop_reset", token),
            "by": actor.name,
            "reason": why,
            "due": rfc3339(row.due_at),
        }
        await notices.tell(rt, session, user.email, Notice.MFA_RESET_ASKED, facts)
        await session.flush()
        await audit.append(rt, session, actor, "mfa_reset.asked", target=_target(user), detail={"reason": why})
    return await _view(rt, row.id)


async def approve(rt: Runtime, actor: Actor, reset_id: str) -> MfaResetView:
    """Agree, as the second person.

    Raises:
        NotFoundError: there is no open one of this id.
        ForbiddenError: who asked cannot agree; nor can who would be reset.
    """
    _require(actor)
    async with rt.database.write() as session:
        row, user = await _open(session, reset_id)
        if actor.id in (row.requested_by, row.user_id):
            raise ForbiddenError("Another admin than the one who asked has to agree.")
        if row.approved_by is None:
            row.approved_by = actor.id
            session.add(row)
            await session.flush()
            await audit.append(rt, session, actor, "mfa_reset.approved", target=_target(user))
    return await _view(rt, reset_id)


async def cancel(rt: Runtime, actor: Actor, reset_id: str) -> None:
    """Take it back; NotFoundError if there is no open one of this id."""
    _require(actor)
    async with rt.database.write() as session:
        row, user = await _open(session, reset_id)
        await _end(session, row.id, "cancelled", f"taken back by {actor.name}")
        await audit.append(rt, session, actor, "mfa_reset.cancelled", target=_target(user))


async def stop(rt: Runtime, token: str) -> None:
    """The person, by the link in their mail, says that it was not them.

    Raises:
        ForbiddenError: the link is wrong, or used.
        ConflictError: it is over already.
    """
    async with rt.database.write() as session:
        link = await links.use(rt, session, token, "stop_reset")
        user = await session.get_one(User, link.user_id)
        if not await _end(session, str(link.data.get("reset")), "cancelled", "stopped by its user"):
            raise ConflictError("There is nothing to stop any more.")
        who = Actor("user", user.id, user.email, frozenset())
        await audit.append(rt, session, who, "mfa_reset.stopped", target=_target(user))


async def end_by_sign_in(rt: Runtime, session: AsyncSession, user: User) -> None:
    """Somebody signed in: whatever reset of theirs was under way is needless. For the transaction of the sign-in."""
    row = await _open_of(session, user.id)
    if row is not None:
        await _end(session, row.id, "cancelled", "its user signed in")
        await audit.append(rt, session, SYSTEM, "mfa_reset.cancelled", target=_target(user), detail={"why": "sign-in"})


async def list_resets(rt: Runtime, actor: Actor) -> list[MfaResetView]:
    """Those that are open, and the latest that ended."""
    _require(actor, sudo=False)
    async with rt.database.read() as session:
        query = select(_RESET.c.id).order_by(_RESET.c.ended_at.is_not(None), _RESET.c.id.desc()).limit(50)
        ids = (await session.execute(query)).scalars().all()
    return [await _view(rt, reset_id) for reset_id in ids]


async def carry_out_due(rt: Runtime) -> int:
    """Housekeeping: do what was agreed to and whose time has come; how many that were."""
    r = _RESET.c
    ready = (r.ended_at.is_(None), r.approved_by.is_not(None), r.due_at <= now_ms())
    async with rt.database.read() as session:
        due = (await session.execute(select(r.id, r.user_id).where(*ready))).all()
    for reset_id, user_id in due:
        async with rt.database.write() as session:
            # Guarded: a sign-in or a click on the link in this very moment wins.
            if not await _end(session, reset_id, "done", "agreed to, and its time had come"):
                continue
            user = await session.get_one(User, user_id, with_for_update=True)
            await mfa.remove_factors(session, user)
            row = await session.get_one(MfaReset, reset_id)
            people = [await session.get(User, each) for each in {row.requested_by, row.approved_by} if each]
            by = " and ".join(sorted(each.email for each in people if each))
            await notices.tell(rt, session, user.email, Notice.MFA_RESET_DONE, {"by": by, "reason": row.reason})
            await audit.append(rt, session, SYSTEM, "mfa_reset.done", target=_target(user))
        await sessions.revoke_all(rt, user_id)
        log.warning("mfa_reset_done", user=user_id)
    return len(due)


def _require(actor: Actor, *, sudo: bool = True) -> None:
    actor.require(Permission.USERS_WRITE)
    if actor.kind != "user":
        raise ForbiddenError("This is for people: a key cannot be a person who vouches for another.")
    if sudo:
        actor.require_sudo()


def _target(user: User) -> tuple[str, str, str]:
    return "user", user.id, user.email


async def _open(session: AsyncSession, reset_id: str) -> tuple[MfaReset, User]:
    row = await session.get(MfaReset, reset_id, with_for_update=True)
    if row is None or row.ended_at is not None:
        raise NotFoundError("open reset", reset_id)
    return row, await session.get_one(User, row.user_id)


async def _open_of(session: AsyncSession, user_id: str) -> MfaReset | None:
    found = await session.execute(select(MfaReset).where(_RESET.c.user_id == user_id, _RESET.c.ended_at.is_(None)))
    return found.scalars().first()


async def _end(session: AsyncSession, reset_id: str, outcome: str, why: str) -> bool:
    done = await session.execute(
        update(_RESET)
        .where(_RESET.c.id == reset_id, _RESET.c.ended_at.is_(None))
        .values(ended_at=now_ms(), outcome=outcome, outcome_why=why)
        .returning(_RESET.c.id)
    )
    return done.one_or_none() is not None


async def _admins_besides(session: AsyncSession, *ids: str) -> int:
    u = _USER.c
    others = select(func.count()).where(u.role == Role.ADMIN.value, u.active.is_(True), u.id.not_in(ids))
    return (await session.execute(others)).scalar_one()


async def _view(rt: Runtime, reset_id: str) -> MfaResetView:
    async with rt.database.read() as session:
        row = await session.get_one(MfaReset, reset_id)
        ids = {row.user_id, row.requested_by, row.approved_by}
        found = await session.execute(select(_USER.c.id, _USER.c.email).where(_USER.c.id.in_(ids)))
        emails: dict[str | None, str] = {each.id: each.email for each in found}
    return MfaResetView(
        id=row.id,
        user_id=row.user_id,
        email=emails.get(row.user_id, row.user_id),
        reason=row.reason,
        requested_by=emails.get(row.requested_by, row.requested_by),
        requested_at=rfc3339(row.requested_at),
        approved_by=None if row.approved_by is None else emails.get(row.approved_by, row.approved_by),
        needs_approval=row.approved_by is None and row.ended_at is None,
        due_at=rfc3339(row.due_at),
        outcome=row.outcome,
        outcome_why=row.outcome_why,
    )
