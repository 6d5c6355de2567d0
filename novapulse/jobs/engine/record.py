"""Recording what became of jobs, in bulk: one statement for all of a transaction, whatever became of each.

Only the holder of the present claim may record (fencing): a worker that was taken for dead finds its claim gone.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import BigInteger, Connection, TextClause, and_, cast, func, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from novapulse.core.database import bulk_insert, table_of
from novapulse.core.ids import new_id
from novapulse.jobs.engine.claim import JOB, LEASE_MS
from novapulse.jobs.engine.suspects import is_poison
from novapulse.jobs.models import JobAttempt, JobLog, JobState

_ATTEMPT = table_of(JobAttempt)
_LOG = table_of(JobLog)
_RECOVERED = 5_000  # rows at once, more than a worker can hold
_OVER = frozenset({JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED})


@dataclass(slots=True)
class Line:
    """A line of a job's log."""

    job_id: str
    attempt: int
    at: int
    level: str
    line: str


@dataclass(slots=True)
class Ended:
    """How a claim ended, and what is to be written of it."""

    id: str
    fence: int
    attempts: int  # before this one
    state: JobState
    now: int
    started_at: int
    counts: bool = True  # as an attempt; not if it was given back or put off
    crash: bool = False
    run_at: int | None = None  # None: as it was
    enqueued_at: int | None = 0  # None: as it was
    result: str | None = None
    error: str | None = None
    traceback: str | None = None
    fingerprint: str | None = None
    progress: float | None = None
    progress_text: str | None = None
    lines: list[Line] = field(default_factory=list["Line"])
    worker: str = ""
    bare: bool = False  # the state alone: what else there was to say is what the database refused

    @property
    def failed(self) -> bool:
        """Whether there is an attempt to be remembered."""
        return self.counts and not self.bare and (self.crash or self.state in (JobState.DELAYED, JobState.DEAD))


_SET = """
    state = r.state, attempts = job.attempts + r.counts, crashes = job.crashes + r.crash,
    run_at = COALESCE(r.run_at, job.run_at), enqueued_at = COALESCE(r.enqueued_at, job.enqueued_at),
    result = r.result,
    error = CASE WHEN r.counts = 1 THEN r.error ELSE job.error END,
    traceback = CASE WHEN r.counts = 1 THEN r.traceback ELSE job.traceback END,
    fingerprint = CASE WHEN r.counts = 1 THEN r.fingerprint ELSE job.fingerprint END,
    progress = r.progress, progress_text = r.progress_text, started_at = r.started_at, finished_at = r.finished_at,
    claimed_by = CASE WHEN r.finished_at IS NULL THEN NULL ELSE job.claimed_by END,
    lease_until = 0, cancel_asked = {false}
"""
_COLUMNS = (
    ("id", "text"),
    ("fence", "integer"),
    ("state", "text"),
    ("counts", "integer"),
    ("crash", "integer"),
    ("run_at", "bigint"),
    ("enqueued_at", "bigint"),
    ("result", "text"),
    ("error", "text"),
    ("traceback", "text"),
    ("fingerprint", "text"),
    ("progress", "double precision"),
    ("progress_text", "text"),
    ("started_at", "bigint"),
    ("finished_at", "bigint"),
)


def _update(columns: Sequence[tuple[str, str]], sets: str) -> tuple[TextClause, TextClause]:
    """`UPDATE job ... FROM` rows that come as JSON, fenced: for SQLite and for Postgres."""
    picked = ", ".join(f"value ->> {place} AS {name}" for place, (name, _) in enumerate(columns))
    typed = ", ".join(f"(value ->> {place})::{kind} AS {name}" for place, (name, kind) in enumerate(columns))
    # The `+` keeps SQLite from looking through all that are active: each is found by its id.
    lite = (
        f"UPDATE job SET {sets.format(false='0')} FROM (SELECT {picked} FROM json_each(:rows)) AS r"  # noqa: S608
        " WHERE job.id = r.id AND job.claims = r.fence AND +job.state = 'active' RETURNING id"
    )
    postgres = (
        f"UPDATE job SET {sets.format(false='false')} FROM"  # noqa: S608
        f" (SELECT {typed} FROM json_array_elements(CAST(CAST(:rows AS text) AS json)) AS e (value)) AS r"
        " WHERE job.id = r.id AND job.claims = r.fence AND job.state = 'active' RETURNING job.id"
    )
    return text(lite), text(postgres)


_FINISH = _update(_COLUMNS, _SET)
_PROGRESS = _update(
    (("id", "text"), ("fence", "integer"), ("progress", "double precision"), ("progress_text", "text")),
    "progress = r.progress, progress_text = r.progress_text",
)


def finish(connection: Connection, ended: Sequence[Ended]) -> set[str]:
    """Write how these claims ended; the ids of those that were still ours to write."""
    ours = _run(connection, _FINISH, (_finish_row(each) for each in ended))
    _insert_attempts(connection, [each for each in ended if each.failed and each.id in ours])
    _insert_lines(connection, [line for each in ended if each.id in ours for line in each.lines])
    return ours


def write_progress(
    connection: Connection, progress: Sequence[tuple[str, int, float | None, str | None]], lines: Sequence[Line]
) -> None:
    """Write how far running jobs are - id, fence, part done, text - and what they logged, if they are still ours."""
    ours = _run(connection, _PROGRESS, progress)
    _insert_lines(connection, [line for line in lines if line.job_id in ours])


def is_overdue(now: int) -> ColumnElement[bool]:
    """Whether an active job's lease is over, and its own time too.

    A worker that lives renews its leases, unless a job keeps its loop busy. Then that job may still be at it, and must
    not be run twice at once before its time is over.
    """
    j = JOB.c
    return and_(j.lease_until < now, j.started_at + cast(j.timeout_s * 1000, BigInteger) < now - LEASE_MS)


def recover(
    connection: Connection,
    *,
    now: int,
    owners: Sequence[str] = (),
    hung: Sequence[str] | None = None,
    keep_place: bool = False,
) -> list[Ended]:
    """Take jobs of all queues from workers that died, these, or that hang. They wait again, or are dead as poison.

    Those that hang: any that is overdue, or of `hung`, whatever still is. With `keep_place` they count as enqueued as
    they were: whoever asks has the entries by which they run.
    """
    j = JOB.c
    active = j.state == JobState.ACTIVE.value
    # Before any is taken, and all of a worker's at once: whoever comes later finds none, and not a few that look alone.
    counted = select(j.claimed_by, func.count()).where(active).group_by(j.claimed_by)
    held = {row[0]: row[1] for row in connection.execute(counted).all()}
    overdue = is_overdue(now) if hung is None else and_(j.id.in_(hung), is_overdue(now))
    lost = or_(j.claimed_by.in_(owners), overdue) if owners else overdue
    found = (
        select(j.id, j.claims, j.attempts, j.crashes, j.started_at, j.claimed_by, j.cancel_asked)
        .where(active, lost)
        .limit(_RECOVERED)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(found).all()
    ended = [_crashed(row, now, keep_place, beside=held.get(row.claimed_by, 1) - 1) for row in rows]
    if ended:
        finish(connection, ended)
    return ended


def undo_unknown(connection: Connection, queue: str, *, owner: str, known: Sequence[str], now: int) -> list[str]:
    """Undo the claims of a worker that it does not know of: it was cut off before it was told that it has them."""
    j = JOB.c
    mine = (j.queue == queue, j.state == JobState.ACTIVE.value, j.claimed_by == owner)
    found = select(j.id, j.claims, j.attempts, j.started_at, j.cancel_asked).where(*mine)
    held = set(known)
    rows = [row for row in connection.execute(found).all() if row.id not in held]
    ended = [
        Ended(
            row.id,
            row.claims,
            row.attempts,
            JobState.CANCELLED if row.cancel_asked else JobState.WAITING,
            now,
            row.started_at or now,
            counts=row.cancel_asked,
            error="Cancelled before it began.",
        )
        for row in rows
    ]
    return sorted(finish(connection, ended)) if ended else []


def _crashed(row: Any, now: int, keep_place: bool, *, beside: int) -> Ended:
    others = f" and {beside} other{'s' if beside > 1 else ''}" if beside else ""
    error = f"Its worker {row.claimed_by} died while it{others} ran."
    state = JobState.WAITING
    if row.cancel_asked:
        state, error = JobState.CANCELLED, "Cancelled; its worker died before it could stop it."
    elif is_poison(row.crashes + 1, beside):
        state = JobState.DEAD
        error = f"Its worker died {row.crashes + 1} times while it ran, {row.claimed_by} last: it may be what kills it."
    return Ended(
        row.id,
        row.claims,
        row.attempts,
        state,
        now,
        row.started_at or now,
        crash=True,
        enqueued_at=None if keep_place and state is JobState.WAITING else 0,
        error=error,
        fingerprint="worker-death" if state is JobState.DEAD else None,
        worker=row.claimed_by or "",
    )


def _run(connection: Connection, statements: tuple[TextClause, TextClause], rows: Iterable[Sequence[Any]]) -> set[str]:
    statement = statements[0 if connection.dialect.name == "sqlite" else 1]
    # In order of their ids, the same for all workers.
    encoded = orjson.dumps(sorted(rows, key=lambda row: row[0])).decode()
    return set(connection.execute(statement, {"rows": encoded}).scalars())


def _finish_row(each: Ended) -> tuple[Any, ...]:
    return (
        each.id,
        each.fence,
        each.state.value,
        int(each.counts),
        int(each.crash),
        each.run_at,
        each.enqueued_at,
        each.result,
        each.error,
        each.traceback,
        each.fingerprint,
        each.progress,
        each.progress_text,
        each.started_at,
        each.now if each.state in _OVER else None,
    )


def _insert_attempts(connection: Connection, failed: Sequence[Ended]) -> None:
    if not failed:
        return
    bulk_insert(
        connection,
        _ATTEMPT,
        [
            {
                "job_id": each.id,
                "number": each.attempts + 1,
                "started_at": each.started_at,
                "finished_at": each.now,
                "error": each.error or "",
                "traceback": each.traceback,
                "worker": each.worker,
            }
            for each in failed
        ],
    )


def _insert_lines(connection: Connection, lines: Sequence[Line]) -> None:
    if lines:
        bulk_insert(
            connection,
            _LOG,
            [
                {
                    "id": new_id("log"),
                    "job_id": line.job_id,
                    "attempt": line.attempt,
                    "at": line.at,
                    "level": line.level,
                    "line": line.line,
                }
                for line in lines
            ],
        )
