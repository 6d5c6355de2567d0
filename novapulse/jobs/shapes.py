"""What the API and the screens are told of queues: numbers, their history, and why a job does not run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Health = Literal["healthy", "degraded", "stalled", "paused", "down"]
Mode = Literal["running", "paused", "draining"]
_AT = "2026-11-24T12:00:00.000Z"
_SPAN = {"p50": 12.3, "p99": 80.6}
_COUNTS = {"waiting": 12, "active": 3, "delayed": 4, "completed": 1200, "failed": 9, "dead": 1, "cancelled": 0}

_STATS: dict[str, Any] = {
    "at": _AT,
    "queues": [
        {
            "name": "webhook",
            **_COUNTS,
            "paused": False,
            "mode": "running",
            "mode_by": None,
            "mode_since": None,
            "mode_note": None,
            "workers": 1,
            "slots": 256,
            "throughput_per_s": 41.5,
            "wait_ms": _SPAN,
            "run_ms": _SPAN,
            "error_rate": 0.01,
            "oldest_waiting_s": 0.2,
            "drift": 0,
            "health": "healthy",
            "reasons": [],
        }
    ],
    "totals": {**_COUNTS, "throughput_per_s": 41.5},
    "workers": [],
}


class WorkerView(BaseModel):
    """A worker that is alive."""

    name: str
    host: str
    pid: int
    version: str
    queues: list[str]
    running: dict[str, int] = Field(description="By queue, how many jobs it is running now.")
    slots: dict[str, int] = Field(description="By queue, how many it runs at once.")
    rss_bytes: int | None
    cpu_s: float | None = Field(description="Processor time used since it started.")
    started_at: str
    heartbeat_age_s: float


class Percentiles(BaseModel):
    """Milliseconds that half, or 99 of 100, took at most; null where nothing was measured in the last minute."""

    p50: float | None
    p99: float | None


class QueueCounts(BaseModel):
    """How many jobs are in each state; null is unknown. The webhook queue counts deliveries."""

    waiting: int | None
    active: int | None
    delayed: int | None
    completed: int | None
    failed: int | None = Field(description="Attempts that failed, ever.")
    dead: int | None = Field(description="Jobs with no attempt left.")
    cancelled: int | None


class QueueView(QueueCounts):
    """One queue now. What cannot be known is null, never 0."""

    name: str
    paused: bool | None
    mode: Mode | None
    mode_by: str | None = Field(description="Who paused or drains it.")
    mode_since: str | None
    mode_note: str | None
    workers: int | None
    slots: int | None = Field(description="How many jobs its workers run at once.")
    throughput_per_s: float | None = Field(description="Attempts that ended, per second, over ten seconds.")
    wait_ms: Percentiles = Field(description="From when a job was due to its begin.")
    run_ms: Percentiles
    error_rate: float | None = Field(description="Share of the last minute's attempts that failed.")
    oldest_waiting_s: float | None = Field(description="How long the oldest job that is due has waited.")
    drift: int | None = Field(description="Jobs that were made and are in no state; 0 unless something is wrong.")
    health: Health | None
    reasons: list[str] = Field(description="Why it is not healthy, in words.")


class Totals(QueueCounts):
    """All queues together."""

    throughput_per_s: float | None


class QueueStats(BaseModel):
    """All queues and workers at one moment."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STATS]})

    at: str
    queues: list[QueueView]
    totals: Totals
    workers: list[WorkerView] | None


class Mark(BaseModel):
    """Something that happened at a moment, to be shown on a chart."""

    at: str
    kind: Literal["deploy", "worker", "pause", "resume", "drain", "repair", "act"]
    text: str = Field(description="In words, e.g. `Queue email paused by ada@example.com: provider is down`.")
    queue: str | None = Field(description="Null: it is about all of them.")


class HistoryPoint(BaseModel):
    """A queue during one step. All null: nobody was looking."""

    at: str
    waiting: int | None
    active: int | None
    delayed: int | None
    completed: int | None
    dead: int | None
    cancelled: int | None
    workers: int | None
    slots: int | None
    paused: bool | None
    oldest_waiting_s: float | None
    throughput_per_s: float | None
    failed_per_s: float | None
    error_rate: float | None
    wait_ms: Percentiles
    run_ms: Percentiles


class HistoryView(BaseModel):
    """The history of a queue, oldest first, one point per step, with what happened in that time."""

    queue: str
    window: str
    step_s: int
    points: list[HistoryPoint]
    marks: list[Mark]


class Moment(BaseModel):
    """All queues at one moment of the past; a queue of which nothing is known is null."""

    at: str
    queues: dict[str, HistoryPoint | None]


class RewindView(BaseModel):
    """What the board showed: one moment for `at`, or one per step from `since` to `until`."""

    step_s: int
    moments: list[Moment]
    marks: list[Mark] = Field(description="In the span, or within five minutes of the moment.")


class Conserved(BaseModel):
    """Whether what was enqueued adds up: `enqueued` = the states + `gone` + `drift`."""

    name: str
    enqueued: int
    waiting: int
    active: int
    delayed: int
    completed: int
    dead: int
    cancelled: int
    gone: int = Field(description="Jobs that were deleted: by retention, with their webhook, or discarded.")
    drift: int = Field(description="Jobs that were made and are in no state (or, below 0, the other way round).")
    counters_off: dict[str, int] | None = Field(
        description="By state, by how much a counter differed from the rows at the last check; null: never checked."
    )
    in_valkey: int | None = Field(description="Jobs that the entries of Valkey's stream carry; null: it is away.")
    missing: int | None = Field(
        description="Waiting jobs that the database takes for being in Valkey and that are not; 1,000 at most."
    )
    missing_ids: list[str] = Field(description="Some of them.")
    ok: bool


class Correction(BaseModel):
    """What was put right, by itself or because somebody asked."""

    at: str
    queue: str
    by: str
    text: str


class ConservationView(BaseModel):
    """The conservation meter: nothing that was enqueued may go missing."""

    at: str
    checked_at: str | None = Field(description="When counters were last compared with the rows, and with Valkey.")
    check_ms: float | None = Field(description="How long that took.")
    ok: bool
    queues: list[Conserved]
    corrections: list[Correction] = Field(description="The latest, newest first.")


class RepairView(BaseModel):
    """What a repair did."""

    queue: str
    done: list[str] = Field(description="In words; empty: there was nothing to repair.")
    conservation: Conserved


class Reason(BaseModel):
    """One thing that keeps a job from running."""

    code: Literal[
        "ended",
        "running",
        "paused",
        "draining",
        "no_worker",
        "no_scheduler",
        "unknown",
        "webhook_inactive",
        "held",
        "retry",
        "delayed",
        "slots_busy",
        "ahead",
        "next",
    ]
    text: str
    since: str | None = None
    by: str | None = None
    ids: list[str] = Field(default=[], description="The jobs that are in the way, as far as the caller may see them.")


class WhyView(BaseModel):
    """Why a job is not running, the most weighty reason first, and when it may begin."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job_id": "job_0193a1b2c3d47e8f9a0b1c2d3e4f5a6b",
                    "state": "waiting",
                    "reasons": [
                        {
                            "code": "paused",
                            "text": "Queue email is paused by ada@example.com since 12:00 UTC: provider is down.",
                            "since": _AT,
                            "by": "ada@example.com",
                            "ids": [],
                        }
                    ],
                    "ahead": 431,
                    "ahead_exact": True,
                    "estimate_s": None,
                    "begins_at": None,
                    "basis": "It begins after the queue is resumed.",
                }
            ]
        }
    )

    job_id: str
    state: str
    reasons: list[Reason]
    ahead: int | None = Field(description="Jobs that come first; null if that says nothing.")
    ahead_exact: bool = Field(description="False: at least so many.")
    estimate_s: float | None
    begins_at: str | None
    basis: str = Field(description="What the estimate is made of, or why there is none.")
