"""Judging what is asked for, when it is asked for: who may have it, and whether there can be such a report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError, InvalidError
from novapulse.reports.content import Kind
from novapulse.reports.ranges import SPAN_MAX_MS, Range, resolve
from novapulse.reports.schemas import ReportParams
from novapulse.webhooks.models import Webhook

_W = table_of(Webhook).c
_AHEAD_MS = 60_000  # a sender's clock may be so far ahead of ours
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}")  # RFC 5321, 4.1.2, without quotes
# A report tells nothing that its reader could not read elsewhere.
READS: dict[Kind, Permission] = {
    "deliveries": Permission.DELIVERIES_READ,
    "endpoints": Permission.WEBHOOKS_READ,
    "queues": Permission.JOBS_READ,
    "audit": Permission.AUDIT_READ,
}
_OF_A_WEBHOOK: tuple[Kind, ...] = ("deliveries", "endpoints")


@dataclass(frozen=True, slots=True)
class About:
    """What a report is about, besides its range."""

    webhook_id: str | None
    tenant: str | None


def require_reader(actor: Actor, kind: Kind) -> None:
    """Refuse who may not read what a report of this kind tells.

    Raises:
        ForbiddenError: no permission; or a key of one tenant, and the audit log is of all.
    """
    actor.require(READS[kind])
    if kind == "audit" and actor.tenant is not None:
        raise ForbiddenError(f"This key may only act for tenant '{actor.tenant}'; the audit log is of all tenants.")


def kinds_for(actor: Actor) -> list[Kind]:
    """The kinds of reports that an actor may read."""
    return [kind for kind, needed in READS.items() if actor.may(needed) and (kind != "audit" or actor.tenant is None)]


def require_maker(actor: Actor, kind: Kind, mail_to: Sequence[str]) -> None:
    """Refuse who may not have such a report made.

    Raises:
        ForbiddenError: not allowed; ReauthenticationError: the audit log is handed out to who has proven themselves.
        InvalidError: it cannot be mailed there.
    """
    actor.require(Permission.REPORTS_WRITE)
    require_reader(actor, kind)
    if kind == "audit":
        actor.require_sudo()
    if mail_to:
        actor.require(Permission.EMAILS_WRITE)
    for place, address in enumerate(mail_to):
        if not _ADDRESS.fullmatch(address):
            raise InvalidError.at(f"/mail_to/{place}", "must be an e-mail address such as ops@example.com")


def range_of(params: ReportParams, now: int) -> tuple[int, int]:
    """Begin and end in ms.

    Raises:
        InvalidError: no range, an impossible one, or one of the future; with the place.
    """
    if params.range is not None:
        for name in ("since", "until"):
            if getattr(params, name) is not None:
                raise InvalidError.at(f"/params/{name}", "leave it out where there is a `range`")
        check_timezone(params.timezone, "/params/timezone")
        return resolve(params.range, now, params.timezone)
    if params.since is None or params.until is None:
        missing = "since" if params.since is None else "until"
        raise InvalidError.at(f"/params/{missing}", "a report has `since` and `until`, or a `range`")
    since, until = (round(moment.timestamp() * 1000) for moment in (params.since, params.until))
    if since > now:
        raise InvalidError.at("/params/since", "must not be in the future: a report tells of what has been")
    if until > now + _AHEAD_MS:
        raise InvalidError.at("/params/until", "must not be in the future: a report tells of what has been")
    until = min(until, now)
    if until <= since:
        raise InvalidError.at("/params/until", "must be after `since`")
    if until - since > SPAN_MAX_MS:
        raise InvalidError.at("/params/since", "a report is about 366 days at most")
    return since, until


def check_timezone(name: str, pointer: str) -> None:
    """Refuse a time zone that there is not.

    Raises:
        InvalidError: at `pointer`.
    """
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidError.at(pointer, "there is no such time zone; e.g. Europe/Paris") from None


async def about(
    session: AsyncSession, actor: Actor, kind: Kind, webhook_id: str | None, tenant: str | None, pointer: str
) -> About:
    """What it is about, as far as the actor may see it.

    Raises:
        InvalidError: a webhook that there is not, or of a kind that has none; somebody else's tenant.
    """
    if webhook_id is not None and kind not in _OF_A_WEBHOOK:
        raise InvalidError.at(f"{pointer}/webhook_id", f"a report of kind `{kind}` is not about one webhook")
    if tenant is not None and kind == "audit":
        raise InvalidError.at(f"{pointer}/tenant", "the audit log is of all tenants")
    if actor.tenant is not None and tenant not in (None, actor.tenant):
        raise InvalidError.at(f"{pointer}/tenant", "must be your own, or left out")
    tenant = actor.tenant or tenant
    if webhook_id is not None:
        found = (await session.execute(select(_W.tenant).where(_W.id == webhook_id))).first()
        if found is None or actor.tenant not in (None, found.tenant):
            raise InvalidError.at(f"{pointer}/webhook_id", "there is no webhook of this id")
    return About(webhook_id, tenant)


def check_schedule(range_: Range, timezone: str) -> None:
    """Refuse a range that cannot be resolved when its time comes."""
    check_timezone(timezone, "/timezone")
    resolve(range_, 0, timezone)
