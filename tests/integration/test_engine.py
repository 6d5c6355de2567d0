"""The delivery engine on real stores, against a real receiver."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from novapulse.core.actor import Actor, Role
from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.webhooks import deliveries, ingest, service
from novapulse.webhooks.engine import Engine
from novapulse.webhooks.handout import hand_out
from novapulse.webhooks.schemas import EventAccepted, EventIn, RetryIn, WebhookCreate, WebhookPatch
from tests.calls import make_user
from tests.receiver import Answer, Arrival, receiving


async def rows(rt: Runtime, query: str) -> list[tuple[Any, ...]]:
    async with rt.database.read() as session:
        return [tuple(row) for row in await session.execute(text(query))]


async def send(rt: Runtime, actor: Actor, count: int, type_: str = "order.created") -> list[str]:
    answers = await ingest.accept_batch(rt, actor, [EventIn(type=type_, data={"n": n}) for n in range(count)])
    assert all(isinstance(answer, EventAccepted) for answer in answers)
    return [answer.id for answer in answers if isinstance(answer, EventAccepted)]


async def delivery_ids(rt: Runtime) -> list[str]:
    return [row[0] for row in await rows(rt, "SELECT id FROM delivery ORDER BY id")]


async def test_a_batch_is_signed_sent_and_recorded_once(any_rt: Runtime, actor: Actor) -> None:
    with receiving() as receiver:
        made = await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url(), headers={"x-team": "pay"}))
        events = await send(any_rt, actor, 150)
        engine = Engine(any_rt, "w1")
        await engine.deliver(await delivery_ids(any_rt))
        await engine.stop(1)
        assert sorted(receiver.counts()) == sorted(events)
        assert receiver.counts().total() == 150
        verifier = Verifier(made.secret)
        for arrival in receiver.arrivals:
            payload = verifier.verify(arrival.body, arrival.headers)
            assert payload["type"] == "order.created"
            assert arrival.headers["x-team"] == "pay"
    assert await rows(any_rt, "SELECT status, attempts, count(*) FROM delivery GROUP BY status, attempts") == [
        ("delivered", 1, 150)
    ]
    assert await rows(any_rt, "SELECT count(*), count(DISTINCT delivery_id) FROM attempt WHERE ok") == [(150, 150)]
    assert await rows(any_rt, "SELECT delivered, failed, attempts FROM webhook_minute") == [(150, 0, 150)]


async def test_a_failure_is_retried_by_the_handout_and_then_succeeds(any_rt: Runtime, actor: Actor) -> None:
    seen: list[Arrival] = []

    def rule(arrival: Arrival) -> Answer:
        seen.append(arrival)
        return Answer(503 if len(seen) == 1 else 200)

    with receiving(rule) as receiver:
        await service.create_webhook(
            any_rt, actor, WebhookCreate(url=receiver.url(), retry=RetryIn(schedule_s=[0, 0.1, 0.1]))
        )
        await send(any_rt, actor, 1)
        engine = Engine(any_rt, "w1")
        ids = await delivery_ids(any_rt)
        await engine.deliver(ids)
        detail = await deliveries.get_delivery(any_rt, actor, ids[0])
        assert detail.status == "retrying"
        assert detail.last_status_code == 503
        assert detail.next_attempt_at is not None
        await asyncio.sleep(0.3)
        assert await hand_out(any_rt) == 1
        await engine.deliver(ids)
        await engine.stop(1)
    detail = await deliveries.get_delivery(any_rt, actor, ids[0])
    assert (detail.status, [a.status_code for a in detail.attempts]) == ("delivered", [503, 200])
    assert len({arrival.headers["webhook-id"] for arrival in seen}) == 1


async def test_the_last_failure_ends_it_and_a_person_may_try_once_more(any_rt: Runtime, actor: Actor) -> None:
    with receiving(lambda _: Answer(500)) as receiver:
        await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url(), retry=RetryIn(schedule_s=[0])))
        await send(any_rt, actor, 1)
        engine = Engine(any_rt, "w1")
        (id_,) = await delivery_ids(any_rt)
        await engine.deliver([id_])
        assert (await deliveries.get_delivery(any_rt, actor, id_)).status == "failed"
        assert (await deliveries.retry_delivery(any_rt, actor, id_)).status == "retrying"
        await engine.deliver([id_])
        await engine.stop(1)
    detail = await deliveries.get_delivery(any_rt, actor, id_)
    assert (detail.status, detail.attempt_count) == ("failed", 2)


async def test_gone_disables_the_webhook_and_holds_the_rest_until_it_is_active_again(
    any_rt: Runtime, actor: Actor
) -> None:
    gone = True
    await make_user(any_rt)
    await make_user(any_rt, Role.VIEWER)
    with receiving(lambda _: Answer(410 if gone else 200)) as receiver:
        made = await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url()))
        await send(any_rt, actor, 1)
        engine = Engine(any_rt, "w1")
        (first,) = await delivery_ids(any_rt)
        await engine.deliver([first])
        webhook = await service.get_webhook(any_rt, actor, made.id)
        assert (webhook.status, webhook.disabled_reason) == ("disabled", "The receiver answered 410 Gone.")
        # Admins are told, in the transaction that disabled it: once, and nobody else.
        told = "SELECT recipient, private FROM email WHERE kind = 'webhook_disabled'"
        assert [(to, bool(private)) for to, private in await rows(any_rt, told)] == [("admin@example.com", False)]
        await send(any_rt, actor, 3)
        assert await hand_out(any_rt) == 0, "held deliveries are not handed out"
        gone = False
        await service.update_webhook(any_rt, actor, made.id, WebhookPatch(status="active"))
        assert await hand_out(any_rt) == 3
        await engine.deliver((await delivery_ids(any_rt))[1:])
        await engine.stop(1)
    assert await rows(any_rt, "SELECT status, count(*) FROM delivery GROUP BY status ORDER BY status") == [
        ("delivered", 3),
        ("failed", 1),
    ]


async def test_pausing_while_deliveries_are_queued_holds_them(any_rt: Runtime, actor: Actor) -> None:
    with receiving() as receiver:
        made = await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url()))
        await send(any_rt, actor, 5)
        await service.update_webhook(any_rt, actor, made.id, WebhookPatch(status="paused"))
        engine = Engine(any_rt, "w1")
        await engine.deliver(await delivery_ids(any_rt))
        assert not receiver.arrivals
        assert await rows(any_rt, "SELECT count(*) FROM delivery WHERE next_attempt_at IS NULL") == [(5,)]
        await service.update_webhook(any_rt, actor, made.id, WebhookPatch(status="active"))
        await engine.deliver(await delivery_ids(any_rt))
        await engine.stop(1)
        assert len(receiver.arrivals) == 5


async def test_an_ordered_webhook_gets_its_events_in_order_and_waits_for_a_failure(
    any_rt: Runtime, actor: Actor
) -> None:
    fail_once = {"n": 3}

    def rule(arrival: Arrival) -> Answer:
        if orjson.loads(arrival.body)["data"] == fail_once:
            fail_once.clear()
            return Answer(500)
        return Answer()

    with receiving(rule) as receiver:
        await service.create_webhook(
            any_rt, actor, WebhookCreate(url=receiver.url(), ordered=True, retry=RetryIn(schedule_s=[0, 0.1]))
        )
        await send(any_rt, actor, 10)
        engine = Engine(any_rt, "w1")
        ids = await delivery_ids(any_rt)
        await engine.deliver(ids[5:])
        await engine.deliver(ids[:5])
        for _ in range(100):
            await hand_out(any_rt)
            await engine.deliver(ids)
            if len(receiver.arrivals) == 11:
                break
            await asyncio.sleep(0.05)
        await engine.stop(1)
        assert [orjson.loads(a.body)["data"]["n"] for a in receiver.arrivals] == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    assert await rows(any_rt, "SELECT status, count(*) FROM delivery GROUP BY status") == [("delivered", 10)]


async def test_a_claim_taken_over_wins_and_the_zombie_records_nothing(any_rt: Runtime, actor: Actor) -> None:
    answers = iter([Answer(delay_s=1.0), Answer()])
    with receiving(lambda _: next(answers)) as receiver:
        await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url()))
        await send(any_rt, actor, 1)
        (id_,) = await delivery_ids(any_rt)
        zombie, successor = Engine(any_rt, "zombie"), Engine(any_rt, "successor")
        slow = asyncio.create_task(zombie.deliver([id_]))
        while not receiver.arrivals:
            await asyncio.sleep(0.02)
        await successor.deliver([id_])
        assert len(receiver.arrivals) == 1, "a live claim is respected"
        await successor.deliver([id_], takeover_from="zombie")
        await slow
        await zombie.stop(1)
        await successor.stop(1)
    assert await rows(any_rt, "SELECT worker, number FROM attempt") == [("successor", 1)]
    assert await rows(any_rt, "SELECT status, attempts, crashes FROM delivery") == [("delivered", 1, 0)]


async def test_what_is_handed_out_again_while_it_is_being_sent_keeps_its_claim(any_rt: Runtime, actor: Actor) -> None:
    """After a long pause a worker's claims were ended and queued again, and it is the one that reads them."""
    with receiving(lambda _: Answer(delay_s=0.5)) as receiver:
        await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url()))
        await send(any_rt, actor, 3)
        engine = Engine(any_rt, "w1")
        ids = await delivery_ids(any_rt)
        first = asyncio.create_task(engine.deliver(ids))
        while len(receiver.arrivals) < 3:
            await asyncio.sleep(0.01)
        async with any_rt.database.write() as session:
            await session.execute(text("UPDATE delivery SET lease_until = 0, enqueued_at = 1"))
        await engine.deliver(ids, takeover_from="w1")
        await first
        await engine.stop(1)
    assert await rows(any_rt, "SELECT status, count(*) FROM delivery GROUP BY status") == [("delivered", 3)]


async def test_what_was_committed_and_never_queued_is_found(any_rt: Runtime, actor: Actor) -> None:
    with receiving() as receiver:
        await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url()))
        await send(any_rt, actor, 7)
        await asyncio.sleep(0.2)
        await any_rt.valkey.flushall()
        assert await hand_out(any_rt) == 0, "they may still be on their way"
        async with any_rt.database.write() as session:
            await session.execute(text("UPDATE delivery SET enqueued_at = :old"), {"old": now_ms() - 10_000})
        assert await hand_out(any_rt) == 7
        assert await hand_out(any_rt) == 0


async def test_a_rate_limit_spreads_deliveries_without_costing_attempts(any_rt: Runtime, actor: Actor) -> None:
    with receiving() as receiver:
        await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url(), rate_limit=5))
        await send(any_rt, actor, 20)
        engine = Engine(any_rt, "w1")
        await engine.deliver(await delivery_ids(any_rt))
        assert len(receiver.arrivals) == 5, "one second's worth at once"
        waiting = await rows(any_rt, "SELECT attempts, reason, next_attempt_at FROM delivery WHERE status = 'pending'")
        await engine.stop(1)
    assert len(waiting) == 15
    assert {row[0] for row in waiting} == {0}
    assert waiting[0][1] == "The webhook's rate limit is 5 per second."
    assert max(row[2] for row in waiting) - min(row[2] for row in waiting) >= 2_000


async def test_stopping_gives_back_what_has_not_begun_and_what_does_not_end(any_rt: Runtime, actor: Actor) -> None:
    with receiving(lambda _: Answer(silent=True)) as receiver:
        await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url(), timeout_s=30))
        await send(any_rt, actor, 60)
        engine = Engine(any_rt, "w1")
        running = asyncio.create_task(engine.deliver(await delivery_ids(any_rt)))
        while len(receiver.arrivals) < 32:
            await asyncio.sleep(0.02)
        await engine.stop(0.3)
        await asyncio.wait_for(running, 5)
    assert await rows(any_rt, "SELECT status, attempts, count(*) FROM delivery GROUP BY status, attempts") == [
        ("pending", 0, 60)
    ]
    assert await rows(any_rt, "SELECT count(*) FROM attempt") == [(0,)]


async def test_a_stop_while_something_is_being_claimed_leaves_nobody_waiting(any_rt: Runtime, actor: Actor) -> None:
    with receiving() as receiver:
        await service.create_webhook(any_rt, actor, WebhookCreate(url=receiver.url()))
        for turns in (0, 1, 2, 4, 8, 16):
            await send(any_rt, actor, 60)  # more than may be sent to one webhook at once
            ids = [row[0] for row in await rows(any_rt, "SELECT id FROM delivery WHERE status = 'pending'")]
            engine = Engine(any_rt, f"w-{turns}")
            delivering = asyncio.create_task(engine.deliver(ids))
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.wait_for(engine.stop(5), 20)
            await asyncio.wait_for(delivering, 5)
            assert await rows(any_rt, "SELECT count(*) FROM delivery WHERE status = 'sending'") == [(0,)], turns


async def test_paused_nothing_more_is_sent_and_all_of_it_later(any_rt: Runtime, actor: Actor) -> None:
    may_begin = True

    def rule(_: Arrival) -> Answer:
        nonlocal may_begin
        may_begin = False
        return Answer(200)

    with receiving(rule) as receiver, receiving(rule) as in_order:
        engine = Engine(any_rt, "w1", lambda: may_begin)
        for ordered, each in ((False, receiver), (True, in_order)):
            await service.create_webhook(any_rt, actor, WebhookCreate(url=each.url(), ordered=ordered))
        await send(any_rt, actor, 60)
        ids = await delivery_ids(any_rt)
        async with asyncio.timeout(20):
            await engine.deliver(ids)
        sent = len(receiver.arrivals) + len(in_order.arrivals)
        assert 1 <= sent <= any_rt.settings.webhook_concurrency + 1, "what was begun is ended"
        assert (await rows(any_rt, "SELECT count(*) FROM delivery WHERE status = 'pending'")) == [(120 - sent,)]
        await engine.deliver(ids)
        assert len(receiver.arrivals) + len(in_order.arrivals) == sent
        async with asyncio.timeout(20):
            while (await rows(any_rt, "SELECT count(*) FROM delivery WHERE status = 'delivered'")) != [(120,)]:
                may_begin = True
                await hand_out(any_rt)
                await engine.deliver(ids)
        await engine.stop(1)
    assert len(receiver.arrivals) == len(in_order.arrivals) == 60
    numbers = [orjson.loads(arrival.body)["data"]["n"] for arrival in in_order.arrivals]
    assert numbers == sorted(numbers)
