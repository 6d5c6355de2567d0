"""Queue `webhook`: a job carries up to 100 delivery ids."""

from __future__ import annotations

from typing import Annotated

from taskiq import Context, TaskiqDepends

from novapulse.core.runtime import Runtime
from novapulse.webhooks.engine import Engine
from worker.broker import QueueBroker
from worker.receiver import TAKEOVER_LABEL

_BATCH = 100


def _engine(context: Annotated[Context, TaskiqDepends()]) -> Engine:
    return context.state.engine


async def deliver(
    ids: list[str],
    context: Annotated[Context, TaskiqDepends()],
    engine: Annotated[Engine, TaskiqDepends(_engine)],
) -> None:
    """Send these deliveries; returns when each is recorded or back in the database."""
    await engine.deliver(ids, takeover_from=context.message.labels.get(TAKEOVER_LABEL))


class WebhookCrew:
    """Works on the queue; see `worker.runner.Crew`."""

    def __init__(self, rt: Runtime, owner: str) -> None:
        self._engine = Engine(rt, owner)

    @property
    def in_flight(self) -> int:
        return self._engine.in_flight

    def room(self) -> int:
        return self._engine.free_slots() // _BATCH

    def register(self, broker: QueueBroker) -> None:
        broker.state.engine = self._engine
        broker.register_task(deliver, task_name="webhook.deliver")

    async def stop(self, grace_s: float) -> None:
        await self._engine.stop(grace_s)
