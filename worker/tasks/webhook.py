"""Queue `webhook`: a job carries up to 200 delivery ids."""

from __future__ import annotations

from typing import Annotated

from taskiq import Context, TaskiqDepends

from novapulse.core.ids import floor_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.modes import Modes
from novapulse.webhooks.engine import Engine
from worker.broker import QueueBroker
from worker.receiver import TAKEOVER_LABEL

_BATCH = 200


def _crew(context: Annotated[Context, TaskiqDepends()]) -> WebhookCrew:
    return context.state.webhook


async def deliver(
    ids: list[str],
    context: Annotated[Context, TaskiqDepends()],
    crew: Annotated[WebhookCrew, TaskiqDepends(_crew)],
) -> None:
    """Send these deliveries; returns when each is recorded or back in the database."""
    await crew.deliver(ids, takeover_from=context.message.labels.get(TAKEOVER_LABEL))


class WebhookCrew:
    """Works on the queue; see `worker.runner.Crew`."""

    def __init__(self, rt: Runtime, owner: str, queue: str) -> None:
        self._queue = queue
        self._modes = modes = rt.part(Modes)
        self._engine = Engine(rt, owner, lambda: modes.may_begin(queue))
        self.slots = rt.settings.worker_concurrency

    @property
    def in_flight(self) -> int:
        return self._engine.in_flight

    def room(self) -> int:
        if not self._modes.may_begin(self._queue):
            return 0
        return self._engine.free_slots() // _BATCH

    def register(self, broker: QueueBroker) -> None:
        broker.state.webhook = self
        broker.register_task(deliver, task_name="webhook.deliver")

    async def deliver(self, ids: list[str], *, takeover_from: str | None) -> None:
        """As the engine does; while the queue is drained, only what was made before: the rest is handed out again."""
        made_until = self._modes.made_until(self._queue)
        if made_until is not None:
            end = floor_id("dlv", made_until + 1)
            ids = [id_ for id_ in ids if id_ < end]
        if ids:
            await self._engine.deliver(ids, takeover_from=takeover_from)

    async def stop(self, grace_s: float) -> None:
        await self._engine.stop(grace_s)
