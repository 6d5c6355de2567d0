"""Finding jobs: a filter as conditions that an index answers, and others that a bounded number of rows is held against.

A list is put together from branches, each of which an index gives in order of ids: the table of jobs by queue and
state, that of deliveries, and so on. What no index answers (text in a payload, a tenant) is looked for in the newest
`WINDOW` rows of a branch at a time: a page costs the same however many rows there are, and says how far it came.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Select, Table, case, func, literal, or_, select, true

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.ids import floor_id, is_id
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.models import JobState
from novapulse.jobs.schemas import JobFilter
from novapulse.jobs.tasks import TASKS, QueueName
from novapulse.webhooks.models import Delivery, DeliveryStatus, Event

DELIVERY = table_of(Delivery)
_EVENT = table_of(Event)
DELIVERY_TASK = "webhook.deliver"
QUEUES: tuple[str, ...] = get_args(QueueName)
WINDOW = 20_000
Kind = Literal["job", "dlv"]

STATUS_OF = {
    JobState.WAITING: DeliveryStatus.PENDING,
    JobState.ACTIVE: DeliveryStatus.SENDING,
    JobState.DELAYED: DeliveryStatus.RETRYING,
    JobState.COMPLETED: DeliveryStatus.DELIVERED,
    JobState.DEAD: DeliveryStatus.FAILED,
    JobState.CANCELLED: DeliveryStatus.CANCELLED,
}
STATE_OF = {status.value: state.value for state, status in STATUS_OF.items()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs are looked for; None stands for any."""

    ids: tuple[str, ...] | None = None
    queue: str | None = None
    state: str | None = None
    task: str | None = None
    q: str | None = None
    fingerprint: str | None = None
    schedule_id: str | None = None
    parent_id: str | None = None
    pinned: bool | None = None
    since: int | None = None  # ms
    until: int | None = None
    tenant: str | None = None  # of the actor
    deliveries: bool = True  # whether the actor may see them

    @classmethod
    def by(cls, actor: Actor, given: JobFilter, *, until: int | None = None) -> Wanted:
        """What an actor asks for by a filter; `until`: no job that is made at or after this time (ms)."""
        latest = round(given.until.timestamp() * 1000) if given.until else None
        bounds = [each for each in (latest, until) if each is not None]
        return cls(
            ids=None if given.ids is None else tuple(given.ids),
            queue=given.queue,
            state=given.state,
            task=given.task,
            q=given.q,
            fingerprint=given.fingerprint,
            schedule_id=given.schedule_id,
            parent_id=given.parent_id,
            pinned=given.pinned,
            since=round(given.since.timestamp() * 1000) if given.since else None,
            until=min(bounds) if bounds else None,
            tenant=actor.tenant,
            deliveries=actor.may(Permission.DELIVERIES_READ),
        )


@dataclass(frozen=True, slots=True)
class Branch:
    """Rows of one table that an index gives in the order of their ids, and what else they have to fit."""

    kind: Kind
    indexed: tuple[ColumnElement[bool], ...]
    others: tuple[ColumnElement[bool], ...]
    text: bool = False  # `others` looks into what is large: the payload

    def rows(
        self, columns: Sequence[ColumnElement[Any]], *, limit: int, window: int, below: str | None, above: str | None
    ) -> Select[Any]:
        """At most `limit` rows that fit, of the first `window`: newest first below a key, or oldest first above one."""
        id_ = self.id
        if not self.others:
            return self._base(columns, below=below, above=above).limit(limit)
        # All that the conditions are about has to be there inside; the columns' names are the tables' own.
        inner = self._base([id_], below=below, above=above).limit(window).subquery()
        found = self._from(select(*columns)).join(inner, inner.c.id == id_).where(*self.others)
        return found.order_by(id_ if above is not None else id_.desc()).limit(limit)

    def last_of_window(self, *, window: int, below: str | None, above: str | None) -> Select[Any]:
        """The id of the last row that `rows` looks at, if it looks at as many as it may."""
        return self._base([self.id], below=below, above=above).offset(window - 1).limit(1)

    @property
    def table(self) -> Table:
        """Where the rows are."""
        return JOB if self.kind == "job" else DELIVERY

    @property
    def id(self) -> ColumnElement[str]:
        """The column of ids."""
        return self.table.c.id

    def _base(self, columns: Sequence[ColumnElement[Any]], *, below: str | None, above: str | None) -> Select[Any]:
        found = select(*columns).where(*self.indexed)
        if below is not None:
            found = found.where(self.id < f"{self.kind}_{below}")
        if above is not None:
            return found.where(self.id > f"{self.kind}_{above}").order_by(self.id)
        return found.order_by(self.id.desc())

    def _from(self, found: Select[Any]) -> Select[Any]:
        if self.kind == "dlv" and self.text:
            return found.join(_EVENT, _EVENT.c.id == DELIVERY.c.event_id)
        return found


def branches(wanted: Wanted) -> list[Branch]:
    """Where to look for what is wanted; nothing, if nothing can fit."""
    found = list(_of_jobs(wanted))
    if wanted.deliveries and (branch := _of_deliveries(wanted)):
        found.append(branch)
    return found


def key_of(id_: str) -> str:
    """What ids of all kinds are ordered by."""
    return id_.partition("_")[2]


def _of_jobs(wanted: Wanted) -> list[Branch]:
    j = JOB.c
    if wanted.task == DELIVERY_TASK or is_id(wanted.q or "", "dlv"):
        return []
    span: list[ColumnElement[bool]] = []
    # Ids sort by time of creation: a span of time is a span of keys.
    if wanted.since is not None:
        span.append(j.id >= floor_id("job", wanted.since))
    if wanted.until is not None:
        span.append(j.id < floor_id("job", wanted.until))
    named: dict[str, ColumnElement[bool]] = {
        name: getattr(j, name) == value
        for name in ("fingerprint", "parent_id", "schedule_id", "task", "queue", "state", "tenant")
        if (value := getattr(wanted, name)) is not None
    }
    if wanted.pinned is not None:
        named["pinned"] = j.pinned == wanted.pinned
    text = False
    if wanted.q and is_id(wanted.q, "job"):
        named["id"] = j.id == wanted.q
    elif wanted.q:
        text = True
        # Not what views hide: a search that finds it tells it, letter by letter.
        places = (j.task, func.coalesce(j.searched, j.payload), j.unique_key)
        named["q"] = or_(*(place.icontains(wanted.q, autoescape=True) for place in places))
    if wanted.ids is not None:
        named["id"] = j.id.in_([id_ for id_ in wanted.ids if id_.startswith("job_")])
    anchors = _anchors(wanted, named)
    return [
        Branch(
            "job",
            (*(named[name] for name in anchor if name in named), *fixed, *span),
            tuple(condition for name, condition in named.items() if name not in anchor),
            text,
        )
        for anchor, fixed in anchors
    ]


def _anchors(
    wanted: Wanted, named: dict[str, ColumnElement[bool]]
) -> list[tuple[tuple[str, ...], tuple[ColumnElement[bool], ...]]]:
    """Names of conditions that one index answers together, with further ones of it."""
    for name in ("id", "fingerprint", "parent_id", "schedule_id"):
        if name in named:
            return [((name,), ())]
    if wanted.pinned:
        return [(("pinned",), ())]
    task = TASKS.get(wanted.task or "")
    # Before the task: behind a backlog of a task, its jobs in another state would be far to go for.
    if wanted.state:
        queues = [wanted.queue] if wanted.queue else [task.queue] if task else QUEUES
        return [(("state", "queue"), (JOB.c.queue == queue,)) for queue in queues]
    if wanted.task:
        return [(("task",), ())]
    if wanted.queue:
        return [(("queue",), ())]
    return [((), (true(),))]


def _of_deliveries(wanted: Wanted) -> Branch | None:
    d = DELIVERY.c
    not_theirs = (wanted.parent_id, wanted.schedule_id, wanted.pinned or None)
    if wanted.queue not in (None, "webhook") or wanted.task not in (None, DELIVERY_TASK) or any(not_theirs):
        return None
    indexed: list[ColumnElement[bool]] = []
    others: list[ColumnElement[bool]] = []
    text = False
    if wanted.fingerprint is not None:
        alike = read_fingerprint(wanted.fingerprint)
        if alike is None:
            return None
        webhook_id, error, code = alike
        indexed.append(d.webhook_id == webhook_id)
        others += [d.last_error == error, d.last_status_code == code]
    if wanted.state is not None:
        indexed.append(d.status == STATUS_OF[JobState(wanted.state)].value)
    if wanted.since is not None:
        indexed.append(d.id >= floor_id("dlv", wanted.since))
    if wanted.until is not None:
        indexed.append(d.id < floor_id("dlv", wanted.until))
    if wanted.tenant is not None:
        others.append(d.tenant == wanted.tenant)
    if wanted.ids is not None:
        indexed.append(d.id.in_([id_ for id_ in wanted.ids if id_.startswith("dlv_")]))
    if wanted.q:
        if is_id(wanted.q, "job"):
            return None
        if is_id(wanted.q, "dlv"):
            indexed.append(d.id == wanted.q)
        elif is_id(wanted.q, "evt"):
            indexed.append(d.event_id == wanted.q)
        elif is_id(wanted.q, "wh"):
            indexed.append(d.webhook_id == wanted.q)
        else:
            text = True
            places = (d.event_type, _EVENT.c.body)
            others.append(or_(*(place.icontains(wanted.q, autoescape=True) for place in places)))
    return Branch("dlv", tuple(indexed), tuple(others), text)


def fingerprint_of_delivery(webhook_id: str, error: str | None, code: int | None) -> str | None:
    """What failures of deliveries alike have in common: the webhook, and how it failed."""
    return None if error is None else f"{webhook_id}/{error}/{'' if code is None else code}"


def read_fingerprint(text: str) -> tuple[str, str, int | None] | None:
    """Webhook, error and status code of a delivery's fingerprint; None if it is not one."""
    webhook_id, _, rest = text.partition("/")
    error, _, code = rest.partition("/")
    if not is_id(webhook_id, "wh") or not error or not (code == "" or (code.isascii() and code.isdigit())):
        return None
    return webhook_id, error, int(code[:4]) if code else None


def columns_of(kind: Kind) -> dict[str, ColumnElement[Any]]:
    """What both kinds have, under one name: queue, task, tenant, state and whether it was begun before."""
    if kind == "job":
        j = JOB.c
        return {"queue": j.queue, "task": j.task, "tenant": j.tenant, "state": j.state, "tried": j.attempts > 0}
    d = DELIVERY.c
    state = case(STATE_OF, value=d.status, else_=JobState.CANCELLED.value)
    return {
        "queue": literal("webhook"),
        "task": literal(DELIVERY_TASK),
        "tenant": d.tenant,
        "state": state,
        "tried": d.attempts > 0,
    }


def due_since(run_at: int | None, created_at: int) -> int:
    """When a job could have been begun."""
    return max(created_at, min(run_at or created_at, now_ms()))
