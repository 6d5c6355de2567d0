"""Telling open screens that a workflow or a run changed."""

from __future__ import annotations

from novapulse.core.runtime import Runtime
from novapulse.webhooks.feed import Feed


def tell_run(rt: Runtime, workflow_id: str, run_id: str | None = None) -> None:
    """Something about this workflow is different now, and about this run of it."""
    ids = [workflow_id] if run_id is None else [workflow_id, run_id]
    rt.part(Feed).tell("workflow", [ids], lambda found: {"ids": found})
