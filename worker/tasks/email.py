"""Queue `email`: a job carries up to 20 ids of messages in the outbox."""

from __future__ import annotations

import asyncio
from typing import Annotated

from taskiq import Context, TaskiqDepends

from novapulse.core.runtime import Runtime
from novapulse.mail.postman import Postman
from worker.broker import QueueBroker
from worker.receiver import TAKEOVER_LABEL
from worker.tasks.jobs import JobsCrew


def _postman(context: Annotated[Context, TaskiqDepends()]) -> Postman:
    return context.state.postman


async def send(
    ids: list[str],
    context: Annotated[Context, TaskiqDepends()],
    postman: Annotated[Postman, TaskiqDepends(_postman)],
) -> None:
    """Send these messages; returns when each is recorded or back in the database."""
    await postman.send(ids, takeover_from=context.message.labels.get(TAKEOVER_LABEL))


class EmailCrew(JobsCrew):
    """Works on the queue, on jobs and on the outbox; see `worker.runner.Crew`."""

    def __init__(self, rt: Runtime, owner: str, queue: str) -> None:
        super().__init__(rt, owner, queue)
        self._postman = Postman(rt, owner)

    @property
    def in_flight(self) -> int:
        return super().in_flight + self._postman.in_flight

    def room(self) -> int:
        return min(super().room(), self._postman.room())

    def register(self, broker: QueueBroker) -> None:
        super().register(broker)
        broker.state.postman = self._postman
        broker.register_task(send, task_name="email.send")

    async def stop(self, grace_s: float) -> None:
        await asyncio.gather(super().stop(grace_s), self._postman.stop(grace_s))
