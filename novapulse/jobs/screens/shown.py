"""Jobs as the pages show them: words instead of nulls. What is not known is “?”, what there is none of is “–”."""

from __future__ import annotations

import json
from typing import Any

import orjson

from novapulse.jobs.schemas import JobDetail, JobView, Preview, ScheduleView
from novapulse.jobs.shapes import WhyView
from novapulse.live.shown import NONE, count, duration, span

_OPEN = ("waiting", "active", "delayed")
_PAST = {"cancel": "Cancelled", "discard": "Discarded"}


def job_row(job: JobView) -> dict[str, Any]:
    """A row of a list."""
    return {
        "id": job.id,
        "queue": job.queue,
        "task": job.task,
        "state": job.state,
        "stopping": job.cancel_asked,
        "pinned": job.pinned,
        "tenant": job.tenant or "",
        "summary": job.summary,
        "error": _first_line(job.error) if job.state in ("dead", "delayed", "cancelled") else "",
        "attempts": f"{job.attempt_count}"
        if job.max_attempts is None
        else f"{job.attempt_count} of {job.max_attempts}",
        "wait": duration(job.wait_ms),
        "run": duration(job.run_ms),
        "created": job.created_at,
        "next": job.run_at if job.state == "delayed" and job.run_at else "",
        "percent": -1 if job.progress is None or job.state != "active" else round(job.progress * 100),
        "progress": job.progress_text or "",
        "undo_until": job.undo_until or "",
        "undo_text": _PAST.get(job.undo_action or "", ""),
    }


def job_shown(job: JobDetail, trace_href: str) -> dict[str, Any]:
    """The head and the facts of one job; `trace_href` is where its trace is looked at, if anywhere."""
    delivery = job.id.startswith("dlv_")
    well = job.state in ("completed", "active")  # what an attempt before it failed of is in the list of attempts
    return job_row(job) | {
        "about": job.about,
        "open": job.state in _OPEN,
        "priority": str(job.priority),
        "by": job.created_by or NONE,
        "key": job.unique_key or "",
        "schedule": job.schedule_id or "",
        "parent": job.parent_id or "",
        "parent_is_job": (job.parent_id or "").startswith("job_"),
        "worker": job.worker or "",
        "error": "" if well else job.error or "",
        "fingerprint": job.fingerprint or "",
        "started": job.started_at or "",
        "finished": job.finished_at or "",
        "percent": -1 if job.progress is None else round(job.progress * 100),
        "payload": pretty(job.payload),
        "result": "" if job.result is None else pretty(job.result),
        "traceback": "" if well else job.traceback or "",
        "trace": job.trace_id or "",
        "trace_href": trace_href,
        "webhook": job.webhook_id or "",
        "timeout": NONE if job.timeout_s is None else span(job.timeout_s),
        "crashes": str(job.crashes) if job.crashes else "",
        "children": ", ".join(f"{n:,} {state}" for state, n in sorted(job.children.items())),
        "may_retry": job.state in ("dead", "cancelled", "delayed", "completed"),
        "retry": "Run now" if job.state == "delayed" else "Run again" if job.state == "completed" else "Retry",
        "may_cancel": job.state in _OPEN and not job.cancel_asked,
        "cancel": "Stop" if job.state == "active" else "Cancel",
        "may_discard": not delivery and job.state != "active" and job.undo_action != "discard",
        "may_pin": not delivery,
        "attempt_list": [
            {
                "number": str(each.number),
                "state": each.state,
                "at": each.started_at,
                "took": duration(each.duration_ms),
                "error": each.error or "",
                "traceback": each.traceback or "",
                "worker": each.worker or "",
            }
            for each in reversed(job.attempts)
        ],
        "timeline": [moment.model_dump() for moment in job.timeline],
        "logs": [
            {"at": each.at, "attempt": str(each.attempt), "level": each.level, "line": each.line} for each in job.logs
        ],
    }


def why_shown(why: WhyView) -> dict[str, Any]:
    """Why a job is not running, and when it may begin."""
    return {
        "reasons": [{"code": each.code, "text": each.text, "ids": each.ids} for each in why.reasons],
        "estimate": "" if why.estimate_s is None else span(why.estimate_s),
        "begins": why.begins_at or "",
        "basis": why.basis,
    }


def preview_shown(preview: Preview) -> dict[str, Any]:
    """What a bulk action would touch and repeat."""
    least = "" if preview.complete else "at least "
    parts = {
        "State": preview.by_state,
        "Queue": preview.by_queue,
        "Task": preview.by_task,
        "Tenant": {name or "none": n for name, n in preview.by_tenant.items()},
    }
    return {
        "touched": least + count(preview.touched),
        "none": preview.touched == 0,
        "untouched": ("" if preview.untouched_complete or not preview.untouched else "at least ")
        + ", ".join(f"{n:,} {state}" for state, n in preview.untouched.items()),
        "parts": [
            {"name": name, "values": [{"name": each, "n": count(n)} for each, n in list(values.items())[:6]]}
            for name, values in parts.items()
            if values and (name != "Tenant" or list(values) != ["none"])
        ],
        "repeats": [_repeats(each.task, each.completed, each.attempted) for each in preview.repeats],
    }


def schedule_row(schedule: ScheduleView) -> dict[str, Any]:
    """A row of the list of schedules."""
    return {
        "id": schedule.id,
        "name": schedule.name,
        "task": schedule.task,
        "queue": schedule.queue or "?",
        "words": schedule.explanation,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "enabled": schedule.enabled,
        "tenant": schedule.tenant or "",
        "next": schedule.next_run_at or "",
        "last": schedule.last_run_at or "",
        "job": schedule.last_job_id or "",
        "result": schedule.last_state or "",
        "error": schedule.last_error or "",
        "payload": pretty(schedule.payload),
        "overlap": schedule.overlap,
    }


def pretty(value: Any) -> str:
    """JSON for people, with numbers of any size."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:
        return json.dumps(value, ensure_ascii=False, indent=2)


def _repeats(task: str, completed: int, attempted: int) -> str:
    said: list[str] = []
    if completed:
        said.append(f"{completed:,} that ended well would be done twice")
    if attempted:
        said.append(f"{attempted:,} that were begun before may do a part of it again")
    return f"{task}: {', and '.join(said)}."


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]
