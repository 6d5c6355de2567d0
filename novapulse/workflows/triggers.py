"""What starts runs besides people: events, in the transaction that takes them in, and times."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from novapulse.core import exact, trace
from novapulse.core.clock import rfc3339
from novapulse.core.runtime import Runtime
from novapulse.jobs.enqueue import kick
from novapulse.webhooks import ingest
from novapulse.webhooks.ingest import StoredEvent
from novapulse.webhooks.matching import Matcher
from novapulse.workflows import expressions
from novapulse.workflows.expressions import ExpressionError
from novapulse.workflows.store import RUN, WORKFLOW, NewRun, start_on
from novapulse.workflows.watch import tell_run

DEPTH_MAX = 8  # runs that lead to one another by their events
_w = WORKFLOW.c


@dataclass(frozen=True, slots=True)
class _Trigger:
    workflow_id: str
    version: int
    name: str
    condition: str | None


class Triggers:
    """The triggers of one process, read anew when a workflow changed. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self._version = -1
        self._matchers: dict[str | None, Matcher] = {}
        self._by_id: dict[str, _Trigger] = {}

    def of(self, connection: Connection, version: int, event: StoredEvent) -> list[_Trigger]:
        """Those that an event sets off. `version`: of the routing, which counts changes of workflows too."""
        if version != self._version:
            self._read(connection)
            self._version = version
        matcher = self._matchers.get(event.tenant)
        return [] if matcher is None else [self._by_id[id_] for id_ in matcher.match(event.type)]

    def _read(self, connection: Connection) -> None:
        rows = connection.execute(
            select(_w.id, _w.version, _w.name, _w.tenant, _w.triggers).where(_w.enabled, _w.triggers != "[]")
        )
        patterns: dict[str | None, dict[str, list[str]]] = {}
        self._by_id = {}
        for row in rows:
            for number, trigger in enumerate(exact.loads(row.triggers)):
                if "event" in trigger:
                    id_ = f"{row.id}/{number}"
                    self._by_id[id_] = _Trigger(row.id, row.version, row.name, trigger.get("if"))
                    patterns.setdefault(row.tenant, {})[id_] = [trigger["event"]]
        self._matchers = {tenant: Matcher(by_id) for tenant, by_id in patterns.items()}


def start_for_events(
    rt: Runtime, connection: Connection, version: int, events: Sequence[StoredEvent]
) -> Callable[[], Awaitable[None]] | None:
    """Start what these events set off, in the transaction that stores them; what is to be done after the commit."""
    triggers = rt.part(Triggers)
    runs: list[NewRun] = []
    for event in events:
        found = triggers.of(connection, version, event)
        if found:
            runs += _runs_of(connection, event, found)
    started = list(zip(runs, start_on(connection, runs), strict=True))
    if not started:
        return None

    async def after() -> None:
        for run, (run_id, _) in started:
            tell_run(rt, run.workflow_id, run_id)
        await kick(rt, "workflow", [job_id for _, (_, job_id) in started if job_id is not None])

    return after


def _runs_of(connection: Connection, event: StoredEvent, found: Sequence[_Trigger]) -> list[NewRun]:
    body: Mapping[str, Any] = exact.loads(event.body)
    about = {"id": event.id, "type": event.type, "timestamp": rfc3339(event.timestamp), "tenant": event.tenant}
    names = {"input": body["data"], "event": about | {"data": body["data"]}}
    depth = _depth_of(connection, event)
    runs: dict[str, NewRun] = {}
    for trigger in found:
        # Two triggers of one workflow that take the same event start it once.
        if trigger.workflow_id in runs or not _holds(trigger.condition, names):
            continue
        runs[trigger.workflow_id] = NewRun(
            trigger.workflow_id,
            trigger.version,
            event.tenant,
            "event",
            event.id,
            exact.dumps(body["data"]),
            f"event {event.type}",
            exact.dumps(about),
            depth,
            f"Not begun: {DEPTH_MAX} runs led to it, each by an event of the one before. Do two workflows start each "
            "other?"
            if depth > DEPTH_MAX
            else None,
            None if event.trace is None else trace.marked(event.trace),
        )
    return list(runs.values())


def _holds(condition: str | None, names: Mapping[str, Any]) -> bool:
    """Whether a trigger's condition holds; one that cannot be evaluated for this event does not."""
    if condition is None:
        return True
    try:
        return expressions.condition(condition, names)
    except ExpressionError:
        return False


def _depth_of(connection: Connection, event: StoredEvent) -> int:
    """How many runs led to an event: one that a workflow sent names its run in the sender's id."""
    run_id = (event.sender_id or "").partition(".")[0]
    if not run_id.startswith("run_"):
        return 0
    depth = connection.execute(select(RUN.c.depth).where(RUN.c.id == run_id)).scalar_one_or_none()
    return 0 if depth is None else depth + 1


def start_scheduled(
    connection: Connection, workflow_id: str, given: Mapping[str, Any], job_id: str
) -> tuple[str, str | None] | None:
    """Start a workflow because its time has come, once for one job; None: it is off or gone, or that was done."""
    # The lock keeps two attempts of the same job apart.
    row = connection.execute(select(WORKFLOW).where(_w.id == workflow_id).with_for_update()).one_or_none()
    before = select(RUN.c.id).where(RUN.c.workflow_id == workflow_id, RUN.c.trigger_key == job_id)
    if row is None or not row.enabled or connection.execute(before).first() is not None:
        return None
    run = NewRun(
        workflow_id,
        row.version,
        row.tenant,
        "schedule",
        job_id,
        exact.dumps(given),
        "its schedule",
        place=trace.current(),
    )
    return start_on(connection, [run])[0]


def install() -> None:
    """Have events start runs, in this process."""
    if start_for_events not in ingest.STORED:
        ingest.STORED.append(start_for_events)
