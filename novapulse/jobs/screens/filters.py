"""The filters of the list of jobs: in the URL, and as the services take them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

from novapulse.jobs.schemas import JobFilter, State
from novapulse.jobs.tasks import QueueName
from novapulse.ui.urls import chosen

QUEUES: tuple[str, ...] = get_args(QueueName)
STATES: tuple[str, ...] = get_args(State)
SPANS = {"15m": 900, "1h": 3600, "24h": 86_400, "7d": 7 * 86_400}
TEXTS = ("q", "task", "fingerprint", "schedule", "parent")
NAMES = (*TEXTS, "queue", "state", "span", "pinned")
_TEXT_MAX = 200


def of_url(query: Any) -> dict[str, str]:
    """What the URL says; what makes no sense is left out."""
    return {name: str(query.get(name, ""))[:_TEXT_MAX].replace("\0", "") for name in TEXTS} | {
        "queue": chosen(query, "queue", QUEUES),
        "state": chosen(query, "state", STATES),
        "span": chosen(query, "span", SPANS),
        "pinned": chosen(query, "pinned", ("1",)),
    }


def for_list(filters: Mapping[str, str], now: int) -> dict[str, Any]:
    """As `list_jobs` takes it; `now` in ms."""
    span = filters["span"]
    return {
        "queue": filters["queue"] or None,
        "state": filters["state"] or None,
        "task": filters["task"] or None,
        "q": filters["q"] or None,
        "fingerprint": filters["fingerprint"] or None,
        "schedule_id": filters["schedule"] or None,
        "parent_id": filters["parent"] or None,
        "pinned": True if filters["pinned"] else None,
        "since": now - SPANS[span] * 1000 if span else None,
    }


def for_bulk(filters: Mapping[str, str], now: int) -> JobFilter:
    """As bulk actions take it."""
    wanted = for_list(filters, now)
    since = wanted.pop("since")
    if since is not None:
        wanted["since"] = datetime.fromtimestamp(since / 1000, UTC)
    return JobFilter.model_validate({name: value for name, value in wanted.items() if value is not None})
