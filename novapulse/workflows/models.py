"""Workflows, their versions, and runs with every step of them. Times are milliseconds since the epoch."""
# pyright: reportAssignmentType=false
# SQLModel declares `__tablename__` as something to be computed; a plain string is what it documents.

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, Index, Text, text
from sqlmodel import Field, SQLModel

_OPEN_STEP = text("state IN ('running', 'waiting')")


class RunState(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Workflow(SQLModel, table=True):
    """A workflow as it is now: what it does is in its latest version."""

    __tablename__ = "workflow"

    id: str = Field(primary_key=True)
    name: str
    description: str = Field(default="", sa_type=Text)
    tenant: str | None = Field(default=None, index=True)
    enabled: bool = True  # else its triggers start nothing
    version: int = 1
    triggers: str = Field(default="[]", sa_type=Text)  # JSON, of the latest version
    created_by: str = ""
    created_at: int = Field(default=0, sa_type=BigInteger)
    updated_at: int = Field(default=0, sa_type=BigInteger)


class WorkflowVersion(SQLModel, table=True):
    """A definition as it was saved: never changed. Runs keep to theirs."""

    __tablename__ = "workflow_version"

    workflow_id: str = Field(primary_key=True, foreign_key="workflow.id", ondelete="CASCADE")
    version: int = Field(primary_key=True)
    source: str = Field(sa_type=Text)  # as it was written
    definition: str = Field(sa_type=Text)  # JSON, as it was read
    created_by: str = ""
    created_at: int = Field(default=0, sa_type=BigInteger)


class WorkflowSecret(SQLModel, table=True):
    """What http steps may send and nobody may read."""

    __tablename__ = "workflow_secret"

    workflow_id: str = Field(primary_key=True, foreign_key="workflow.id", ondelete="CASCADE")
    name: str = Field(primary_key=True)
    sealed: str = Field(sa_type=Text)
    created_by: str = ""
    created_at: int = Field(default=0, sa_type=BigInteger)


class WorkflowRun(SQLModel, table=True):
    """One time that a workflow is carried out."""

    __tablename__ = "workflow_run"
    __table_args__ = (
        Index("ix_workflow_run_workflow", "workflow_id", "id"),
        Index("ix_workflow_run_state", "state", "id"),
        # What starts a run starts it once.
        Index("uq_workflow_run_trigger", "workflow_id", "trigger_key", unique=True),
    )

    id: str = Field(primary_key=True)
    workflow_id: str = Field(foreign_key="workflow.id", ondelete="CASCADE")
    version: int
    tenant: str | None = None
    state: str = RunState.RUNNING
    trigger: str = "hand"  # or `api`, `event`, `schedule`
    trigger_key: str | None = None  # the event or the job that started it
    depth: int = 0  # how many runs led to it, one starting the next by its events
    input: str = Field(default="{}", sa_type=Text)  # JSON
    event: str | None = Field(default=None, sa_type=Text)  # JSON: id, type, timestamp, tenant
    error: str | None = Field(default=None, sa_type=Text)
    failed_step: str | None = None
    created_by: str = ""
    trace: str | None = None  # where it belongs, as `core.trace.Place.mark`; None: a trace named by its own 128 bits
    created_at: int = Field(default=0, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger, index=True)


class WorkflowStep(SQLModel, table=True):
    """One step of a run: recorded before it is begun, and when it is over."""

    __tablename__ = "workflow_step"
    __table_args__ = (Index("ix_workflow_step_open", "state", sqlite_where=_OPEN_STEP, postgresql_where=_OPEN_STEP),)

    run_id: str = Field(primary_key=True, foreign_key="workflow_run.id", ondelete="CASCADE")
    key: str = Field(primary_key=True)
    step_id: str
    type: str
    state: str
    input: str | None = Field(default=None, sa_type=Text)  # JSON, with its templates filled in
    output: str | None = Field(default=None, sa_type=Text)  # JSON
    error: str | None = Field(default=None, sa_type=Text)
    job_id: str | None = Field(default=None, index=True)
    wake_at: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(default=0, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)
