"""What crosses the API about jobs, failures, bulk actions and schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from novapulse.core.clock import parse_rfc3339
from novapulse.core.pagination import Page

State = Literal["waiting", "active", "delayed", "completed", "dead", "cancelled"]
QueueNameIn = Literal["email", "webhook", "workflow", "report"]
Act = Literal["retry", "cancel", "discard"]
_IDS_MAX = 1_000


class _Input(BaseModel):
    # Strict: "5" is not a number and 1 is not true; a sender's mistake is told, not guessed at.
    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        # NUL is not text for Postgres. The API's parser refuses it, but screens have no parser.
        if isinstance(value, str) and "\0" in value:
            raise ValueError("must not hold the character NUL")
        return value


def _parsed_moment(value: object) -> object:
    if not isinstance(value, str):
        return value
    parse_rfc3339(value)
    return datetime.fromisoformat(value)


Moment = Annotated[AwareDatetime, BeforeValidator(_parsed_moment)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Tenant = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:@/-]+$")]


class JobIn(_Input):
    """A job to be made."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"task": "http.request", "payload": {"url": "https://example.com/refresh"}, "priority": 5}]
        },
    )

    task: Words = Field(description="One of `GET /jobs/tasks`.")
    payload: dict[str, Any] = Field(default_factory=dict[str, Any], description="As the task wants it.")
    run_at: Moment | None = Field(None, description="Not before; null: now.")
    priority: Annotated[int, Field(ge=0, le=9)] = Field(5, description="0 is first, 9 is last.")
    unique_key: Words | None = Field(None, description="Of jobs with the same key one may be open; another is 409.")
    tenant: Tenant | None = None
    max_attempts: Annotated[int, Field(ge=1, le=100)] | None = Field(None, description="Null: as the task says.")
    timeout_s: Annotated[float, Field(gt=0, le=24 * 3600)] | None = Field(None, description="Null: as the task says.")


class TaskView(BaseModel):
    """A kind of job."""

    name: str
    queue: str
    about: str
    max_attempts: int
    timeout_s: float
    api: bool = Field(description="Whether `POST /jobs` and schedules may ask for it; else NovaPulse itself does.")
    payload_schema: dict[str, Any] = Field(description="The JSON Schema of its payload.")


class JobView(BaseModel):
    """A job, or a delivery as the job of queue `webhook` that it is."""

    id: str
    queue: str
    task: str
    state: State
    priority: int
    tenant: str | None
    created_by: str
    unique_key: str | None
    schedule_id: str | None
    parent_id: str | None
    pinned: bool
    attempt_count: int = Field(description="Attempts that have ended, well or not.")
    max_attempts: int | None = Field(description="Null for deliveries: their webhook's schedule says.")
    run_at: str | None = Field(description="Not before; null: held until something else is over.")
    worker: str | None = Field(description="Which runs it now.")
    cancel_asked: bool = Field(description="It is active and is being stopped.")
    progress: float | None
    progress_text: str | None
    error: str | None = Field(description="Of the last attempt that failed, or why it was cancelled.")
    fingerprint: str | None = Field(description="What failures alike have in common.")
    summary: str = Field(description="The beginning of its payload; of a delivery, its event type.")
    wait_ms: int | None = Field(description="From when it was due to its last beginning; null before.")
    run_ms: int | None = Field(description="How long the last attempt took, or has taken up to now.")
    created_at: str
    started_at: str | None
    finished_at: str | None
    undo_until: str | None = Field(description="Until then `POST /jobs/{id}/undo` takes back what was done to it.")
    undo_action: Literal["cancel", "discard"] | None


class JobPage(Page[JobView]):
    """One page of a list. A search looks at a bounded number of jobs per page, and says how far it came."""

    searched_back_to: str | None = Field(
        None,
        description="Set where not all were looked at: those made before are not searched yet; `next_cursor` goes on.",
    )


class JobAttemptView(BaseModel):
    """An attempt that failed, the one that succeeded, or the one that runs."""

    number: int
    state: Literal["failed", "completed", "active"]
    started_at: str
    finished_at: str | None
    duration_ms: int | None
    error: str | None
    traceback: str | None
    worker: str | None


class Moments(BaseModel):
    """Something that happened to a job."""

    at: str
    what: Literal["created", "due", "started", "failed", "completed", "dead", "cancelled", "act"]
    detail: str


class LogLine(BaseModel):
    """A line that a job wrote about itself."""

    at: str
    attempt: int
    level: str
    line: str


class JobDetail(JobView):
    """A job with all that is known of it."""

    about: str = Field(description="What its task does; empty if this version does not know the task.")
    payload: Any
    result: Any
    traceback: str | None
    timeout_s: float | None
    crashes: int = Field(description="How often its worker died while running it.")
    trace_id: str | None
    webhook_id: str | None = Field(None, description="Of a delivery: the webhook it is for.")
    attempts: list[JobAttemptView]
    timeline: list[Moments] = Field(description="Oldest first.")
    logs: list[LogLine] = Field(description="The last 500 lines, oldest first.")
    children: dict[str, int] = Field(description="How many jobs belong to it, by state.")


class PinIn(_Input):
    """Whether a job is kept."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"pinned": True}]})

    pinned: bool = True


class FailureGroup(BaseModel):
    """Failures that are alike."""

    fingerprint: str
    queue: str
    task: str
    error: str = Field(description="Of the example.")
    dead: int = Field(description="Jobs with no attempt left.")
    retrying: int = Field(description="Jobs that failed so and will be tried again.")
    first_seen: str | None
    last_seen: str | None
    example_id: str = Field(description="The newest of them.")


class Failures(BaseModel):
    """Failures by fingerprint, the most frequent first."""

    data: list[FailureGroup]
    complete: bool = Field(description="False: more failed than were looked at; the counts are of the newest.")


class JobFilter(_Input):
    """Which jobs: all that fit everything that is given. At least one thing has to be."""

    ids: Annotated[list[Words], Field(max_length=_IDS_MAX)] | None = Field(None, description="Of these only.")
    queue: QueueNameIn | None = None
    state: State | None = None
    task: Words | None = None
    q: Words | None = Field(None, description="An id, or text in task, payload or unique key.")
    fingerprint: Words | None = None
    schedule_id: Words | None = None
    parent_id: Words | None = None
    pinned: bool | None = None
    since: Moment | None = Field(None, description="Made at or after.")
    until: Moment | None = Field(None, description="Made before.")


class CanaryIn(_Input):
    """Try few first, and stop when it goes wrong."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"batch": 50, "max_failures": 3}]})

    first: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Tried before the others; all have to succeed.")
    batch: Annotated[int, Field(ge=1, le=1_000)] = Field(50, description="Then this many at a time.")
    max_failures: Annotated[int, Field(ge=1, le=10_000)] = Field(3, description="New failures after which it stops.")
    wait_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        300, description="How long it waits for a batch; what is not over then counts as failed."
    )


class BulkIn(_Input):
    """What to do to all jobs that a filter finds."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "retry",
                    "filter": {"queue": "email", "state": "dead"},
                    "canary": {"first": 1, "batch": 50, "max_failures": 3},
                }
            ]
        },
    )

    action: Act
    filter: JobFilter
    canary: CanaryIn | None = Field(None, description="Of `retry` only: one, then the rest in batches.")
    per_s: Annotated[int, Field(ge=1, le=10_000)] = Field(500, description="At most so many a second.")


class PreviewIn(_Input):
    """What a bulk action would touch."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"action": "retry", "filter": {"queue": "email", "state": "dead"}}]},
    )

    action: Act
    filter: JobFilter


class Repeats(BaseModel):
    """Jobs of a task that did something already, which would be done again."""

    task: str
    completed: int = Field(description="That ended well: what they do would be done twice.")
    attempted: int = Field(description="That failed after they were begun: a part may be done twice.")


class Preview(BaseModel):
    """What a bulk action would touch, and what it would repeat."""

    action: Act
    matched: int
    touched: int
    untouched: dict[str, int] = Field(description="By state: jobs in it are left alone by this action.")
    by_queue: dict[str, int] = Field(description="Of those that are touched; so the others.")
    by_task: dict[str, int]
    by_tenant: dict[str, int] = Field(description="`` for jobs without a tenant.")
    by_state: dict[str, int]
    repeats: list[Repeats]
    complete: bool = Field(description="False: there are more than were looked at; the numbers are at least so large.")
    untouched_complete: bool = Field(description="False: of those left alone there are more.")


class BulkAccepted(BaseModel):
    """A bulk action that is a job now."""

    job_id: str
    starts_at: str = Field(description="A discard starts after ten seconds: cancel the job to take it back.")


class ScheduleIn(_Input):
    """A job to be made again and again."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "Refresh the cache",
                    "task": "http.request",
                    "payload": {"url": "https://example.com/refresh"},
                    "cron": "*/15 * * * *",
                    "timezone": "Europe/Paris",
                }
            ]
        },
    )

    name: Words
    task: Words
    payload: dict[str, Any] = Field(default_factory=dict[str, Any])
    cron: Words = Field(description="Five fields: minute, hour, day of month, month, day of week.")
    timezone: Words = Field("UTC", description="As in the IANA database, e.g. Europe/Paris.")
    enabled: bool = True
    overlap: Literal["skip", "queue"] = Field(
        "skip", description="If the job before it is still open: leave this one out, or make it all the same."
    )
    tenant: Tenant | None = None


class SchedulePatch(_Input):
    """Changes to a schedule; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})

    name: Words | None = None
    payload: dict[str, Any] | None = None
    cron: Words | None = None
    timezone: Words | None = None
    enabled: bool | None = None
    overlap: Literal["skip", "queue"] | None = None


class CronIn(_Input):
    """A cron expression to look at."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"cron": "0 9 * * MON-FRI", "timezone": "Europe/Paris"}]}
    )

    cron: Words
    timezone: Words = "UTC"


class CronView(BaseModel):
    """What a cron expression means."""

    explanation: str
    next: list[str] = Field(description="The next five times.")


class ScheduleView(BaseModel):
    """A schedule as it is."""

    id: str
    name: str
    task: str
    queue: str | None = Field(description="Null if this version does not know the task.")
    payload: Any
    cron: str
    timezone: str
    explanation: str = Field(description="The cron expression in words.")
    enabled: bool
    overlap: Literal["skip", "queue"]
    tenant: str | None
    created_by: str
    created_at: str
    next_run_at: str | None
    last_run_at: str | None
    last_job_id: str | None
    last_state: str | None = Field(description="Of the last job; null if there was none, or it is gone by retention.")
    last_error: str | None = Field(description="Why the last time made no job.")


class NoteIn(_Input):
    """Why something is done to a queue."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "The provider is down."}]})

    note: Annotated[str, StringConstraints(max_length=500)] = ""


class QueueModeView(BaseModel):
    """What was said of a queue, by whom and when."""

    name: str
    mode: Literal["running", "paused", "draining"]
    note: str
    changed_by: str
    changed_at: str
