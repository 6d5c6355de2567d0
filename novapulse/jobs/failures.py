"""Failures that are alike, together: one cause is one line, however many jobs it took down."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import rfc3339
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.models import JobState
from novapulse.jobs.schemas import FailureGroup, Failures
from novapulse.jobs.selecting import DELIVERY, DELIVERY_TASK, Branch, Wanted, branches, fingerprint_of_delivery
from novapulse.jobs.views import error_of_delivery
from novapulse.webhooks.models import Webhook

_WEBHOOK = table_of(Webhook)
_LOOKED_AT = 50_000  # the newest of each queue and state
_ERROR = 500


async def list_failures(
    rt: Runtime,
    actor: Actor,
    *,
    queue: str | None = None,
    task: str | None = None,
    since: int | None = None,
    limit: int = 50,
) -> Failures:
    """What failed, by fingerprint, the most frequent first; `since` bounds when the jobs were made, in ms.

    Raises:
        ForbiddenError: jobs may not be read, or `queue` is `webhook` and deliveries may not.
    """
    actor.require(Permission.JOBS_READ)
    if queue == "webhook":
        actor.require(Permission.DELIVERIES_READ)
    groups: dict[str, dict[str, Any]] = {}
    complete = True
    async with rt.database.read() as session:
        for state in (JobState.DEAD, JobState.DELAYED):
            wanted = Wanted(
                queue=queue,
                state=state.value,
                task=task,
                since=since,
                tenant=actor.tenant,
                deliveries=actor.may(Permission.DELIVERIES_READ),
            )
            for branch in branches(wanted):
                looked_at = 0
                for row in await _grouped(session, branch):
                    looked_at += row.n
                    if row.fingerprint is not None:
                        _add(groups, row, state)
                complete = complete and looked_at <= _LOOKED_AT
        shown = sorted(groups.values(), key=lambda group: (-group["dead"] - group["retrying"], group["fingerprint"]))
        shown = shown[:limit]
        errors = await _errors(session, [group["example_id"] for group in shown])
    data = [
        FailureGroup(
            **group
            | {
                "error": errors.get(group["example_id"], ""),
                "first_seen": _time(group["first_seen"]),
                "last_seen": _time(group["last_seen"]),
            }
        )
        for group in shown
    ]
    return Failures(data=data, complete=complete and len(groups) <= limit)


async def _grouped(session: AsyncSession, branch: Branch) -> list[Any]:
    """The newest failures of a branch by what they have in common."""
    bound = _LOOKED_AT + 1
    if branch.kind == "job":
        j = JOB.c
        at = func.coalesce(j.finished_at, j.started_at).label("at")
        inner = branch.rows(
            [j.id, j.queue, j.task, j.fingerprint, at], limit=bound, window=bound, below=None, above=None
        )
        i = inner.subquery().c
        keys: list[Any] = [i.fingerprint, i.queue, i.task]
    else:
        d = DELIVERY.c
        # What is tried again says when it will be, not when it failed.
        columns = [d.id, d.webhook_id, d.last_error, d.last_status_code, d.finished_at.label("at")]
        i = branch.rows(columns, limit=bound, window=bound, below=None, above=None).subquery().c
        keys = [i.webhook_id, i.last_error, i.last_status_code]
    numbers = (func.count().label("n"), func.min(i.at).label("first"), func.max(i.at).label("last"))
    rows = (await session.execute(select(*keys, *numbers, func.max(i.id).label("newest")).group_by(*keys))).all()
    return list(rows) if branch.kind == "job" else [_OfDelivery(row) for row in rows]


class _OfDelivery:
    """A group of deliveries, in the shape of a group of jobs."""

    def __init__(self, row: Any) -> None:
        self.fingerprint = fingerprint_of_delivery(row.webhook_id, row.last_error, row.last_status_code)
        self.queue, self.task = "webhook", DELIVERY_TASK
        self.n, self.first, self.last, self.newest = row.n, row.first, row.last, row.newest


def _add(groups: dict[str, dict[str, Any]], row: Any, state: JobState) -> None:
    new = {
        "fingerprint": row.fingerprint,
        "queue": row.queue,
        "task": row.task,
        "dead": 0,
        "retrying": 0,
        "first_seen": None,
        "last_seen": None,
        "example_id": "",
    }
    group = groups.setdefault(row.fingerprint, new)
    group["dead" if state is JobState.DEAD else "retrying"] += row.n
    group["first_seen"] = min(_known(group["first_seen"], row.first), default=None)
    group["last_seen"] = max(_known(group["last_seen"], row.last), default=None)
    group["example_id"] = max(group["example_id"], row.newest)


def _known(*values: int | None) -> Iterable[int]:
    return [value for value in values if value is not None]


async def _errors(session: AsyncSession, ids: list[str]) -> dict[str, str]:
    jobs = select(JOB.c.id, JOB.c.error).where(JOB.c.id.in_(ids))
    found = {row.id: (row.error or "")[:_ERROR] for row in (await session.execute(jobs)).all()}
    d, w = DELIVERY.c, _WEBHOOK.c
    sent = select(d.id, d.last_error, d.last_status_code, w.name, w.url).join(_WEBHOOK, w.id == d.webhook_id)
    for row in (await session.execute(sent.where(d.id.in_(ids)))).all():
        whom = row.name or urlsplit(row.url).hostname or ""
        found[row.id] = f"{error_of_delivery(row.last_error, row.last_status_code)}, by {whom}"
    return found


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
