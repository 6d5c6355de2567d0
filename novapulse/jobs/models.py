"""The tables of jobs. They alone say what is owed; times are milliseconds since the epoch.

Deliveries are jobs of the queue `webhook` that have a table of their own (`novapulse.webhooks`); everything else that
is done in the background is a row of `job`.
"""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Index, Text, text
from sqlmodel import Field, SQLModel


class JobState(StrEnum):
    WAITING = "waiting"  # may run now
    ACTIVE = "active"  # claimed by a worker
    DELAYED = "delayed"  # not before `run_at`: asked for later, or failed and to be tried again
    COMPLETED = "completed"
    DEAD = "dead"  # no attempt left: somebody has to look at it
    CANCELLED = "cancelled"


OPEN_STATES = (JobState.WAITING, JobState.ACTIVE, JobState.DELAYED)
_OPEN = text("state IN ('waiting', 'active', 'delayed')")


class Job(SQLModel, table=True):
    """One piece of work: what is to be done, how often it was tried, and what came of it."""

    __tablename__ = "job"
    __table_args__ = (
        # A worker takes the most urgent first, however many wait.
        Index("ix_job_ready", "queue", "state", "priority", "id"),
        # Lists: of one state, or of one of it in one queue, newest first.
        Index("ix_job_state", "state", "queue", "id"),
        Index("ix_job_task", "task", "id"),
        Index("ix_job_queue", "queue", "id"),
        Index("ix_job_fingerprint", "fingerprint", "id"),
        Index("ix_job_schedule_id", "schedule_id", "id"),
        Index("ix_job_parent_id", "parent_id", "id"),
        Index("ix_job_pinned", "id", sqlite_where=text("pinned = 1"), postgresql_where=text("pinned")),
        # How long the oldest has waited.
        Index(
            "ix_job_waiting",
            "queue",
            "run_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        # As for deliveries: what is due and what got lost are the head of this index; what is over is not in it.
        Index("ix_job_due", "queue", "enqueued_at", "run_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
        # Of jobs with the same key one may be open.
        Index("uq_job_key", "unique_key", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    )

    id: str = Field(primary_key=True)
    queue: str
    task: str
    payload: str = Field(default="{}", sa_type=Text)  # JSON object
    searched: str | None = Field(default=None, sa_type=Text)  # the payload without what is hidden, if anything is
    state: str = JobState.WAITING
    priority: int = 5  # 0 is first, 9 is last
    unique_key: str | None = None
    tenant: str | None = None
    created_by: str = ""  # who asked for it, for people to read
    schedule_id: str | None = None
    parent_id: str | None = None  # the job or run that it belongs to
    trace_id: str | None = None
    parent_span: str | None = None  # within which it was made, as `core.trace.Place.parent`
    pinned: bool = False  # kept by retention, shown first
    run_at: int = Field(default=0, sa_type=BigInteger)  # not before
    max_attempts: int = 1
    timeout_s: float = 300.0
    attempts: int = 0  # that were begun and have ended, well or not; a crash is one too
    crashes: int = 0  # claims that ended with the worker's death
    enqueued_at: int = Field(default=0, sa_type=BigInteger)  # 0: not in Valkey
    claims: int = 0  # the fence: whoever claims later has a larger one
    claimed_by: str | None = None
    lease_until: int = Field(default=0, sa_type=BigInteger)
    cancel_asked: bool = False  # of an active job: its worker is to stop it
    progress: float | None = None  # 0 to 1
    progress_text: str | None = Field(default=None, sa_type=Text)
    result: str | None = Field(default=None, sa_type=Text)  # JSON
    error: str | None = Field(default=None, sa_type=Text)  # of the last attempt that failed, or why it was cancelled
    traceback: str | None = Field(default=None, sa_type=Text)
    fingerprint: str | None = None  # what failures alike have in common
    created_at: int = Field(default=0, sa_type=BigInteger)
    started_at: int | None = Field(default=None, sa_type=BigInteger)  # of the last attempt
    finished_at: int | None = Field(default=None, sa_type=BigInteger, index=True)


class JobAttempt(SQLModel, table=True):
    """An attempt that failed, as it was: never overwritten. The one that succeeded is in the job's own row."""

    __tablename__ = "job_attempt"

    job_id: str = Field(primary_key=True, foreign_key="job.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    started_at: int = Field(default=0, sa_type=BigInteger)
    finished_at: int = Field(default=0, sa_type=BigInteger)
    error: str = Field(default="", sa_type=Text)
    traceback: str | None = Field(default=None, sa_type=Text)
    worker: str = ""


class JobLog(SQLModel, table=True):
    """A line that a job wrote about itself."""

    __tablename__ = "job_log"
    __table_args__ = (Index("ix_job_log", "job_id", "id"),)

    id: str = Field(primary_key=True)
    job_id: str = Field(foreign_key="job.id", ondelete="CASCADE")
    attempt: int = 1
    at: int = Field(default=0, sa_type=BigInteger)
    level: str = "info"
    line: str = Field(default="", sa_type=Text)


class Queue(SQLModel, table=True):
    """What an operator said of a queue. Mirrored to Valkey, where workers look every second."""

    __tablename__ = "queue"

    name: str = Field(primary_key=True)
    mode: str = "running"  # or `paused`: nothing is begun; `draining`: what waits is worked off, nothing new is taken
    note: str = Field(default="", sa_type=Text)
    changed_by: str = ""
    changed_at: int = Field(default=0, sa_type=BigInteger)


class QueueCount(SQLModel, table=True):
    """How many jobs of a queue are in a state: kept by triggers, so that it is true after any crash.

    Besides the states of `JobState`: `enqueued`, every job that was ever made (counted by who makes it), `failed`,
    attempts that failed, and `gone_<state>`, jobs that left by retention. One shard per connection of Postgres: they
    never wait for each other. A number is the sum of its shards.
    """

    __tablename__ = "queue_count"

    queue: str = Field(primary_key=True)
    state: str = Field(primary_key=True)
    shard: int = Field(primary_key=True)
    n: int = Field(default=0, sa_type=BigInteger)


class Schedule(SQLModel, table=True):
    """A job that is made again and again."""

    __tablename__ = "schedule"

    id: str = Field(primary_key=True)
    name: str
    task: str
    payload: str = Field(default="{}", sa_type=Text)
    cron: str
    timezone: str = "UTC"
    enabled: bool = True
    overlap: str = "skip"  # or `queue`: make a job although the one before it is open
    tenant: str | None = None
    created_by: str = ""
    created_at: int = Field(default=0, sa_type=BigInteger)
    next_run_at: int | None = Field(default=None, sa_type=BigInteger, index=True)
    last_run_at: int | None = Field(default=None, sa_type=BigInteger)
    last_job_id: str | None = None
    last_error: str | None = Field(default=None, sa_type=Text)  # why the last time made no job


class JobUndo(SQLModel, table=True):
    """What was done to a job a moment ago, and how it was before: for ten seconds it can be taken back.

    A job that is discarded leaves when that time is over.
    """

    __tablename__ = "job_undo"

    job_id: str = Field(primary_key=True)  # or of a delivery
    act: str  # `cancel` or `discard`
    until: int = Field(default=0, sa_type=BigInteger)
    done_at: int = Field(default=0, sa_type=BigInteger)
    was: str = Field(default="{}", sa_type=Text)  # JSON object: columns and their values


class JobBulk(SQLModel, table=True):
    """How far a bulk action is; its job goes on from here after whatever stopped it."""

    __tablename__ = "job_bulk"

    job_id: str = Field(primary_key=True, foreign_key="job.id", ondelete="CASCADE")
    cursor: str = ""  # the last id that was looked at
    seen: int = 0
    touched: int = 0
    skipped: int = 0
    succeeded: int = 0  # of a canary: retried and ended well
    failures: int = 0  # and failed again
    batch: str = Field(default="{}", sa_type=Text)  # JSON object: ids that are waited for, and their attempts before
    batch_at: int = Field(default=0, sa_type=BigInteger)
