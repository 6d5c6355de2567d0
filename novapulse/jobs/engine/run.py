"""Running one job: its context, its time limit, and what its end means."""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Awaitable, Callable

import orjson
import structlog
from pydantic import ValidationError

from novapulse.core import trace, tracing
from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.jobs.engine.claim import Claim
from novapulse.jobs.engine.record import Ended, Line
from novapulse.jobs.engine.traced import place_of
from novapulse.jobs.models import JobState
from novapulse.jobs.tasks import TASKS, Backoff, GiveUp, PutOff, RetryLater

RESULT_MAX = 256 * 1024
_ERROR_MAX, _TRACEBACK_MAX, _LINE_MAX = 2_000, 16_000, 8_000
_LINES_MAX = 10_000  # of one attempt
_LINES_KEPT = 500  # unwritten, before the job has to wait for them
_UNKNOWN_RETRY_MS, _UNKNOWN_MAX_MS = 10_000, 600_000
_LEVELS = frozenset({"debug", "info", "warning", "error"})


class Context:
    """Implements `novapulse.jobs.tasks.JobContext`."""

    def __init__(self, rt: Runtime, claim: Claim, worker: str, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` writes what was logged so far."""
        self.rt = rt
        self.id = claim.id
        self.attempt = claim.attempts + 1
        self.created_by = claim.created_by
        self.tenant = claim.tenant
        self.worker = worker
        self.done: float | None = None
        self.text: str | None = None
        self.moved = False  # since it was written last
        self.lines: list[Line] = []
        self._logged = 0
        self._flush = flush

    async def log(self, line: str, level: str = "info") -> None:
        """Write a line to the job's log; a job that floods it waits until it is written."""
        self._logged += 1
        if self._logged > _LINES_MAX:
            return
        if self._logged == _LINES_MAX:
            line, level = f"More than {_LINES_MAX} lines: what follows is not kept.", "warning"
        level = level if level in _LEVELS else "info"
        self.lines.append(Line(self.id, self.attempt, now_ms(), level, clean(line, _LINE_MAX)))
        if len(self.lines) >= _LINES_KEPT:
            await self._flush()

    def progress(self, done: float, text: str = "") -> None:
        """Say how far it is; written within a second."""
        self.done = min(1.0, max(0.0, done))
        self.text = clean(text, _ERROR_MAX) or None
        self.moved = True


async def perform(claim: Claim, context: Context) -> Ended:
    """Run it; how it ended. A cancellation goes through: what it means is known to whoever cancelled."""
    structlog.contextvars.bind_contextvars(job_id=claim.id)
    trace.enter(place_of(claim))
    if tracing.here() is None:
        return await _perform(claim, context)
    attributes = {
        "messaging.system": "novapulse",
        "messaging.operation.type": "process",
        "messaging.operation.name": "run",
        "messaging.message.id": claim.id,
        "novapulse.task": claim.task,
        "novapulse.attempt": claim.attempts + 1,
    }
    with tracing.span(f"run {claim.task if claim.task in TASKS else 'unknown task'}", "consumer", attributes) as span:
        ended = await _perform(claim, context)
        if span is not None:
            span.attributes["novapulse.job.state"] = ended.state.value
            span.error = "failed" if ended.error is not None else None
        return ended


async def _perform(claim: Claim, context: Context) -> Ended:
    started = now_ms()
    task = TASKS.get(claim.task)
    if task is None:
        return _unknown(claim, started)
    try:
        payload = task.payload.model_validate_json(claim.payload)
    except ValidationError as error:
        return _failed(claim, started, f"The payload does not fit this version of the task: {error}", retry_at=None)
    limit = asyncio.timeout(claim.timeout_s)
    try:
        async with limit:
            result = await task.run(context, payload)
        encoded = None if result is None else orjson.dumps(result).decode()
        if encoded is not None and len(encoded) > RESULT_MAX:
            raise GiveUp(f"It was done, but its result is larger than {RESULT_MAX // 1024} KiB.")
    except PutOff as why:
        now = now_ms()
        words, run_at = clean(str(why), _ERROR_MAX), _later(now, why.after_s)
        return _end(claim, JobState.DELAYED, now, started, counts=False, run_at=run_at, progress_text=words)
    except GiveUp as why:
        return _failed(claim, started, str(why), retry_at=None, cause=why.__cause__)
    except RetryLater as why:
        return _failed(
            claim, started, str(why), retry_at=_retry_at(claim, task.backoff, why.after_s), cause=why.__cause__
        )
    except (Exception, SystemExit) as error:
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, TimeoutError) and limit.expired():
            words = f"It took longer than {claim.timeout_s:g} s."
        return _failed(claim, started, words, retry_at=_retry_at(claim, task.backoff, None), cause=error)
    return _end(claim, JobState.COMPLETED, now_ms(), started, result=encoded, progress=1.0, progress_text=context.text)


def cancelled(claim: Claim, started: int) -> Ended:
    """The end of a job that was stopped because somebody asked for it."""
    return _end(claim, JobState.CANCELLED, now_ms(), started, error="Cancelled while it ran.")


def broken_off(claim: Claim, started: int) -> Ended:
    """The end of a job that let a cancellation through which nobody asked for: of something it waited for."""
    task = TASKS[claim.task]
    return _failed(
        claim, started, "Something it waited for was cancelled.", retry_at=_retry_at(claim, task.backoff, None)
    )


def given_back(claim: Claim, *, enqueued_at: int = 0) -> Ended:
    """A claim that is undone: the job waits again, and that was no attempt."""
    now = now_ms()
    return _end(claim, JobState.WAITING, now, now, counts=False, enqueued_at=enqueued_at)


def clean(words: str, most: int) -> str:
    """Text that every database takes: bounded, without NUL and halves of characters."""
    if len(words) > most:
        words = words[: most - 1] + "…"
    return words.replace("\x00", "�").encode("utf-8", "replace").decode()


def _end(claim: Claim, state: JobState, now: int, started: int, **fields: object) -> Ended:
    return Ended(claim.id, claim.fence, claim.attempts, state, now, started, **fields)  # pyright: ignore[reportArgumentType]


def _failed(
    claim: Claim, started: int, words: str, *, retry_at: int | None, cause: BaseException | None = None
) -> Ended:
    words = clean(words, _ERROR_MAX)
    trace = None
    if cause is not None:
        trace = clean("".join(traceback.format_exception(cause))[-_TRACEBACK_MAX:], _TRACEBACK_MAX)
    return _end(
        claim,
        JobState.DEAD if retry_at is None else JobState.DELAYED,
        now_ms(),
        started,
        run_at=retry_at,
        error=words,
        traceback=trace,
        fingerprint=fingerprint(claim.task, words, cause),
    )


def _retry_at(claim: Claim, backoff: Backoff, after_s: float | None) -> int | None:
    """When it is tried again; None if no attempt is left."""
    failures = claim.failures + 1
    if failures >= claim.max_attempts:
        return None
    return _later(now_ms(), backoff.after(failures) if after_s is None else after_s)


def _later(now: int, after_s: float) -> int:
    return now + max(0, round(min(after_s, 366 * 86_400.0) * 1000))


def _unknown(claim: Claim, started: int) -> Ended:
    """A newer web process may know a task that this worker does not: a worker of that version will come."""
    words = f"No worker knows the task '{claim.task[:100]}'."
    if started - max(claim.created_at, 0) > _UNKNOWN_MAX_MS:
        return _failed(claim, started, words, retry_at=None)
    return _end(
        claim,
        JobState.DELAYED,
        started,
        started,
        counts=False,
        run_at=started + _UNKNOWN_RETRY_MS,
        progress_text=f"{words} Tried again shortly.",
    )


def fingerprint(task: str, words: str, cause: BaseException | None) -> str:
    """What failures alike have in common: the task, the kind of the error and where it was raised, or its words.

    Numbers and ids in the words tell one failure from another of the same kind, so they are left out.
    """
    if cause is not None:
        frames = traceback.extract_tb(cause.__traceback__)
        place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].name}" if frames else ""
        told = f"{type(cause).__name__}|{place}"
    else:
        told = "".join("0" if char.isdigit() else char for char in words)
    return hashlib.sha256(f"{task}|{told}".encode()).hexdigest()[:16]
