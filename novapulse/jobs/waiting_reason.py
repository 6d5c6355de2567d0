"""Why is it not running? For any job or delivery: what keeps it, in words, and when it may begin."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, Select, and_, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import NotFoundError
from novapulse.core.runtime import Runtime
from novapulse.jobs.counts import read_stats
from novapulse.jobs.models import Job, JobState
from novapulse.jobs.shapes import QueueView, Reason, WhyView
from novapulse.webhooks.models import OPEN_STATUSES, Delivery, DeliveryStatus, Webhook, WebhookStatus

_JOB = table_of(Job)
_DELIVERY = table_of(Delivery)
_WEBHOOK = table_of(Webhook)
_COUNTED = 10_000  # jobs ahead are counted up to here
_NAMED = 5  # jobs in the way that are named
_STATES = {
    DeliveryStatus.PENDING: JobState.WAITING,
    DeliveryStatus.SENDING: JobState.ACTIVE,
    DeliveryStatus.RETRYING: JobState.DELAYED,
    DeliveryStatus.DELIVERED: JobState.COMPLETED,
    DeliveryStatus.FAILED: JobState.DEAD,
    DeliveryStatus.CANCELLED: JobState.CANCELLED,
}
_ENDED = {JobState.COMPLETED: "completed", JobState.DEAD: "failed for good", JobState.CANCELLED: "was cancelled"}


@dataclass(slots=True)
class _Case:
    """What is found out about one job."""

    id: str
    queue: str
    state: JobState
    run_at: int | None  # None: held
    attempts: int
    worker: str | None
    created_at: int
    since: int | None  # of a running one: its begin; of an ended one: its end
    priority: int = 5
    why: str | None = None  # what a row says itself of when it is due
    reasons: list[Reason] = field(default_factory=list[Reason])
    ahead: int | None = None
    ahead_exact: bool = True


async def explain(rt: Runtime, actor: Actor, job_id: str) -> WhyView:
    """Why this job or delivery is not running, and when it may begin.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.JOBS_READ)
    now = now_ms()
    async with rt.database.read() as session:
        case = await (_delivery if job_id.startswith("dlv_") else _job)(session, actor, job_id)
    if case.state in _ENDED:
        return _answer(
            case, Reason(code="ended", text=f"It is over: it {_ENDED[case.state]}.", since=_time(case.since))
        )
    if case.state is JobState.ACTIVE:
        where = f" on {case.worker}" if case.worker else ""
        return _answer(case, Reason(code="running", text=f"It is running{where}.", since=_time(case.since)))
    stats = await read_stats(rt)
    queue = next(each for each in stats.queues if each.name == case.queue)
    _of_queue(case, queue)
    await _of_scheduler(rt, case)
    _of_time(case, now)
    if case.run_at is not None and case.run_at <= now:
        async with rt.database.read() as session:
            await _of_turn(session, actor, case, queue)
    if not case.reasons:
        case.reasons.append(Reason(code="next", text="It is next: a worker takes it within a second."))
    return _estimated(case, queue, now)


async def _job(session: AsyncSession, actor: Actor, job_id: str) -> _Case:
    row = (await session.execute(select(_JOB).where(_JOB.c.id == job_id))).one_or_none()
    if row is None or actor.tenant not in (None, row.tenant):
        raise NotFoundError("job", job_id)
    state = JobState(row.state)
    since = row.started_at if state is JobState.ACTIVE else row.finished_at
    return _Case(
        row.id, row.queue, state, row.run_at, row.attempts, row.claimed_by, row.created_at, since, row.priority
    )


async def _delivery(session: AsyncSession, actor: Actor, delivery_id: str) -> _Case:
    row = (await session.execute(select(_DELIVERY).where(_DELIVERY.c.id == delivery_id))).one_or_none()
    if row is None or actor.tenant not in (None, row.tenant):
        raise NotFoundError("delivery", delivery_id)
    state = _STATES[DeliveryStatus(row.status)]
    case = _Case(
        row.id,
        "webhook",
        state,
        row.next_attempt_at,
        row.attempts,
        row.claimed_by,
        row.created_at,
        row.finished_at,
    )
    case.why = row.reason
    if state in (JobState.WAITING, JobState.DELAYED):
        await _of_webhook(session, case, row)
    return case


async def _of_webhook(session: AsyncSession, case: _Case, row: Any) -> None:
    webhook = (await session.execute(select(_WEBHOOK).where(_WEBHOOK.c.id == row.webhook_id))).one()
    name = webhook.name or webhook.url
    if webhook.status != WebhookStatus.ACTIVE:
        why = f": {webhook.disabled_reason}" if webhook.disabled_reason else ""
        case.reasons.append(
            Reason(code="webhook_inactive", text=f"The webhook {name} is {webhook.status}{why}", ids=[webhook.id])
        )
    if webhook.ordered:
        d = _DELIVERY.c
        before = select(d.id).where(
            d.webhook_id == row.webhook_id, d.status.in_([s.value for s in OPEN_STATUSES]), d.id < row.id
        )
        found = list((await session.execute(before.order_by(d.id).limit(_NAMED))).scalars())
        if found:
            text = "The webhook is sent to in order: the deliveries before this one have to end first."
            case.reasons.append(Reason(code="held", text=text, ids=found))


def _of_queue(case: _Case, queue: QueueView) -> None:
    # What was made before a drain is worked off.
    drained = queue.mode == "draining" and rfc3339(case.created_at) <= (queue.mode_since or "")
    if queue.mode in ("paused", "draining") and not drained:
        by, note = queue.mode_by or "somebody", f": {queue.mode_note}" if queue.mode_note else "."
        since = f" since {_clock(queue.mode_since)}" if queue.mode_since else ""
        text = (
            f"Queue {queue.name} is paused by {by}{since}{note}"
            if queue.mode == "paused"
            else f"Queue {queue.name} is being drained, asked for by {by}{since}{note} What is made since then waits."
        )
        case.reasons.append(Reason(code=queue.mode, text=text, since=queue.mode_since, by=queue.mode_by))
    if queue.workers is None:
        case.reasons.append(
            Reason(code="unknown", text="Valkey cannot be asked: whether a worker is alive is unknown.")
        )
    elif queue.workers == 0:
        case.reasons.append(Reason(code="no_worker", text=f"No live worker works on queue {queue.name}. Start one."))


async def _of_scheduler(rt: Runtime, case: _Case) -> None:
    try:
        alive = await rt.valkey.exists("{np}:scheduler")
    except (RedisError, OSError, TimeoutError):
        return  # said already
    if not alive:
        text = "No scheduler is running: what becomes due is not handed out. Start one."
        case.reasons.append(Reason(code="no_scheduler", text=text))


def _of_time(case: _Case, now: int) -> None:
    if case.run_at is None:
        if not any(reason.code in ("webhook_inactive", "held") for reason in case.reasons):
            case.reasons.append(Reason(code="held", text=case.why or "It is held until something else is over."))
        return
    if case.run_at <= now:
        return
    at = rfc3339(case.run_at)
    if case.attempts > 0:
        why = f" {case.why}" if case.why else ""
        text = f"Attempt {case.attempts} failed; the next is due at {_clock(at)}.{why}"
        case.reasons.append(Reason(code="retry", text=text, since=at))
    else:
        case.reasons.append(
            Reason(code="delayed", text=case.why or f"It is not to begin before {_clock(at)}.", since=at)
        )


async def _of_turn(session: AsyncSession, actor: Actor, case: _Case, queue: QueueView) -> None:
    """Whoever is in the way: what runs, if no slot is free, and what comes first."""
    if queue.slots and queue.active is not None and queue.active >= queue.slots:
        text = f"All {queue.slots} slots of queue {case.queue} are busy."
        ids = await _running(session, actor, case.queue)
        case.reasons.append(Reason(code="slots_busy", text=text, ids=ids))
    ahead = _ahead(case).limit(_COUNTED + 1)
    found = (await session.execute(select(func.count()).select_from(ahead.subquery()))).scalar_one()
    case.ahead, case.ahead_exact = min(found, _COUNTED), found <= _COUNTED
    if found > 0:
        many = f"{found:,}" if case.ahead_exact else f"More than {_COUNTED:,}"
        case.reasons.append(
            Reason(code="ahead", text=f"{many} {'job comes' if found == 1 else 'jobs come'} before it in the queue.")
        )


def _ahead(case: _Case) -> Select[Any]:
    if case.queue == "webhook":
        d = _DELIVERY.c
        return select(d.id).where(
            d.status == DeliveryStatus.PENDING.value, d.id < case.id, d.next_attempt_at.is_not(None)
        )
    j = _JOB.c
    return select(j.id).where(
        j.queue == case.queue,
        j.state == JobState.WAITING.value,
        tuple_(j.priority, j.id) < tuple_(literal(case.priority), literal(case.id)),
    )


async def _running(session: AsyncSession, actor: Actor, queue: str) -> list[str]:
    """Some of those that hold the slots, the longest first; of the actor's tenant only."""
    if queue == "webhook":
        table, active = _DELIVERY, _DELIVERY.c.status == DeliveryStatus.SENDING.value
    else:
        table, active = _JOB, and_(_JOB.c.queue == queue, _JOB.c.state == JobState.ACTIVE.value)
    mine: list[ColumnElement[bool]] = [] if actor.tenant is None else [table.c.tenant == actor.tenant]
    rows = await session.execute(select(table.c.id).where(active, *mine).order_by(table.c.id).limit(_NAMED))
    return list(rows.scalars())


_NO_ESTIMATE = {
    "paused": "It begins after the queue is resumed.",
    "draining": "What was made after the drain was asked for begins after the queue is resumed.",
    "no_worker": "It begins once a worker is started.",
    "no_scheduler": "It begins once a scheduler is started.",
    "unknown": "While Valkey is away there is no telling.",
    "webhook_inactive": "It goes on once the webhook is active again.",
    "held": "It goes on once what is before it has ended.",
}


def _estimated(case: _Case, queue: QueueView, now: int) -> WhyView:
    """The reasons, with when it may begin: from how fast the queue moves, or how long its jobs run."""
    for reason in case.reasons:
        if reason.code in _NO_ESTIMATE:
            return _answer(case, basis=_NO_ESTIMATE[reason.code])
    if case.run_at is not None and case.run_at > now:
        wait_s = (case.run_at - now) / 1000
        return _answer(case, estimate_s=wait_s, now=now, basis="When it is due; then it takes its turn.")
    ahead = case.ahead or 0
    if ahead == 0 and not any(reason.code == "slots_busy" for reason in case.reasons):
        return _answer(case, estimate_s=0.5, now=now, basis="A slot is free, and nothing comes before it.")
    if queue.throughput_per_s:
        wait_s = (ahead + 1) / queue.throughput_per_s
        basis = f"{ahead:,} before it, at {queue.throughput_per_s:g} per second as in the last ten seconds."
    elif queue.run_ms.p50 is not None and queue.slots:
        wait_s = queue.run_ms.p50 / 1000 * (ahead + 1) / queue.slots
        basis = f"{ahead:,} before it, {queue.run_ms.p50 / 1000:g} s each (median), {queue.slots} at once."
    else:
        return _answer(case, basis="Nothing has ended in the last minute: how fast the queue moves is not known.")
    if not case.ahead_exact:
        basis = f"At least: {basis}"
    return _answer(case, estimate_s=wait_s, now=now, basis=basis)


def _answer(case: _Case, *reasons: Reason, estimate_s: float | None = None, now: int = 0, basis: str = "") -> WhyView:
    return WhyView(
        job_id=case.id,
        state=case.state.value,
        reasons=[*case.reasons, *reasons],
        ahead=case.ahead,
        ahead_exact=case.ahead_exact,
        estimate_s=None if estimate_s is None else round(estimate_s, 1),
        begins_at=None if estimate_s is None else rfc3339(now + round(estimate_s * 1000)),
        basis=basis or "It is not waiting.",
    )


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _clock(at: str) -> str:
    """A time as a sentence has it."""
    return f"{at[:19].replace('T', ' ')} UTC"
