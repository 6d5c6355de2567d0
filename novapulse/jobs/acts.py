"""What is done to many jobs in one statement: guarded, so that each is touched once whoever else is at work."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, and_, case, delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError

from novapulse.core.database import bulk_insert, table_of
from novapulse.core.ids import new_id
from novapulse.jobs.enqueue import JOB
from novapulse.jobs.models import OPEN_STATES, JobLog, JobState, JobUndo
from novapulse.jobs.schemas import Act

_LOG = table_of(JobLog)
_UNDO = table_of(JobUndo)
_j = JOB.c
_OPEN = [state.value for state in OPEN_STATES]
WAITS = (JobState.WAITING.value, JobState.DELAYED.value)
UNDO_MS = 10_000
# What a bulk cancel called off is remembered under this act, and taken back all together.
BULK = "bulk"
BULK_KEPT_MS = 2 * 3600 * 1000  # longer than it takes

# In which states a job can be, for an act to touch it.
TOUCHES: dict[Act, tuple[str, ...]] = {
    "retry": (JobState.DEAD.value, JobState.CANCELLED.value, JobState.DELAYED.value, JobState.COMPLETED.value),
    "cancel": (*WAITS, JobState.ACTIVE.value),
    "discard": (*WAITS, JobState.DEAD.value, JobState.CANCELLED.value, JobState.COMPLETED.value),
}
# And without being asked for by its state: what ended well is not done again because a filter says nothing of it.
TOUCHES_UNASKED: dict[Act, tuple[str, ...]] = {
    "retry": (JobState.DEAD.value, JobState.CANCELLED.value, JobState.DELAYED.value),
    "cancel": TOUCHES["cancel"],
    "discard": (JobState.DEAD.value, JobState.CANCELLED.value),
}


def retry_on(connection: Connection, ids: Sequence[str], states: Sequence[str], *, now: int, by: str) -> list[str]:
    """Have jobs run now: what ended gets one attempt more. Those it was done for; not where its unique key is taken."""
    try:
        with connection.begin_nested():
            moved = _retry(connection, ids, states, now)
    except IntegrityError:
        # Two of them have the same key, or somebody was faster: one by one, those that fit.
        moved = [id_ for each in ids for id_ in _retry_one(connection, each, states, now)]
    if moved:
        connection.execute(delete(_UNDO).where(_UNDO.c.job_id.in_(moved)))
    note(connection, moved, f"Retried by {by}.", now=now)
    return moved


def _retry_one(connection: Connection, id_: str, states: Sequence[str], now: int) -> list[str]:
    try:
        with connection.begin_nested():
            return _retry(connection, [id_], states, now)
    except IntegrityError:
        return []


def _retry(connection: Connection, ids: Sequence[str], states: Sequence[str], now: int) -> list[str]:
    other = JOB.alias()
    taken = exists(
        select(other.c.id).where(other.c.unique_key == _j.unique_key, other.c.id != _j.id, other.c.state.in_(_OPEN))
    )
    ended = _j.state != JobState.DELAYED.value
    values = {
        "state": JobState.WAITING.value,
        "run_at": now,
        "enqueued_at": 0,
        "finished_at": None,
        "max_attempts": case((and_(ended, _j.attempts >= _j.max_attempts), _j.attempts + 1), else_=_j.max_attempts),
        # That a person asks for it is a reason to let it try again, even if it killed its workers.
        "crashes": case((ended, 0), else_=_j.crashes),
        "error": case((_j.state == JobState.CANCELLED.value, None), else_=_j.error),
        "result": None,
        "progress": None,
        "progress_text": None,
        "cancel_asked": False,
        "claimed_by": None,
        "lease_until": 0,
    }
    free = or_(_j.unique_key.is_(None), ~ended, ~taken)
    done = connection.execute(
        update(JOB).where(_j.id.in_(ids), _j.state.in_(states), free).values(values).returning(_j.id)
    )
    return sorted(done.scalars())


def cancel_on(connection: Connection, ids: Sequence[str], *, now: int, by: str) -> tuple[list[str], list[str]]:
    """Call off what waits, and have workers stop what runs; both."""
    why = f"Cancelled by {by}."
    waited = connection.execute(
        update(JOB)
        .where(_j.id.in_(ids), _j.state.in_(WAITS))
        .values(state=JobState.CANCELLED.value, finished_at=now, error=why, enqueued_at=0)
        .returning(_j.id)
    )
    called_off = sorted(waited.scalars())
    runs = connection.execute(
        update(JOB)
        .where(_j.id.in_(ids), _j.state == JobState.ACTIVE.value, _j.cancel_asked.is_(False))
        .values(cancel_asked=True)
        .returning(_j.id)
    )
    stopping = sorted(runs.scalars())
    note(connection, called_off, why, now=now)
    note(connection, stopping, f"Asked to stop by {by}.", now=now)
    return called_off, stopping


def as_they_were(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Jobs that wait, by id, with what of them a cancel changes; locked, where the database does that."""
    found = select(_j.id, _j.state, _j.run_at, _j.error).where(_j.id.in_(ids), _j.state.in_(WAITS)).with_for_update()
    return {row.id: {"state": row.state, "run_at": row.run_at, "error": row.error} for row in connection.execute(found)}


def remember_bulk(connection: Connection, bulk_id: str, was: Mapping[str, Mapping[str, Any]], *, now: int) -> None:
    """Remember what a bulk cancel has called off now, jobs and deliveries, and how each was."""
    if not was:
        return
    connection.execute(delete(_UNDO).where(_UNDO.c.job_id.in_(list(was))))
    rows = [
        {"job_id": id_, "act": BULK, "until": now + BULK_KEPT_MS, "done_at": now}
        | {"was": orjson.dumps({BULK: bulk_id, **each}).decode()}
        for id_, each in was.items()
    ]
    bulk_insert(connection, _UNDO, rows)


def recall_bulk(connection: Connection, bulk_id: str, ids: Sequence[str]) -> dict[str, tuple[dict[str, Any], int]]:
    """Of these, what that bulk cancel has called off: how each was, and when that happened. Remembered no longer."""
    rows = connection.execute(select(_UNDO).where(_UNDO.c.job_id.in_(ids), _UNDO.c.act == BULK)).all()
    known = {row.job_id: (orjson.loads(row.was), row.done_at) for row in rows}
    ours = {id_: (was, at) for id_, (was, at) in known.items() if was.pop(BULK, "") == bulk_id}
    connection.execute(delete(_UNDO).where(_UNDO.c.job_id.in_(list(ours))))
    return ours


def restore_on(
    connection: Connection, called_off: Mapping[str, tuple[Mapping[str, Any], int]], *, now: int, by: str
) -> list[str]:
    """Have cancelled jobs wait again as they did; which those are: not what has gone on, or whose key is taken."""
    done: list[str] = []
    for id_, (was, at) in sorted(called_off.items()):
        back = update(JOB).where(_j.id == id_, _j.state == JobState.CANCELLED.value, _j.finished_at == at)
        try:
            with connection.begin_nested():
                moved = connection.execute(back.values(dict(was) | {"finished_at": None, "enqueued_at": 0}))
        except IntegrityError:
            continue
        done += [id_] if moved.rowcount else []
    note(connection, done, f"Taken back by {by}.", now=now)
    return done


def discard_on(connection: Connection, ids: Sequence[str], states: Sequence[str]) -> list[str]:
    """Delete jobs that do not run; those that are gone."""
    idle = [state for state in states if state != JobState.ACTIVE]
    done = connection.execute(delete(JOB).where(_j.id.in_(ids), _j.state.in_(idle)).returning(_j.id))
    return sorted(done.scalars())


def note(connection: Connection, ids: Sequence[str], line: str, *, now: int) -> None:
    """Write into the jobs' timelines what people did to them."""
    rows = [{"id": new_id("log"), "job_id": id_, "attempt": 0, "at": now, "level": "act", "line": line} for id_ in ids]
    if rows:
        bulk_insert(connection, _LOG, rows)
