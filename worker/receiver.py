"""Running jobs: Taskiq's Receiver, with a callback that loses nothing.

Taskiq acknowledges what it cannot parse or does not know, and a middleware that raises leaves a job
un-acknowledged for ever. Here the first are parked, and the second is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from taskiq import AckableMessage, TaskiqMessage, TaskiqMiddleware
from taskiq.receiver import Receiver
from taskiq.utils import maybe_awaitable

from worker.broker import Entry, QueueBroker

TAKEOVER_LABEL = "takeover_from"

log = structlog.get_logger(__name__)


class QueueReceiver(Receiver):
    """The receiver of one queue."""

    broker: QueueBroker
    _finish: asyncio.Event | None = None

    async def listen(self, finish_event: asyncio.Event) -> None:
        """Run jobs until the event is set, and those that run by then to their end."""
        self._finish = self.broker.ending = finish_event
        await super().listen(finish_event)

    async def callback(self, message: bytes | AckableMessage, raise_err: bool = False) -> None:  # noqa: ARG002 - Taskiq's signature
        """Run one job and acknowledge it."""
        if not isinstance(message, Entry):
            raise TypeError("a QueueReceiver runs the entries of a QueueBroker")
        if self._finish is not None and self._finish.is_set():
            return  # read at the last moment: not acknowledged, so that others take it over
        try:
            job = self.broker.formatter.loads(message.data)
            job.parse_labels()
        except Exception as error:
            await self.broker.park(message, f"not a job: {type(error).__name__}")
            return
        task = self.broker.find_task(job.task_name)
        if task is None:
            # A newer web process may know a task that this worker does not.
            await self.broker.park(message, f"unknown task '{job.task_name[:100]}'")
            return
        if message.takeover_from is not None:
            job.labels[TAKEOVER_LABEL] = message.takeover_from
        for middleware in self.broker.middlewares:
            job = await _quietly(middleware, "pre_execute", job, lambda m=middleware, j=job: m.pre_execute(j))
        result = await self.run_task(task.original_func, job)
        if result.is_err:
            log.error("job_failed", task=job.task_name, error=repr(result.error)[:300])
        for middleware in reversed(self.broker.middlewares):
            await _quietly(middleware, "post_execute", None, lambda m=middleware: m.post_execute(job, result))
        await self.broker.finish(message)


async def _quietly(
    middleware: TaskiqMiddleware,
    hook: str,
    otherwise: Any,
    call: Callable[[], Any | Awaitable[Any]],
) -> TaskiqMessage | Any:
    if getattr(type(middleware), hook) is getattr(TaskiqMiddleware, hook):
        return otherwise
    try:
        return await maybe_awaitable(call())
    except Exception as error:
        log.error("middleware_failed", middleware=type(middleware).__name__, hook=hook, error=repr(error)[:300])
        return otherwise
