"""Carrying runs on: what was planned, and the jobs for it, in one transaction. The run's row is the lock.

A step's end and the beginning of what follows are one commit, so no crash can come between them.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, case, delete, insert, select, update

from novapulse.core import exact
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.core.trace import Place, marked
from novapulse.jobs import acts as job_acts
from novapulse.jobs.enqueue import NewJob, add_jobs_on, kick
from novapulse.workflows.definition import Act, Definition, all_steps
from novapulse.workflows.models import RunState, Workflow, WorkflowRun, WorkflowStep, WorkflowVersion
from novapulse.workflows.plan import ACTS, CONTAINERS, OPEN, Plan, StepRow, StepState, reopen
from novapulse.workflows.watch import tell_run

WORKFLOW = table_of(Workflow)
VERSION = table_of(WorkflowVersion)
RUN = table_of(WorkflowRun)
STEP = table_of(WorkflowStep)
ADVANCE, DO, START = "workflow.advance", "workflow.step", "workflow.start"
SPARE_S = 15.0  # of a job beyond its step's own limit, for recording it
_OPEN_STATES = [state.value for state in OPEN]
_s = STEP.c


@dataclass(slots=True)
class Moved:
    """A run after it was carried on."""

    run_id: str
    workflow_id: str
    tenant: str | None
    due: list[str] = field(default_factory=list[str])  # jobs to begin at once, after the commit
    over: bool = False


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is to be started."""

    workflow_id: str
    version: int
    tenant: str | None
    trigger: str
    trigger_key: str | None
    input: str  # JSON
    created_by: str
    event: str | None = None
    depth: int = 0
    error: str | None = None  # set: it is recorded, and not done
    place: Place | None = None  # in a trace; None: in one that is named by its own 128 bits, whoever carries it on


@lru_cache(maxsize=256)
def parsed(definition: str) -> Definition:
    """A stored definition; it was checked when it was saved."""
    return Definition.model_validate_json(definition)


def start_on(connection: Connection, runs: Sequence[NewRun]) -> list[tuple[str, str | None]]:
    """Add runs, each with the job that carries it on; id of the run, and of the job."""
    if not runs:
        return []
    now = now_ms()
    rows = [
        {
            "id": new_id("run"),
            "workflow_id": run.workflow_id,
            "version": run.version,
            "tenant": run.tenant,
            "state": (RunState.RUNNING if run.error is None else RunState.FAILED).value,
            "trigger": run.trigger,
            "trigger_key": run.trigger_key,
            "depth": run.depth,
            "input": run.input,
            "event": run.event,
            "error": run.error,
            "created_by": run.created_by,
            "trace": None if run.place is None else run.place.mark,
            "created_at": now,
            "finished_at": None if run.error is None else now,
        }
        for run in runs
    ]
    connection.execute(insert(RUN), rows)
    jobs = iter(
        add_jobs_on(
            connection,
            [
                NewJob(
                    ADVANCE, {"run_id": row["id"]}, parent_id=row["id"], tenant=row["tenant"],
                    created_by=row["created_by"], place=_place(row["id"], row["trace"]),
                )
                for row in rows
                if row["error"] is None
            ],
        )
    )  # fmt: skip
    return [(row["id"], next(jobs) if row["error"] is None else None) for row in rows]


def advance_on(connection: Connection, run_id: str, now: int) -> Moved | None:
    """Carry a run on as far as it goes without doing anything; None: it is over, or gone."""
    run = lock(connection, run_id)
    if run is None or run.state != RunState.RUNNING.value:
        return None
    return _advance(connection, run, _rows(connection, run_id), now)


def finish_on(
    connection: Connection,
    run_id: str,
    key: str,
    job_id: str,
    now: int,
    *,
    output: Any = None,
    error: str | None = None,
) -> Moved | None:
    """Record how an act ended, and carry the run on; None: it was not this job's to say any more."""
    run = lock(connection, run_id)
    if run is None or run.state != RunState.RUNNING.value:
        return None
    rows = _rows(connection, run_id)
    row = rows.get(key)
    if row is None or row.state != StepState.RUNNING or row.job_id != job_id:
        return None
    row.become(StepState.FAILED if error is not None else StepState.COMPLETED, output=output, error=error)
    if error is None:
        row.error = None
    return _advance(connection, run, rows, now)


def cancel_on(connection: Connection, run_id: str, now: int, by: str) -> Moved | None:
    """Stop a run: nothing begins any more, what waits is called off, what is being done is stopped."""
    run = lock(connection, run_id)
    if run is None or run.state != RunState.RUNNING.value:
        return None
    why = f"Cancelled by {by}."
    open_ = connection.execute(
        update(STEP)
        .where(_s.run_id == run_id, _s.state.in_(_OPEN_STATES))
        .values(state=StepState.CANCELLED.value, error=why, finished_at=now)
        .returning(_s.job_id)
    )
    _call_off(connection, [job_id for job_id in open_.scalars() if job_id is not None], now, by)
    values = {"state": RunState.CANCELLED.value, "error": why, "finished_at": now}
    connection.execute(update(RUN).where(RUN.c.id == run_id).values(values))
    return Moved(run_id, run.workflow_id, run.tenant, over=True)


def retry_on(connection: Connection, run_id: str, now: int, by: str, *, but: str | None = None) -> Moved | None:
    """Do again what failed in a run that is over, and go on from there; `but`: a job that runs already."""
    run = lock(connection, run_id)
    if run is None or run.state not in (RunState.FAILED.value, RunState.CANCELLED.value):
        return None
    rows = _rows(connection, run_id, given=True)
    forgotten = reopen(parsed(run.definition), rows)
    if forgotten:
        connection.execute(delete(STEP).where(_s.run_id == run_id, _s.key.in_(forgotten)))
    values = {"state": RunState.RUNNING.value, "error": None, "failed_step": None, "finished_at": None}
    connection.execute(update(RUN).where(RUN.c.id == run_id).values(values))
    again = [row for row in rows.values() if row.changed and row.type in ACTS and row.job_id != but]
    ids = [row.job_id for row in again if row.job_id is not None]
    # The same job goes on, with the history of its attempts; one that retention took away is made anew.
    ended = ("dead", "cancelled", "completed")
    moved = job_acts.retry_on(connection, ids, ended, now=now, by=by) if ids else []
    made = _add_jobs(connection, run, [row for row in again if row.job_id not in moved], now)
    result = _advance(connection, run, rows, now)
    result.due = [*moved, *made, *result.due]
    return result


def lock(connection: Connection, run_id: str) -> Any:
    """The run with its definition, held until the end of the transaction."""
    w, v = WORKFLOW.c, VERSION.c
    found = connection.execute(select(RUN).where(RUN.c.id == run_id).with_for_update()).one_or_none()
    if found is None:
        return None
    about = connection.execute(
        select(w.name, v.definition)
        .select_from(WORKFLOW.join(VERSION, v.workflow_id == w.id))
        .where(w.id == found.workflow_id, v.version == found.version)
    ).one()
    return SimpleNamespace(**found._mapping, name=about.name, definition=about.definition)


def names_of(run: Any) -> dict[str, Any]:
    """What the expressions of a run find, besides its steps."""
    data = exact.loads(run.input)
    event = None if run.event is None else exact.loads(run.event) | {"data": data}
    about = {"id": run.id, "started_at": rfc3339(run.created_at), "trigger": run.trigger, "workflow": run.name}
    return {"input": data, "event": event, "run": about}


def names_for(connection: Connection, run: Any, key: str) -> dict[str, Any]:
    """What the expressions of one step find, to fill them in once more."""
    rows = _rows(connection, run.id)
    names: dict[str, Any] = names_of(run) | {"steps": {}}
    parts = key.split("/")
    for number in range(len(parts)):
        scope = "/".join(parts[:number]) + "/" if number else ""
        for row in rows.values():
            if row.key == scope + row.step_id and row.state not in OPEN:
                names["steps"][row.step_id] = {"output": row.output, "state": row.state.value, "error": row.error}
        if parts[number].isdigit():
            around = rows["/".join(parts[:number])]
            names |= {"index": int(parts[number]), "item": around.input["items"][int(parts[number])]}
    return names


def is_mine(connection: Connection, run_id: str, key: str, job_id: str) -> bool:
    """Whether a step is this job's to end, and stays so until the end of the transaction."""
    run = lock(connection, run_id)
    mine = select(_s.key).where(_s.run_id == run_id, _s.key == key, _s.job_id == job_id, _s.state == StepState.RUNNING)
    return run is not None and run.state == RunState.RUNNING.value and connection.execute(mine).first() is not None


def note_on(connection: Connection, run_id: str, key: str, job_id: str, output: Any) -> None:
    """Record what an act left so far; it goes on."""
    mine = (_s.run_id == run_id, _s.key == key, _s.job_id == job_id)
    connection.execute(update(STEP).where(*mine).values(output=exact.dumps(output)))


def acts_of(definition: Definition) -> dict[str, Act]:
    """The acts of a definition, by their ids."""
    return {step.id: step for _, step in all_steps(definition.steps) if step.type in ACTS}


def _advance(connection: Connection, run: Any, rows: dict[str, StepRow], now: int) -> Moved:
    waits = {key: row.job_id for key, row in rows.items() if row.state == StepState.WAITING}
    plan = Plan(parsed(run.definition), names_of(run), rows, now)
    outcome = plan.make()
    result = Moved(run.id, run.workflow_id, run.tenant, over=outcome.over)
    result.due = _add_jobs(connection, run, [row for row, _ in plan.begun if row.state in OPEN], now)
    _write(connection, run.id, rows.values(), now)
    stopped = [job_id for key, job_id in waits.items() if job_id and rows[key].state == StepState.CANCELLED]
    _call_off(connection, stopped, now, "the failure of another step")
    if outcome.over:
        failed = outcome.error is not None
        connection.execute(
            update(RUN)
            .where(RUN.c.id == run.id)
            .values(
                state=(RunState.FAILED if failed else RunState.COMPLETED).value,
                error=outcome.error,
                failed_step=outcome.step,
                finished_at=now,
            )
        )
    return result


def _add_jobs(connection: Connection, run: Any, begun: Sequence[StepRow], now: int) -> list[str]:
    """The jobs of steps that begin; those that are due."""
    acts = acts_of(parsed(run.definition))
    jobs: list[NewJob] = []
    for row in begun:
        row.job_id, row.changed = new_id("job"), True
        common: Mapping[str, Any] = {
            "id": row.job_id, "parent_id": run.id, "tenant": run.tenant, "created_by": f"Workflow {run.name}",
            "place": _place(run.id, run.trace),
        }  # fmt: skip
        if row.state == StepState.WAITING:
            jobs.append(NewJob(ADVANCE, {"run_id": run.id}, run_at=row.wake_at, **common))
        else:
            step = acts[row.step_id]
            tries, limit_s = step.retries + 1, step.timeout_s + SPARE_S
            payload = {"run_id": run.id, "key": row.key}
            jobs.append(NewJob(DO, payload, max_attempts=tries, timeout_s=limit_s, **common))
    add_jobs_on(connection, jobs)
    return [job.id for job in jobs if job.id is not None and (job.run_at is None or job.run_at <= now)]


def _place(run_id: str, mark: str | None) -> Place:
    """Where all of a run belongs, whoever carries it on."""
    return marked(mark or run_id.removeprefix("run_"))


def _call_off(connection: Connection, job_ids: Sequence[str], now: int, by: str) -> None:
    for at in range(0, len(job_ids), 500):
        job_acts.cancel_on(connection, job_ids[at : at + 500], now=now, by=by)


def _rows(connection: Connection, run_id: str, *, given: bool = False) -> dict[str, StepRow]:
    """The steps of a run. What acts were given is read only if it is asked for: a loop has a thousand of them."""
    input_ = _s.input if given else case((_s.type.in_(CONTAINERS), _s.input), else_=None)
    columns = (_s.key, _s.step_id, _s.type, _s.state, _s.output, _s.error, _s.wake_at, _s.job_id, input_.label("input"))
    found = connection.execute(select(*columns).where(_s.run_id == run_id).order_by(_s.created_at, _s.key))
    return {
        row.key: StepRow(
            row.key,
            row.step_id,
            row.type,
            StepState(row.state),
            None if row.input is None else exact.loads(row.input),
            None if row.output is None else exact.loads(row.output),
            row.error,
            row.wake_at,
            row.job_id,
        )
        for row in found
    }


def _write(connection: Connection, run_id: str, rows: Iterable[StepRow], now: int) -> None:
    new = [
        _values(row, now)
        | {"run_id": run_id, "key": row.key, "created_at": now}
        | {"input": None if row.input is None else exact.dumps(row.input)}  # it never changes
        for row in rows
        if row.new
    ]
    if new:
        connection.execute(insert(STEP), new)
    for row in rows:
        if row.changed and not row.new:
            connection.execute(update(STEP).where(_s.run_id == run_id, _s.key == row.key).values(_values(row, now)))


def _values(row: StepRow, now: int) -> dict[str, Any]:
    return {
        "step_id": row.step_id,
        "type": row.type,
        "state": row.state.value,
        "output": None if row.output is None else exact.dumps(row.output),
        "error": row.error,
        "job_id": row.job_id,
        "wake_at": row.wake_at,
        "finished_at": None if row.state in OPEN else now,
    }


async def begin(rt: Runtime, moved: Moved | None) -> None:
    """After the commit: have the jobs begun at once, and tell who watches."""
    if moved is None:
        return
    tell_run(rt, moved.workflow_id, moved.run_id)
    await kick(rt, "workflow", moved.due)
