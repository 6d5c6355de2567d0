"""The queues of jobs: an entry carries up to 100 ids, and says by them how many jobs are due."""

from __future__ import annotations

from typing import Annotated

from taskiq import Context, TaskiqDepends

from novapulse.core.runtime import Runtime
from novapulse.jobs.engine import Engine
from novapulse.jobs.engine.claim import Claim
from novapulse.jobs.engine.record import Ended
from novapulse.jobs.enqueue import RUN_TASK
from novapulse.jobs.models import JobState
from novapulse.jobs.observed import Observed
from novapulse.metrics.definitions import JOB_ATTEMPTS
from worker.broker import QueueBroker
from worker.receiver import TAKEOVER_LABEL


def _engine(context: Annotated[Context, TaskiqDepends()]) -> Engine:
    return context.state.jobs


async def run(
    ids: list[str],
    context: Annotated[Context, TaskiqDepends()],
    engine: Annotated[Engine, TaskiqDepends(_engine)],
) -> None:
    """Run as many jobs; returns when each is recorded or back in the database."""
    await engine.run(ids, takeover_from=context.message.labels.get(TAKEOVER_LABEL))


class JobsCrew:
    """Works on the queue; see `worker.runner.Crew`."""

    def __init__(self, rt: Runtime, owner: str, queue: str) -> None:
        self._queue = queue
        self._engine = Engine(rt, queue, owner, self._note)
        self._observed = rt.part(Observed)

    @property
    def in_flight(self) -> int:
        return self._engine.in_flight

    @property
    def slots(self) -> int:
        return self._engine.slots

    def room(self) -> int:
        return self._engine.room()

    def register(self, broker: QueueBroker) -> None:
        broker.state.jobs = self._engine
        broker.register_task(run, task_name=RUN_TASK)
        self._engine.begin()

    async def stop(self, grace_s: float) -> None:
        await self._engine.stop(grace_s)

    def _note(self, ended: Ended, claim: Claim) -> None:
        JOB_ATTEMPTS.add(1, self._queue, ended.state.value)
        if ended.state is not JobState.CANCELLED:
            waited_ms = max(0, ended.started_at - claim.run_at)
            ok = ended.state is JobState.COMPLETED
            self._observed.note(self._queue, waited_ms, ended.now - ended.started_at, ok)
