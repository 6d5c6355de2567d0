"""What the pages of workflows show, in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from novapulse.workflows.definition import Definition, all_steps
from novapulse.workflows.schemas import RunDetail, RunView, StepView, WorkflowView
from novapulse.workflows.screens.layout import picture_of

_KINDS = {
    "webhook_event": "send an event",
    "email": "send an e-mail",
    "report": "make a report",
    "http": "call an address",
    "wait": "wait",
    "condition": "condition",
    "parallel": "at the same time",
    "loop": "for each item",
}
_STARTED = {"hand": "by hand", "api": "by the API", "event": "by an event", "schedule": "by its schedule"}
# Of many runs of one step, which one stands for all.
_FIRST = ("failed", "running", "waiting", "cancelled", "completed", "skipped")


def workflow_row(view: WorkflowView) -> dict[str, Any]:
    """A row of the list."""
    last = view.last_run
    return {
        "id": view.id,
        "name": view.name,
        "description": view.description,
        "tenant": view.tenant or "",
        "enabled": view.enabled,
        "version": view.version,
        "triggers": triggers_in_words(view.triggers),
        "running": view.running,
        "completed": view.completed_24h,
        "failed": view.failed_24h,
        "last_id": last.id if last else "",
        "last_state": last.state if last else "",
        "last_at": last.created_at if last else "",
    }


def triggers_in_words(triggers: Sequence[dict[str, Any]]) -> str:
    """What starts it."""
    words = [
        f"on {each['event']}" if "event" in each else f"at {each['cron']} {each.get('timezone', 'UTC')}"
        for each in triggers
    ]
    return ", ".join(words) or "by hand or the API"


def run_row(view: RunView) -> dict[str, Any]:
    """A row of the list of runs."""
    return {
        "id": view.id,
        "workflow_id": view.workflow_id,
        "workflow": view.workflow,
        "version": view.version,
        "state": view.state,
        "started": _STARTED[view.trigger] + ("" if view.trigger != "event" else f" ({view.created_by[6:]})"),
        "by": view.created_by,
        "at": view.created_at,
        "took": "" if view.duration_s is None else duration(view.duration_s),
        "error": view.error or "",
        "failed_step": view.failed_step or "",
    }


def duration(seconds: float) -> str:
    """A time that something took."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def graph(definition: Definition, run: RunDetail | None = None) -> dict[str, Any]:
    """The picture of a workflow; with a run, how each of its steps stands."""
    picture = picture_of(definition).as_vars()
    by_step: dict[str, list[StepView]] = {}
    for step in run.steps if run is not None else ():
        by_step.setdefault(step.step_id, []).append(step)
    kinds = {step.id: step.type for _, step in all_steps(definition.steps)}
    for node in picture["nodes"]:
        found = by_step.get(node["id"], [])
        node["kind"] = _KINDS[kinds[node["id"]]]
        node |= {"state": "", "open": "", "note": ""}
        if run is None:
            continue
        if not found:
            node["state"] = "pending" if run.state == "running" else "not reached"
            continue
        shown = min(found, key=lambda step: _FIRST.index(step.state))
        over = sum(step.state in ("completed", "skipped") for step in found)
        node |= {"state": shown.state, "open": shown.key}
        node["note"] = f"{over} of {len(found)}" if len(found) > 1 else _note(shown)
    return picture


def _note(step: StepView) -> str:
    if step.state == "completed" and step.type == "condition":
        return "yes" if isinstance(step.input, dict) and step.input.get("matched") else "no"
    if step.state == "running" and step.job_state == "delayed":
        return "tried again soon" if step.error else "in another queue"
    if step.attempts > 1:
        return f"attempt {step.attempts}"
    return ""


def step_row(step: StepView) -> dict[str, Any]:
    """One step, as the table and its drawer show it."""
    return {
        "key": step.key,
        "step_id": step.step_id,
        "kind": _KINDS.get(step.type, step.type),
        "state": step.state,
        "error": step.error or "",
        "attempts": step.attempts,
        "note": _note(step),
        "job_id": step.job_id or "",
        "wake_at": step.wake_at or "" if step.state == "waiting" else "",
        "created_at": step.created_at,
        "finished_at": step.finished_at or "",
        "input": pretty(step.input),
        "output": pretty(step.output),
    }


def pretty(value: Any) -> str:
    """JSON for people; '': nothing."""
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
