"""Rows as the API shows them."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from novapulse.core import exact
from novapulse.core.clock import now_ms, parse_rfc3339, rfc3339
from novapulse.jobs.hidden import hide_credentials
from novapulse.jobs.models import JobState
from novapulse.jobs.schemas import JobAttemptView, JobDetail, JobView, LogLine, Moments, State
from novapulse.jobs.selecting import DELIVERY_TASK, STATE_OF, due_since, fingerprint_of_delivery
from novapulse.jobs.tasks import TASKS
from novapulse.webhooks.outcome import ErrorCode
from novapulse.webhooks.schemas import DeliveryDetail

_SUMMARY = 160
_ERROR = 500
_ENDED = {JobState.COMPLETED: "completed", JobState.DEAD: "dead", JobState.CANCELLED: "cancelled"}


def job_view(row: Any, undo: Any = None) -> JobView:
    """A row of `job`, with what can be taken back."""
    now = now_ms()
    started: int | None = row.started_at
    state: State = row.state
    ended: int | None = now if state == "active" else row.finished_at
    return JobView(
        id=row.id,
        queue=row.queue,
        task=row.task,
        state=state,
        priority=row.priority,
        tenant=row.tenant,
        created_by=row.created_by,
        unique_key=row.unique_key,
        schedule_id=row.schedule_id,
        parent_id=row.parent_id,
        pinned=row.pinned,
        attempt_count=row.attempts,
        max_attempts=row.max_attempts,
        run_at=_time(row.run_at),
        worker=row.claimed_by if state == "active" else None,
        cancel_asked=row.cancel_asked and state == "active",
        progress=row.progress,
        progress_text=row.progress_text,
        error=None if row.error is None else row.error[:_ERROR],
        fingerprint=row.fingerprint,
        summary=_summary(row.payload),
        wait_ms=None if started is None else max(0, started - due_since(row.run_at, row.created_at)),
        run_ms=None if started is None or ended is None else max(0, ended - started),
        created_at=rfc3339(row.created_at),
        started_at=_time(started),
        finished_at=_time(row.finished_at),
        **_undo(undo, now),
    )


def delivery_job(row: Any, undo: Any = None) -> JobView:
    """A row of `delivery` as the job that it is."""
    return JobView(
        id=row.id,
        queue="webhook",
        task=DELIVERY_TASK,
        state=STATE_OF[row.status],  # pyright: ignore[reportArgumentType] - the values of JobState
        priority=5,
        tenant=row.tenant,
        created_by="",
        unique_key=None,
        schedule_id=None,
        parent_id=None,
        pinned=False,
        attempt_count=row.attempts,
        max_attempts=None,
        run_at=_time(row.next_attempt_at),
        worker=row.claimed_by if STATE_OF[row.status] == JobState.ACTIVE else None,
        cancel_asked=False,
        progress=None,
        progress_text=None,
        error=error_of_delivery(row.last_error, row.last_status_code) or row.reason,
        fingerprint=fingerprint_of_delivery(row.webhook_id, row.last_error, row.last_status_code),
        summary=row.event_type,
        wait_ms=None,
        run_ms=None,
        created_at=rfc3339(row.created_at),
        started_at=None,
        finished_at=_time(row.finished_at),
        **_undo(undo, now_ms()),
    )


def error_of_delivery(error: str | None, code: int | None) -> str | None:
    """How a delivery failed, in a few words."""
    return f"HTTP {code}" if error in (ErrorCode.STATUS, ErrorCode.REDIRECT) and code else error


def job_detail(
    row: Any, undo: Any, attempts: Sequence[Any], lines: Sequence[Any], children: dict[str, int]
) -> JobDetail:
    """A job with all that is known of it."""
    task = TASKS.get(row.task)
    views = [_attempt(each) for each in attempts]
    if row.state == JobState.ACTIVE and row.started_at is not None:
        views.append(_present(row, "active", None))
    elif row.state == JobState.COMPLETED and row.started_at is not None:
        views.append(_present(row, "completed", row.finished_at))
    return JobDetail(
        **job_view(row, undo).model_dump(),
        about=task.about if task else "",
        payload=hide_credentials(_json(row.payload)),
        result=hide_credentials(_json(row.result)),
        traceback=row.traceback,
        timeout_s=row.timeout_s,
        crashes=row.crashes,
        trace_id=row.trace_id,
        attempts=views,
        timeline=_timeline(row, views, lines),
        logs=[_line(each) for each in lines if each.level != "act"],
        children=children,
    )


def delivery_detail(view: JobView, detail: DeliveryDetail) -> JobDetail:
    """A delivery with all that is known of it."""
    attempts = [
        JobAttemptView(
            number=each.number,
            state="completed" if each.ok else "failed",
            started_at=each.started_at,
            finished_at=rfc3339(parse_rfc3339(each.started_at) + round(each.duration_ms)),
            duration_ms=round(each.duration_ms),
            error=each.error_detail or error_of_delivery(each.error, each.status_code),
            traceback=None,
            worker=each.worker,
        )
        for each in detail.attempts
    ]
    moments = [Moments(at=detail.created_at, what="created", detail=f"For the event {detail.event_id}.")]
    for each in attempts:
        moments.append(Moments(at=each.started_at, what="started", detail=_nth(each.number, each.worker)))
        if each.state == "failed":
            moments.append(Moments(at=each.finished_at or each.started_at, what="failed", detail=each.error or ""))
    if detail.finished_at is not None:
        moments.append(Moments(at=detail.finished_at, what=_ENDED[JobState(view.state)], detail=view.error or ""))  # pyright: ignore[reportArgumentType]
    last = attempts[-1] if attempts else None
    shown = view.model_dump() | {
        "started_at": last.started_at if last else None,
        "run_ms": last.duration_ms if last else None,
    }
    answer = detail.attempts[-1] if detail.attempts else None
    return JobDetail(
        **shown,
        about=f"Posts the event to {detail.webhook_url}.",
        payload=_json(detail.body),
        result=None if answer is None else {"status_code": answer.status_code, "body": answer.response_body},
        traceback=None,
        timeout_s=None,
        crashes=0,
        trace_id=detail.trace_id,
        webhook_id=detail.webhook_id,
        attempts=attempts,
        timeline=sorted(moments, key=lambda moment: moment.at),
        logs=[],
        children={},
    )


def _summary(payload: str) -> str:
    if payload == "{}":
        return ""
    value = _json(payload) if len(payload) <= 4 * _SUMMARY else None
    text = exact.dumps(hide_credentials(value)) if value is not None else ""
    if not text:
        return f"{len(payload.encode()) / 1024:.0f} KiB"
    return text if len(text) <= _SUMMARY else text[: _SUMMARY - 1] + "…"


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return exact.loads(text)
    except orjson.JSONDecodeError:
        return text


def _undo(undo: Any, now: int) -> dict[str, Any]:
    if undo is None or (undo.until <= now and undo.act != "discard"):
        return {"undo_until": None, "undo_action": None}
    return {"undo_until": rfc3339(undo.until), "undo_action": undo.act}


def _attempt(row: Any) -> JobAttemptView:
    return JobAttemptView(
        number=row.number,
        state="failed",
        started_at=rfc3339(row.started_at),
        finished_at=rfc3339(row.finished_at),
        duration_ms=max(0, row.finished_at - row.started_at),
        error=row.error,
        traceback=row.traceback,
        worker=row.worker or None,
    )


def _present(row: Any, state: Any, finished_at: int | None) -> JobAttemptView:
    return JobAttemptView(
        number=row.attempts + (state == "active"),
        state=state,
        started_at=rfc3339(row.started_at),
        finished_at=_time(finished_at),
        duration_ms=max(0, (finished_at or now_ms()) - row.started_at),
        error=None,
        traceback=None,
        worker=row.claimed_by,
    )


def _timeline(row: Any, attempts: Iterable[JobAttemptView], lines: Iterable[Any]) -> list[Moments]:
    by = f"By {row.created_by}." if row.created_by else ""
    moments = [Moments(at=rfc3339(row.created_at), what="created", detail=by)]
    if row.run_at > row.created_at:
        moments.append(Moments(at=rfc3339(row.run_at), what="due", detail="Not before this time."))
    for each in attempts:
        moments.append(Moments(at=each.started_at, what="started", detail=_nth(each.number, each.worker)))
        if each.state == "failed":
            moments.append(Moments(at=each.finished_at or each.started_at, what="failed", detail=each.error or ""))
    moments += [Moments(at=rfc3339(each.at), what="act", detail=each.line) for each in lines if each.level == "act"]
    if row.finished_at is not None and row.state in _ENDED:
        detail = "" if row.state == JobState.COMPLETED else row.error or ""
        moments.append(Moments(at=rfc3339(row.finished_at), what=_ENDED[row.state], detail=detail))  # pyright: ignore[reportArgumentType]
    # What happened in the same millisecond stays in the order above.
    return sorted(moments, key=lambda moment: moment.at)


def _nth(number: int, worker: str | None) -> str:
    return f"Attempt {number}" + (f" on {worker}." if worker else ".")


def _line(row: Any) -> LogLine:
    return LogLine(at=rfc3339(row.at), attempt=row.attempt, level=row.level, line=row.line)


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
