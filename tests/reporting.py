"""What reports tell of: webhooks, deliveries, attempts, minutes and jobs at moments that a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from novapulse.core.database import bulk_insert, table_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.models import Job
from novapulse.webhooks.models import Attempt, Delivery, Event, Webhook, WebhookMinute

T0 = 1_790_000_040_000  # in September 2026; a whole minute
HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt, the only one of its delivery."""

    at: int
    ok: bool = True
    hook: str = "wh_" + "a" * 32
    tenant: str | None = None
    code: int | None = None
    error: str | None = None


def id_at(prefix: str, at: int, number: int) -> str:
    """An id that was made at `at`."""
    return f"{prefix}_{at:012x}{number:020x}"


async def add_webhook(rt: Runtime, id_: str, name: str = "", tenant: str | None = None) -> None:
    """A webhook, as a row."""
    row = {
        "id": id_, "name": name, "url": "https://hooks.example.com/in?token=not-for-reports", "description": "",
        "tenant": tenant, "event_types": ["*"], "headers": "", "timeout_s": 15.0, "ordered": False, "demo": False,
        "status": "active", "created_at": T0, "updated_at": T0,
    }  # fmt: skip
    await rt.database.run_write(lambda connection: bulk_insert(connection, table_of(Webhook), [row]))


async def add_attempts(rt: Runtime, tried: Sequence[Tried], *, event_type: str = "invoice.paid") -> None:
    """Deliveries with one attempt each."""
    events = [
        {
            "id": id_at("evt", each.at, n), "type": event_type, "tenant_key": "", "body": "{}", "timestamp": each.at,
            "created_at": each.at, "deliveries": 1,
        }
        for n, each in enumerate(tried)
    ]  # fmt: skip
    deliveries = [
        {
            "id": id_at("dlv", each.at, n), "event_id": id_at("evt", each.at, n), "webhook_id": each.hook,
            "event_type": event_type, "tenant": each.tenant, "status": "delivered" if each.ok else "failed",
            "attempts": 1, "schedule_from": 0, "manual": False, "enqueued_at": 0, "claims": 1, "crashes": 0,
            "lease_until": 0, "created_at": each.at, "finished_at": each.at,
        }
        for n, each in enumerate(tried)
    ]  # fmt: skip
    attempts = [
        {
            # The id is made when the attempt has ended.
            "id": id_at("att", each.at + 40, n), "delivery_id": id_at("dlv", each.at, n), "number": 1, "ok": each.ok,
            "started_at": each.at, "duration_ms": 40.0, "status_code": 200 if each.ok else each.code,
            "error": None if each.ok else each.error or "status", "response_truncated": False,
        }
        for n, each in enumerate(tried)
    ]  # fmt: skip

    def write(connection: Any) -> None:
        for table, rows in ((Event, events), (Delivery, deliveries), (Attempt, attempts)):
            for start in range(0, len(rows), 5_000):
                bulk_insert(connection, table_of(table), rows[start : start + 5_000])

    await rt.database.run_write(write)


async def add_minute(rt: Runtime, hook: str, at: int, good: int, bad: int, given_up: int = 0) -> None:
    """What is kept of a webhook's minute."""
    row = {
        "webhook_id": hook, "minute": at // 60_000, "delivered": good, "failed": given_up, "attempts": good + bad,
        "failed_attempts": bad, "latency": {"40": good + bad},
    }  # fmt: skip
    await rt.database.run_write(lambda connection: bulk_insert(connection, table_of(WebhookMinute), [row]))


async def add_job(rt: Runtime, number: int, ended: int, state: str = "completed", **values: Any) -> None:
    """A job that has ended, after it waited 200 ms and ran for 800 ms."""
    row = {
        "id": id_at("job", ended - 1_000, number), "queue": "workflow", "task": "some.task", "payload": "{}",
        "state": state, "priority": 5, "tenant": None, "created_by": "test", "pinned": False, "run_at": ended - 1_000,
        "max_attempts": 3, "timeout_s": 30.0, "attempts": 1, "crashes": 0, "enqueued_at": 0, "claims": 1,
        "lease_until": 0, "cancel_asked": False, "created_at": ended - 1_000, "started_at": ended - 800,
        "finished_at": ended,
    } | values  # fmt: skip
    await rt.database.run_write(lambda connection: bulk_insert(connection, table_of(Job), [row]))
