"""What people are told by mail about their accounts (ASVS 5.0, 6.3.5 and 6.3.7): what happened, when, from where, and
what to do if it was not them.

A notice is made when it is told and put into the outbox in the transaction of the act, so that neither is there
without the other. The only secrets in it are the links that are meant to be there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Role
from novapulse.core.clock import now_ms, parse_rfc3339
from novapulse.core.database import table_of
from novapulse.core.ids import floor_id
from novapulse.core.runtime import Runtime
from novapulse.mail.models import Email
from novapulse.mail.render import render
from novapulse.mail.service import Message, queue_mail_on
from novapulse.security.models import User

_FOLDER = Path(__file__).parent / "templates"
_EMAIL = table_of(Email)
_USER = table_of(User)
_HOUR_MS = 3_600_000
_PER_HOUR = 10
_FACT_MAX = 200  # characters
_ADDRESS = re.compile(r"\w+://\S*")
_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


class Notice(StrEnum):
    """Each thing that is told."""

    NEW_SIGN_IN = "new_sign_in"
    PASSWORD_KNOWN = "password_known"  # noqa: S105 - a name; right password, too many wrong codes
    MFA_ON = "mfa_on"
    MFA_OFF = "mfa_off"
    MFA_RESET_ASKED = "mfa_reset_asked"  # to its user, with a link that stops it
    MFA_RESET_DONE = "mfa_reset_done"
    RECOVERY_CODE_USED = "recovery_code_used"
    RECOVERY_CODES_NEW = "recovery_codes_new"
    AUTHENTICATOR_ADDED = "authenticator_added"
    AUTHENTICATOR_REMOVED = "authenticator_removed"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
    PASSWORD_RESET = "password_reset"  # noqa: S105 - a name; the link to choose a new one
    INVITATION = "invitation"
    EMAIL_CHANGE = "email_change"  # to the new address, with a link that confirms it
    EMAIL_CHANGED = "email_changed"  # to the old address
    API_KEY_CREATED = "api_key_created"
    WEBHOOK_DISABLED = "webhook_disabled"  # by NovaPulse itself; to admins


# Those that are nothing without their link, and for how long it works unless the fact `lasts` says otherwise.
_LINKS = {
    Notice.MFA_RESET_ASKED: "",
    Notice.PASSWORD_RESET: "30 minutes",
    Notice.INVITATION: "7 days",
    Notice.EMAIL_CHANGE: "1 hour",
}
# Those whose words may be read by whoever may read mail.
_OPEN = frozenset({Notice.WEBHOOK_DISABLED})
_PATHS = {Notice.EMAIL_CHANGED: "/", Notice.API_KEY_CREATED: "/settings/api-keys", Notice.WEBHOOK_DISABLED: "/webhooks"}
_NAMES = {Notice.EMAIL_CHANGE: "New address", Notice.EMAIL_CHANGED: "New address", Notice.WEBHOOK_DISABLED: "Webhook"}
_LABELS = {
    "name": "Name",
    "at": "When",
    "device": "Device",
    "place": "From",
    "ip": "Network address",
    "by": "By",
    "reason": "Reason",
    "due": "Not before",
}


async def tell(rt: Runtime, session: AsyncSession, to: str, notice: Notice, facts: Mapping[str, str]) -> str:
    """Tell `to` within the transaction of `session`; the message's id. See `tell_on`."""
    connection = await session.connection()
    return await connection.run_sync(lambda sync: tell_on(rt, sync, to, notice, facts))


def tell_on(rt: Runtime, connection: Connection, to: str, notice: Notice, facts: Mapping[str, str]) -> str:
    """Tell `to` within the transaction of `connection`; the message's id.

    Facts, all optional unless said: `link` (needed by the four that are about one; for the others, where the button
    leads instead of the settings), `lasts` (how long the link works, in words), `at` (RFC 3339; left out: now),
    `device`, `place`, `ip`, `name` (of the authenticator, passkey or key; or the new address), `by`, `reason`, `due`
    (RFC 3339: a reset is not done before), `left` (how many recovery codes).

    Raises:
        ValueError: the link is missing.
    """
    known = {name: _clean(value) for name, value in facts.items() if value and name != "link"}
    link = facts.get("link", "")
    if notice in _LINKS:
        if not link:
            raise ValueError(f"the notice '{notice}' needs a link")
        known.setdefault("lasts", _LINKS[notice])
    known["at"] = _spoken(known["at"]) if "at" in known else _spoken_ms(now_ms())
    if "due" in known:
        known["due"] = _spoken(known["due"])
    labels = _LABELS | {"name": _NAMES.get(notice, _LABELS["name"])}
    home = rt.settings.base_url
    made = render(
        _FOLDER,
        notice.value,
        known,
        details=[(labels[name], known[name]) for name in labels if name in known],
        target=link or home + _PATHS.get(notice, "/settings/security"),
        home=home,
    )
    message = Message(to=to, kind=notice.value, subject=made.subject, text=made.text, html=made.html)
    return queue_mail_on(rt, connection, message, private=notice not in _OPEN)


def tell_admins(rt: Runtime, connection: Connection, notice: Notice, facts: Mapping[str, str]) -> None:
    """Tell every admin, within the transaction of `connection`; each of one notice so many times an hour at most."""
    since = _EMAIL.c.id >= floor_id("eml", now_ms() - _HOUR_MS)
    admins = select(_USER.c.email).where(_USER.c.role == Role.ADMIN.value, _USER.c.active).order_by(_USER.c.id)
    for (address,) in connection.execute(admins).all():
        lately = select(func.count()).where(_EMAIL.c.kind == notice.value, since, _EMAIL.c.recipient == address)
        if connection.execute(lately).scalar_one() < _PER_HOUR:
            tell_on(rt, connection, address, notice, facts)


def _clean(value: str) -> str:
    """A fact as one short line. Strangers choose some (a browser's name): their addresses do not get into our mail."""
    return _ADDRESS.sub("…", _UNSEEN.sub(" ", value)).strip()[:_FACT_MAX]


def _spoken(time: str) -> str:
    try:
        return _spoken_ms(parse_rfc3339(time))
    except ValueError:  # in words already
        return time


def _spoken_ms(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"
