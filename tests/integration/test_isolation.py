"""A receiver that hangs delays its own deliveries and nobody else's."""

from __future__ import annotations

import asyncio

from novapulse.core.actor import Actor
from novapulse.core.runtime import Runtime
from novapulse.webhooks import ingest, service
from novapulse.webhooks.engine import Engine
from novapulse.webhooks.schemas import EventIn, WebhookCreate
from tests.integration.test_engine import delivery_ids, rows
from tests.receiver import Answer, Arrival, receiving

EACH = 60  # events per webhook: more than one webhook may send at once


def rule(arrival: Arrival) -> Answer:
    return Answer(silent=True) if arrival.path == "/0" else Answer()


async def test_nine_receivers_get_everything_while_the_tenth_hangs(any_rt: Runtime, actor: Actor) -> None:
    with receiving(rule) as receiver:
        made = [
            await service.create_webhook(
                any_rt,
                actor,
                WebhookCreate(url=receiver.url(f"/{n}"), event_types=[f"kind.n{n}"], timeout_s=30),
            )
            for n in range(10)
        ]
        # The hanging one's are first in every batch.
        await ingest.accept_batch(any_rt, actor, [EventIn(type=f"kind.n{n % 10}", data=n) for n in range(EACH * 10)])
        engine = Engine(any_rt, "w1")
        ids = await delivery_ids(any_rt)
        batches = [asyncio.create_task(engine.deliver(ids[at : at + 100])) for at in range(0, len(ids), 100)]
        others = f"SELECT count(*) FROM delivery WHERE status = 'delivered' AND webhook_id != '{made[0].id}'"
        async with asyncio.timeout(25):  # less than the 30 s for which the tenth is waited for
            while (await rows(any_rt, others)) != [(EACH * 9,)]:
                await asyncio.sleep(0.05)
        assert await rows(any_rt, "SELECT count(*) FROM attempt") == [(EACH * 9,)], "the tenth still hangs"
        assert receiver.paths()["/0"] <= any_rt.settings.webhook_concurrency
        await engine.stop(0.1)
        await asyncio.gather(*batches)
    assert await rows(any_rt, "SELECT status, count(*) FROM delivery GROUP BY status ORDER BY status") == [
        ("delivered", EACH * 9),
        ("pending", EACH),
    ]
