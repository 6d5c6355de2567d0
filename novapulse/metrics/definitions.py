"""Every metric of NovaPulse, in one place: `docs/metrics.md` is made of it.

Two kinds. What a process counts of itself is a `Counter`, `Gauge` or `Histogram`: add it up over all processes (`sum`).
What is true of the whole deployment is a `Fact`, read from the database or Valkey when somebody asks; every web process
tells the same, so take the largest (`max`) and never the sum. No label holds an address, an id or a tenant.
"""

from __future__ import annotations

from dataclasses import dataclass

from novapulse.metrics.sheet import METRICS, Counter, Gauge, Histogram, Kind, Labels

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_HTTP = (0.01, 0.05, 0.1, 0.25, 1.0, 5.0)
_LONG = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

# HTTP
HTTP_REQUESTS = Counter(
    "novapulse_http_requests_total",
    "Requests answered, by method, route (its template; `page` and `asset` for the screens) and status code.",
    ("method", "route", "code"),
)
HTTP_DURATION = Histogram(
    "novapulse_http_request_duration_seconds",
    "Time until the answer began, by route.",
    ("method", "route"),
    bounds=_HTTP,
)
HTTP_OPEN = Gauge("novapulse_http_requests_in_flight", "Requests that are being answered.")
RATE_LIMITS = Counter(
    "novapulse_rate_limit_decisions_total",
    "Calls counted against a limit, by its class: `allowed`, `refused`, or `unshared`, decided without Valkey.",
    ("class", "decision"),
)

# Events in
INGESTED = Counter(
    "novapulse_ingest_events_total",
    "Events sent to NovaPulse: `stored`, `duplicate` (an id that was sent before), `refused`.",
    ("outcome",),
    known=(("stored",), ("duplicate",), ("refused",)),
)
INGEST_DELIVERIES = Counter("novapulse_ingest_deliveries_total", "Deliveries made of the events that were stored.")
INGEST_WAITING = Gauge("novapulse_ingest_waiting_events", "Events in memory that wait for the database.")

# Deliveries and jobs
DELIVERY_ATTEMPTS = Counter(
    "novapulse_delivery_attempts_total",
    "Attempts recorded, by what became of the delivery: `delivered`, `retrying`, `failed` (for good), or `lost`:"
    " another worker has it.",
    ("outcome",),
    known=(("delivered",), ("retrying",), ("failed",), ("lost",)),
)
DELIVERY_ERRORS = Counter(
    "novapulse_delivery_errors_total",
    "Attempts that failed, by why: the error, or the class of the status code.",
    ("error",),
)
DELIVERY_LATENCY = Histogram(
    "novapulse_delivery_latency_seconds",
    "From the event's arrival to the receiver's answer, of what was delivered at the first attempt.",
    bounds=_LONG,
)
CIRCUITS_OPEN = Gauge(
    "novapulse_delivery_circuits_open",
    "Webhooks that a worker sends nothing to for the moment, because their receiver does not answer.",
)
JOB_ATTEMPTS = Counter(
    "novapulse_job_attempts_total",
    "Attempts of jobs recorded, by queue and what became of the job; `delayed` are retries.",
    ("queue", "outcome"),
)
JOB_WAIT = Histogram(
    "novapulse_job_wait_seconds",
    "From when a job or delivery was due until it began; of deliveries, first attempts only.",
    ("queue",),
    bounds=_LONG,
)
JOB_RUN = Histogram("novapulse_job_run_seconds", "How long attempts ran, by queue.", ("queue",), bounds=_LONG)
WORKER_IN_FLIGHT = Gauge("novapulse_worker_in_flight", "Jobs and deliveries that workers have claimed.", ("queue",))

# People
SIGN_INS = Counter(
    "novapulse_sign_in_attempts_total",
    "Tries to sign in or to prove oneself: `ok`, `wrong_password`, `wrong_code`, `limited`.",
    ("outcome",),
    known=(("ok",), ("wrong_password",), ("wrong_code",), ("limited",)),
)
SOCKETS = Gauge("novapulse_sockets", "Open sockets of browsers.")
SOCKETS_REFUSED = Counter("novapulse_sockets_refused_total", "Sockets that were refused, by why.", ("reason",))
LIVE_LAG = Histogram(
    "novapulse_live_broadcast_lag_seconds",
    "From when the sampler looked until the dashboards were told.",
    bounds=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

# Stores
DB_QUERY = Histogram(
    "novapulse_db_query_duration_seconds",
    "Statements, by connection: `pool`, or `writer`, SQLite's one for bulk writes.",
    ("connection",),
    bounds=_FAST,
)
DB_TRANSACTION = Histogram(
    "novapulse_db_write_duration_seconds", "Writing transactions, with the wait for their turn.", bounds=_FAST
)
DB_WRITERS = Gauge("novapulse_db_write_queue", "Writing transactions under way or waiting for their turn.")
DB_POOL = Gauge("novapulse_db_pool_connections", "Connections of the pool that are in use.")
DB_POOL_SIZE = Gauge("novapulse_db_pool_max_connections", "Connections that the pool may have.")
VALKEY = Histogram(
    "novapulse_valkey_roundtrip_seconds",
    "A question to Valkey, asked every 5 s by each process, with the process's own lag.",
    bounds=_FAST,
)
VALKEY_FAILED = Counter("novapulse_valkey_failures_total", "Such questions that got no answer.")
CLOCK_SKEW = Gauge(
    "novapulse_clock_skew_seconds", "How far this machine's clock is from Valkey's, either way.", most=True
)

# The scheduler
SCHEDULER_ELECTED = Gauge("novapulse_scheduler_elected", "1 in the scheduler that is at work.")
SCHEDULER_TICK = Histogram(
    "novapulse_scheduler_tick_duration_seconds",
    "The scheduler's pieces of work, by name.",
    ("work",),
    bounds=(0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0),
)
SCHEDULER_FAILED = Counter("novapulse_scheduler_tick_failures_total", "Those that failed.", ("work",))

# Processes
LOOP_LAG = Gauge(
    "novapulse_event_loop_lag_seconds", "How late the event loop woke, of late, by kind of process.", ("process",), True
)


@dataclass(frozen=True, slots=True)
class Fact:
    """What is true of the deployment, or of this process, and read when asked for."""

    name: str
    help: str
    labels: Labels = ()
    kind: Kind = "gauge"
    combine: str = "max"


_PROCESS = ("process", "number")
FACTS = {
    fact.name: fact
    for fact in (
        Fact("novapulse_queue_jobs", "Jobs or deliveries in each state, by queue.", ("queue", "state")),
        Fact("novapulse_queue_made_total", "Jobs or deliveries ever made.", ("queue",), "counter"),
        Fact("novapulse_queue_failed_total", "Attempts that ever failed.", ("queue",), "counter"),
        Fact("novapulse_queue_oldest_seconds", "How long the oldest has been due, not begun; 0: none is.", ("queue",)),
        Fact("novapulse_queue_paused", "1: the queue is paused or being drained.", ("queue",)),
        Fact("novapulse_queue_drift", "Jobs made that are nowhere; anything but 0 is a fault.", ("queue",)),
        Fact("novapulse_queue_workers", "Workers alive that work on the queue.", ("queue",)),
        Fact("novapulse_queue_slots", "How much of the queue they can run at once.", ("queue",)),
        Fact("novapulse_scheduler_running", "1: a scheduler holds the lease."),
        Fact("novapulse_webhooks", "Webhooks, by status.", ("status",)),
        Fact("novapulse_sessions", "Sessions of people that are signed in."),
        Fact("novapulse_check_ok", "1: this check of `/health` is good.", ("check",), combine="min"),
        Fact("novapulse_check_duration_seconds", "How long that check took.", ("check",)),
        Fact("novapulse_facts_ok", "1: the facts could be read from this store just now.", ("store",), combine="min"),
        Fact("novapulse_backup_last_timestamp_seconds", "When the last backup was made, since the epoch; 0: never."),
        Fact("novapulse_backup_interval_seconds", "How often the scheduler makes one; absent: it makes none."),
        Fact("novapulse_disk_free_bytes", "Free space where the data folder is.", combine="min"),
        Fact("novapulse_disk_size_bytes", "Size of that disk."),
        Fact("novapulse_build_info", "1, labelled with the version.", ("version", "python")),
        Fact("novapulse_process_cpu_seconds_total", "Processor time.", _PROCESS, "counter", "sum"),
        Fact("novapulse_process_resident_memory_bytes", "Memory in use.", _PROCESS, combine="sum"),
        Fact("novapulse_process_open_fds", "Open files and sockets.", _PROCESS, combine="sum"),
        Fact("novapulse_process_start_time_seconds", "When it began, since the epoch.", _PROCESS),
    )
}


@dataclass(frozen=True, slots=True)
class Defined:
    """A metric, as documents and tests want it."""

    name: str
    kind: Kind
    help: str
    labels: Labels
    combine: str


def all_metrics() -> list[Defined]:
    """Every metric, in the order it is told in."""
    counted = [
        Defined(each.name, each.kind, each.help, each.labels, "max" if each.most else "sum")
        for each in METRICS.values()
    ]
    return counted + [Defined(each.name, each.kind, each.help, each.labels, each.combine) for each in FACTS.values()]
