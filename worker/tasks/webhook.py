"""Queue `webhook`: a job carries up to 100 delivery ids."""

from __future__ import annotations

from typing import Annotated

from taskiq import Context, TaskiqDepends

from novapulse.webhooks.engine import Engine
from worker.broker import QueueBroker
from worker.receiver import TAKEOVER_LABEL

BATCH = 100


def _engine(context: Annotated[Context, TaskiqDepends()]) -> Engine:
    return context.state.engine


async def deliver(
    ids: list[str],
    context: Annotated[Context, TaskiqDepends()],
    engine: Annotated[Engine, TaskiqDepends(_engine)],
) -> None:
    """Send these deliveries; returns when each is recorded or back in the database."""
    await engine.deliver(ids, takeover_from=context.message.labels.get(TAKEOVER_LABEL))


def register(broker: QueueBroker, engine: Engine) -> None:
    """Let a broker run this queue's tasks."""
    broker.state.engine = engine
    broker.register_task(deliver, task_name="webhook.deliver")
