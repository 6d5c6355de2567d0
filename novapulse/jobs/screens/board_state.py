"""What is asked before a queue is paused, resumed, drained or repaired, and the doing of it."""

from __future__ import annotations

from typing import Any, get_args

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import current
from novapulse.jobs import modes
from novapulse.jobs.conservation import conservation, repair
from novapulse.jobs.counts import queue_stats
from novapulse.jobs.shapes import QueueView
from novapulse.jobs.tasks import QueueName
from novapulse.live.shown import count, span
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says

QUEUES: tuple[str, ...] = get_args(QueueName)
ACTS = {"pause": "Pause", "drain": "Drain", "resume": "Resume"}
_DONE = {
    "pause": "Paused: no worker begins anything new.",
    "drain": "Draining: what was made is worked off, then it pauses.",
    "resume": "Running again.",
}
_DO = {"pause": modes.pause, "drain": modes.drain, "resume": modes.resume}


class BoardState(rx.State):
    """The open question about a queue."""

    queue: str = ""  # '': none is open
    act: str = ""
    sentences: list[str] = []  # noqa: RUF012 - Reflex copies defaults
    problem: str = ""
    lost: list[str] = []  # noqa: RUF012 - jobs that Valkey has lost, of the queue that was asked about

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def ask(self, queue: str, act: str) -> Any:
        """Say what it would do, with the numbers of this moment."""
        if queue not in QUEUES or act not in ACTS:
            return None
        stats = await queue_stats(current(), await handler_actor(self))
        view = next(each for each in stats.queues if each.name == queue)
        self.queue, self.act, self.problem = queue, act, ""
        self.sentences = consequences(act, view)
        return None

    @handler(Permission.JOBS_WRITE)
    @rx.event
    def close(self) -> None:
        """Do nothing."""
        self.queue = ""

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def do(self, form: dict[str, Any]) -> Any:
        """Do what was asked about, with the note that was typed."""
        if self.queue not in QUEUES or self.act not in _DO:
            return None
        note = str(form.get("note", "")).strip().replace("\0", "")
        try:
            await _DO[self.act](current(), await handler_actor(self), self.queue, note)
        except ProblemError as error:
            self.problem = error.detail
            return None
        self.queue = ""
        return says.success(_DONE[self.act])

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def repair(self, queue: str) -> Any:
        """Make the counters what the rows say, and hand out again what Valkey lost."""
        if queue not in QUEUES:
            return None
        try:
            view = await repair(current(), await handler_actor(self), queue)
        except ProblemError as error:
            return says.error(error.detail)
        self.lost = []
        return says.success(" ".join(view.done) or "There was nothing to repair.")

    @handler(Permission.JOBS_READ)
    @rx.event
    async def show_lost(self, queue: str) -> None:
        """Name the jobs of a queue whose entries in Valkey are gone."""
        view = await conservation(current(), await handler_actor(self))
        self.lost = next((each.missing_ids for each in view.queues if each.name == queue), [])


def consequences(act: str, queue: QueueView) -> list[str]:
    """What an act will do to a queue, sentence by sentence."""
    active, waiting, delayed = (count(n) for n in (queue.active, queue.waiting, queue.delayed))
    if act == "pause":
        return [
            "Within a second no worker begins anything new from this queue.",
            f"What runs now finishes: {active}.",
            f"What waits ({waiting}) and what is delayed ({delayed}) stays as it is. New jobs are taken in, and wait.",
        ]
    if act == "drain":
        return [
            f"What was made up to now is worked off: {waiting} waiting, {active} running.",
            "What is made from now on is taken in, and waits.",
            f"Once the rest is done the queue is paused by itself; what is delayed until later ({delayed}) waits, too.",
        ]
    since = "" if queue.oldest_waiting_s is None else f", the oldest for {span(queue.oldest_waiting_s)}"
    said = ["Within a second workers begin again.", f"{waiting} waiting{since}."]
    if queue.mode_by:
        note = f": “{queue.mode_note}”" if queue.mode_note else "."
        said.append(f"It was {'paused' if queue.mode == 'paused' else 'set to drain'} by {queue.mode_by}{note}")
    return said
