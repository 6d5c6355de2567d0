"""What grows leaves when its time is over, what is owed never does, and the counts stay true."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, text

from novapulse.core import batches
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.ids import floor_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.conservation import _differences
from novapulse.webhooks import retention
from novapulse.webhooks.models import Attempt, Delivery, Event, Webhook, WebhookMinute

DAY = 24 * 3600 * 1000


async def plant(rt: Runtime, name: str, status: str, made_days: float, ended_days: float | None, number: int) -> None:
    """An event, its delivery and one attempt, made so many days ago, of which the delivery ended later or never."""
    now = now_ms()
    made = round(now - made_days * DAY)
    ended = None if ended_days is None else round(now - ended_days * DAY)

    def id_(prefix: Any, at: int) -> str:
        return f"{floor_id(prefix, at)[:-4]}{number:04x}"

    event = {"id": id_("evt", made), "type": name, "body": "{}", "created_at": made, "deliveries": 1}
    delivery = {
        "id": id_("dlv", made), "event_id": event["id"], "webhook_id": "wh_1", "event_type": name, "status": status,
        "created_at": made, "finished_at": ended,
    }  # fmt: skip
    tried = ended or made
    attempt = {"id": id_("att", tried), "delivery_id": delivery["id"], "number": 1, "ok": True, "started_at": tried}
    async with rt.database.write() as session:
        for model, row in ((Event, event), (Delivery, delivery), (Attempt, attempt)):
            await session.execute(insert(table_of(model)).values(row))


async def left(rt: Runtime) -> dict[str, list[int]]:
    """By name of event: how many rows of event, delivery and attempt are there."""
    query = text(
        "SELECT e.type, count(DISTINCT e.id), count(DISTINCT d.id), count(DISTINCT a.id) FROM event e"
        " LEFT JOIN delivery d ON d.event_id = e.id LEFT JOIN attempt a ON a.delivery_id = d.id GROUP BY e.type"
    )
    async with rt.database.read() as session:
        return {name: list(counts) for name, *counts in (await session.execute(query)).all()}


async def test_what_ended_leaves_and_what_is_owed_stays(any_rt: Runtime, monkeypatch: Any) -> None:
    # So small that each kind takes several transactions.
    for module in (batches, retention):
        monkeypatch.setattr(module, "AT_ONCE", 2)
    monkeypatch.setattr(batches.in_batches, "__defaults__", (2,))
    now = now_ms()
    async with any_rt.database.write() as session:
        await session.execute(insert(table_of(Webhook)).values(id="wh_1", url="https://a.example", event_types=["*"]))
        for days in (1, 399, 401, 402, 403, 404, 405):
            minute = (now - days * DAY) // 60_000
            await session.execute(insert(table_of(WebhookMinute)).values(webhook_id="wh_1", minute=minute, latency={}))
    for n in range(5):
        await plant(any_rt, f"gone {n}", ("delivered", "failed", "cancelled")[n % 3], 100, 91, n)
    await plant(any_rt, "ended lately", "failed", 100, 40, 10)
    await plant(any_rt, "owed", "retrying", 100, None, 11)
    await plant(any_rt, "young", "delivered", 29, 29, 12)

    # All attempts before the 30th day, the five deliveries, the five events.
    assert await retention.delete_old_events(any_rt) == 7 + 5 + 5
    assert await left(any_rt) == {"ended lately": [1, 1, 0], "owed": [1, 1, 0], "young": [1, 1, 1]}
    async with any_rt.database.read() as session:
        connection = await session.connection()
        assert await connection.run_sync(_differences) == {}
        gone = await session.execute(
            text("SELECT state, sum(n) FROM queue_count WHERE state LIKE 'gone%' AND n > 0 GROUP BY state")
        )
        assert dict(tuple(row) for row in gone) == {"gone_completed": 2, "gone_dead": 2, "gone_cancelled": 1}
        minutes = await session.execute(text("SELECT count(*) FROM webhook_minute"))
        assert minutes.scalar_one() == 2
    assert await retention.delete_old_events(any_rt) == 0
