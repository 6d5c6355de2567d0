"""Inviting people: an account without a password, and a mailed link that lets its owner choose one."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Role
from novapulse.core.clock import now_ms
from novapulse.core.errors import ConflictError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security import audit, links, notices, users
from novapulse.security.models import User
from novapulse.security.notices import Notice
from novapulse.security.rules import check_domain, current_rules

LINK_S = 7 * 86_400


class InvitationView(BaseModel):
    """Somebody who was invited."""

    user: users.UserView
    link: str | None  # to hand over where no mail is sent; None: it was mailed


async def invite(rt: Runtime, actor: Actor, email: str, role: Role) -> InvitationView:
    """Make an account for this address and mail its owner how to come in.

    Raises:
        InvalidError: not an address, or not of a domain that the rules allow.
        ConflictError: the address has a user already.
        ForbiddenError: a role that may do more than the actor.
    """
    users.require_admin(actor, role)
    actor.require_sudo()
    address = users.normalise_email(email)
    check_domain(await current_rules(rt), address)
    user = User(id=new_id("usr"), email=address, role=role.value, password_hash="", created_at=now_ms())
    try:
        async with rt.database.write() as session:
            session.add(user)
            await session.flush()
            link = await _mail(rt, session, actor, user)
            detail = {"role": role.value}
            await audit.append(rt, session, actor, "user.invited", target=("user", user.id, address), detail=detail)
    except IntegrityError:
        raise ConflictError("There is a user with this e-mail already.") from None
    return InvitationView(user=users.user_view(user), link=link)


async def invite_again(rt: Runtime, actor: Actor, user_id: str) -> InvitationView:
    """A fresh link for somebody who has not come yet; the one before works no longer.

    Raises:
        NotFoundError: no such user.
        ConflictError: they have chosen a password already.
    """
    users.require_admin(actor)
    actor.require_sudo()
    async with rt.database.write() as session:
        user = await session.get(User, user_id)
        if user is None:
            raise NotFoundError("user", user_id)
        if user.password_hash:
            raise ConflictError("This user has come in already.")
        users.require_admin(actor, Role(user.role))
        link = await _mail(rt, session, actor, user)
        await audit.append(rt, session, actor, "user.invited", target=("user", user.id, user.email))
    return InvitationView(user=users.user_view(user), link=link)


async def _mail(rt: Runtime, session: AsyncSession, actor: Actor, user: User) -> str | None:
    token = await links.make(rt, session, "invite", user.id, LINK_S)
    link = links.address(rt, "invite", token)
    await notices.tell(rt, session, user.email, Notice.INVITATION, {"link": link, "by": actor.name})
    return None if rt.settings.smtp_url.get_secret_value() else link
