"""Another e-mail address: it becomes that of its user when the link that was mailed there is opened."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, ForbiddenError, InvalidError
from novapulse.core.runtime import Runtime
from novapulse.security import audit, links, notices, sessions, sign_in, users
from novapulse.security.devices import Caller
from novapulse.security.models import User
from novapulse.security.notices import Notice
from novapulse.security.password_change import MAILS_MAX, facts_of
from novapulse.security.rules import check_domain, current_rules

LINK_S = 3600
_HOUR_MS = 3_600_000
_USER = table_of(User)


async def ask(rt: Runtime, actor: Actor, email: str, caller: Caller) -> None:
    """Mail a link to another address, which becomes the actor's when it is opened.

    Raises:
        InvalidError: not an address, or not of a domain that the rules allow.
        ConflictError: it is somebody's, no mail can be sent, or too much was.
        ReauthenticationError: not proven lately.
    """
    actor.require_sudo()
    if not rt.settings.smtp_url.get_secret_value():
        raise ConflictError("No mail can be sent here, so a new address cannot be confirmed; tell who runs NovaPulse.")
    address = users.normalise_email(email)
    check_domain(await current_rules(rt), address)
    async with rt.database.write() as session:
        user = await session.get_one(User, actor.id, with_for_update=True)
        if user.email == address:
            raise InvalidError.at("/email", "this is the one that you have now")
        if (await session.execute(select(_USER.c.id).where(_USER.c.email == address))).one_or_none() is not None:
            raise ConflictError("There is a user with this e-mail already.")
        if await links.count_since(session, user.id, "email", now_ms() - _HOUR_MS) >= MAILS_MAX:
            raise ConflictError("Several links were mailed within the hour; use the last, or ask again later.")
        token = await links.make(rt, session, "email", user.id, LINK_S, {"email": address})
        facts = facts_of(caller) | {"link": links.address(rt, "email", token), "name": address}
        await notices.tell(rt, session, address, Notice.EMAIL_CHANGE, facts)
        await audit.append(
            rt, session, actor, "email.change_asked", target=("user", user.id, user.email), detail={"to": address}
        )


async def confirm(rt: Runtime, token: str, caller: Caller) -> str:
    """Somebody reads mail at the new address: it is theirs from now on. Returns it.

    Raises:
        ForbiddenError: the link does not work, or no longer.
        ConflictError: the address has become somebody else's.
    """
    try:
        async with rt.database.write() as session:
            link = await links.peek(session, token, "email")
            user = await session.get_one(User, link.user_id, with_for_update=True)
            await links.use(rt, session, token, "email")
            if not user.active:
                raise ForbiddenError("This account is shut out; ask an administrator.")
            before, address = user.email, str(link.data["email"])
            user.email = address
            session.add(user)
            await session.flush()
            # A link that was mailed to the address before is not for its reader any more.
            await links.end_all(session, user.id, "reset")
            facts = facts_of(caller) | {"name": address}
            await notices.tell(rt, session, before, Notice.EMAIL_CHANGED, facts)
            detail = {"from": before, "to": address}
            actor = sign_in.actor_of(user, caller)
            await audit.append(rt, session, actor, "email.changed", target=("user", user.id, user.email), detail=detail)
    except IntegrityError:
        raise ConflictError("There is a user with this e-mail already.") from None
    await sessions.refresh(rt, user.id)
    return address
