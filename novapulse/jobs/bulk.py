"""One act on all jobs that a filter finds: looked at before, then done by a job that can be watched and stopped.

What is touched was made, and ended, before the act was asked for: nothing is done twice, not even to what fails again
while the act goes on. Its place is written in the transaction of each step, so it goes on where it was after any crash.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, get_args

import orjson
from pydantic import BaseModel
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import InvalidError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.acts import BULK, BULK_KEPT_MS, TOUCHES, TOUCHES_UNASKED, UNDO_MS, cancel_on
from novapulse.jobs.enqueue import NewJob, add_job, kick
from novapulse.jobs.listing import UNDO
from novapulse.jobs.models import JobState
from novapulse.jobs.schemas import Act, BulkAccepted, BulkIn, CanaryIn, JobFilter, Preview, PreviewIn, Repeats, State
from novapulse.jobs.selecting import Branch, Wanted, branches, columns_of
from novapulse.security import audit

BULK_TASK = "jobs.bulk"
_COUNTED = 200_000  # of each queue and state that is touched
_COUNTED_BESIDE = 20_000  # of the others
_ENDED = (JobState.COMPLETED.value, JobState.DEAD.value, JobState.CANCELLED.value)
_PAST: dict[Act, str] = {"retry": "retried", "cancel": "cancelled", "discard": "discarded"}


class BulkPayload(BaseModel):
    """A bulk action as it was asked for."""

    action: Act | Literal["undo"]
    wanted: Wanted
    states: tuple[str, ...]
    before: int  # ms: what was made or has ended since is left alone
    canary: CanaryIn | None = None
    per_s: int = 500
    expected: int = 0  # at least, for its progress
    lacks: tuple[str, ...] = ()  # what whoever asked may not do: jobs that need it are not retried
    of: str = ""  # of an undo: the bulk cancel that is taken back

    def needs(self) -> tuple[Permission, ...]:
        """What it takes to have this done, besides `jobs:write`."""
        return (Permission.DELIVERIES_WRITE,) if self.wanted.deliveries else ()


async def preview_bulk(rt: Runtime, actor: Actor, given: PreviewIn) -> Preview:
    """What the action would touch now, and what it would repeat.

    Raises:
        InvalidError: the filter is empty, or its state is none that the action touches.
        ForbiddenError: it is about deliveries, and they are not the actor's.
    """
    actor.require(Permission.JOBS_READ)
    wanted, states = _wanted(actor, given.action, given.filter, Permission.DELIVERIES_READ)
    async with rt.database.read() as session:
        return await _look(session, given.action, wanted, states, now_ms())


async def start_bulk(rt: Runtime, actor: Actor, given: BulkIn) -> BulkAccepted:
    """Have it done by a job. A discard starts after ten seconds: until then, cancelling the job takes it back.

    A cancel starts at once; `service.undo_job` of its job takes it back, while it goes on and ten seconds longer.

    Raises:
        InvalidError: as `preview_bulk`; or a canary for what is not tried.
        ForbiddenError: it is about deliveries, and the actor may not change them.
    """
    actor.require(Permission.JOBS_WRITE)
    if given.canary is not None and given.action != "retry":
        raise InvalidError.at("/canary", f"only a retry can be tried; leave it out to {given.action}")
    now = now_ms()
    wanted, states = _wanted(actor, given.action, given.filter, Permission.DELIVERIES_WRITE)
    async with rt.database.read() as session:
        preview = await _look(session, given.action, wanted, states, now)
    payload = BulkPayload(
        action=given.action,
        wanted=wanted,
        states=states,
        before=now,
        canary=given.canary,
        per_s=given.per_s,
        expected=preview.touched,
        lacks=tuple(sorted(each for each in Permission if not actor.may(each))),
    )
    id_ = new_id("job")
    starts_at = now + UNDO_MS if given.action == "discard" else now
    async with rt.database.write() as session:
        new = NewJob(
            id=id_,
            task=BULK_TASK,
            payload=payload.model_dump(mode="json"),
            run_at=starts_at,
            priority=2,
            tenant=actor.tenant,
            created_by=actor.name,
        )
        await add_job(session, new)
        if given.action == "cancel":
            row = {"job_id": id_, "act": "cancel", "until": now + BULK_KEPT_MS, "done_at": now}
            await session.execute(insert(UNDO).values(row | {"was": orjson.dumps({BULK: id_}).decode()}))
        detail = {"filter": given.filter.model_dump(mode="json", exclude_none=True), "touches": preview.touched}
        target = ("job", id_, BULK_TASK)
        await audit.append(rt, session, actor, f"job.bulk_{_PAST[given.action]}", target=target, detail=_short(detail))
    if starts_at == now:
        await kick(rt, "workflow", [id_])
    return BulkAccepted(job_id=id_, starts_at=rfc3339(starts_at))


async def undo_bulk(session: AsyncSession, actor: Actor, row: Any) -> str:
    """Stop a bulk cancel, and make the job that takes back what it called off, within a transaction; that job's id.

    `row` is the job of the bulk cancel. Who calls has checked the actor, and kicks it and audits it.
    """
    now = now_ms()
    given = BulkPayload.model_validate_json(row.payload)
    await (await session.connection()).run_sync(lambda sync: cancel_on(sync, [row.id], now=now, by=actor.name))
    payload = given.model_copy(update={"action": "undo", "of": row.id})
    new = NewJob(
        task=BULK_TASK,
        payload=payload.model_dump(mode="json"),
        priority=2,
        tenant=row.tenant,
        created_by=actor.name,
        parent_id=row.id,
    )
    return await add_job(session, new)


def steps_of(payload: BulkPayload) -> list[Branch]:
    """Where to go through what is touched, one branch after the other."""
    if payload.action == "undo":
        # What of it that cancel called off is known of each.
        wanted, before = payload.wanted, payload.before
        until = before if wanted.until is None else min(wanted.until, before)
        return list(branches(replace(wanted, state=JobState.CANCELLED.value, until=until)))
    return list(_touched(payload.wanted, payload.states, payload.before))


def _touched(wanted: Wanted, states: tuple[str, ...], before: int) -> Iterator[Branch]:
    until = before if wanted.until is None else min(wanted.until, before)
    for state in states:
        for branch in branches(replace(wanted, state=state, until=until)):
            if state in _ENDED:
                # What ends while the act goes on is not what somebody has seen.
                branch = replace(branch, others=(*branch.others, branch.table.c.finished_at < before))
            yield branch


def _wanted(actor: Actor, action: Act, given: JobFilter, deliveries: Permission) -> tuple[Wanted, tuple[str, ...]]:
    if not given.model_dump(exclude_none=True):
        raise InvalidError.at("/filter", "says nothing: it would be every job there is")
    if given.state is not None and given.state not in TOUCHES[action]:
        touched = ", ".join(TOUCHES[action])
        raise InvalidError.at("/filter/state", f"{action} touches jobs that are {touched}")
    wanted = Wanted.by(actor, given)
    if action == "discard":
        wanted = replace(wanted, deliveries=False)  # they are the record of what was sent
        if given.queue == "webhook":
            raise InvalidError.at("/filter/queue", "deliveries are the record of what was sent: they are kept")
    elif given.queue == "webhook":
        actor.require(deliveries)
    wanted = replace(wanted, deliveries=wanted.deliveries and actor.may(deliveries))
    if given.state is not None:
        return wanted, (given.state,)
    # What somebody picked one by one is meant, whatever its state.
    states = TOUCHES[action] if given.ids is not None else TOUCHES_UNASKED[action]
    # First what waits: what is retried and fails again is then in no state that is still to come.
    return wanted, tuple(sorted(states, key=lambda state: state in _ENDED))


async def _look(session: AsyncSession, action: Act, wanted: Wanted, states: tuple[str, ...], now: int) -> Preview:
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("queue", "task", "tenant", "state")}
    completed, attempted, untouched = Counter[str](), Counter[str](), Counter[str]()
    complete = untouched_complete = True
    for branch in _touched(wanted, states, now):
        looked_at = 0
        for row in await _grouped(session, branch, _COUNTED):
            looked_at += row.n
            for name, counter in counts.items():
                counter[getattr(row, name) or ""] += row.n
            if row.state == JobState.COMPLETED:
                completed[row.task] += row.n
            elif row.tried and action == "retry":
                attempted[row.task] += row.n
        complete = complete and looked_at <= _COUNTED
    if wanted.state is None:
        for state in set(get_args(State)) - set(states):
            for branch in branches(replace(wanted, state=state)):
                rows = await _grouped(session, branch, _COUNTED_BESIDE)
                n = sum(row.n for row in rows)
                untouched[state] += n
                untouched_complete = untouched_complete and n <= _COUNTED_BESIDE
    touched = counts["state"].total()
    return Preview(
        action=action,
        matched=touched + untouched.total(),
        touched=touched,
        untouched={state: n for state, n in sorted(untouched.items()) if n},
        by_queue=dict(counts["queue"].most_common()),
        by_task=dict(counts["task"].most_common()),
        by_tenant=dict(counts["tenant"].most_common(100)),
        by_state=dict(counts["state"].most_common()),
        repeats=[
            Repeats(task=task, completed=completed[task], attempted=attempted[task])
            for task in sorted({*completed, *attempted})
            if action == "retry"
        ],
        complete=complete,
        untouched_complete=untouched_complete,
    )


async def _grouped(session: AsyncSession, branch: Branch, most: int) -> list[Any]:
    columns = [column.label(name) for name, column in columns_of(branch.kind).items()]
    inner = branch.rows(columns, limit=most + 1, window=most + 1, below=None, above=None).subquery().c
    keys = (inner.queue, inner.task, inner.tenant, inner.state, inner.tried)
    return list((await session.execute(select(*keys, func.count().label("n")).group_by(*keys))).all())


def _short(detail: dict[str, Any]) -> dict[str, Any]:
    """Without a long list of ids: the job's payload has it."""
    ids = detail["filter"].get("ids")
    if ids is not None:
        detail["filter"]["ids"] = len(ids)
    return detail
