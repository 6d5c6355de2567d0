"""Pause, resume and drain of a queue: said in the database, mirrored to Valkey, seen by every worker within a second.

Paused, nothing new is begun and what runs finishes. Draining, what was made before is worked off; what is made after
waits, and once the rest is done the queue is paused. Work is taken in whatever the mode.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportGeneralTypeIssues=false
# redis-py says of some commands that they answer at once, which its asyncio client does not.

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Literal

import structlog
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core.actor import SYSTEM, Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError, InvalidError, NotFoundError
from novapulse.core.ids import floor_id
from novapulse.core.runtime import Runtime
from novapulse.jobs.models import Job, JobState, Queue
from novapulse.security import audit
from novapulse.webhooks.models import Delivery, DeliveryStatus

Mode = Literal["running", "paused", "draining"]
NOTE_MAX = 500
_HASH = "{np}:queues"
_LOOK_S = 0.4
_QUEUE = table_of(Queue)
_JOB = table_of(Job)
_DELIVERY = table_of(Delivery)
_ACTIONS: dict[Mode, str] = {"running": "queue.resumed", "paused": "queue.paused", "draining": "queue.draining"}

log = structlog.get_logger(__name__)


class QueueMode(BaseModel):
    """What was said of a queue, by whom and when."""

    name: str
    mode: Mode
    note: str
    changed_by: str
    changed_at: int  # ms; 0: never


async def pause(rt: Runtime, actor: Actor, queue: str, note: str = "") -> QueueMode:
    """Begin nothing new on any worker; what runs finishes.

    Raises:
        NotFoundError: no such queue.
    """
    return await _say(rt, actor, queue, "paused", note)


async def resume(rt: Runtime, actor: Actor, queue: str, note: str = "") -> QueueMode:
    """Go on."""
    return await _say(rt, actor, queue, "running", note)


async def drain(rt: Runtime, actor: Actor, queue: str, note: str = "") -> QueueMode:
    """Work off what was made so far, then pause."""
    return await _say(rt, actor, queue, "draining", note)


async def list_modes(rt: Runtime) -> dict[str, QueueMode]:
    """What was said of each queue, from the database."""
    async with rt.database.read() as session:
        rows = (await session.execute(select(_QUEUE))).all()
    return {row.name: QueueMode.model_validate(row, from_attributes=True) for row in rows}


async def mirror_modes(rt: Runtime) -> None:
    """Have Valkey say what the database says; by the scheduler, for when Valkey lost it."""
    await _mirror(rt, list((await list_modes(rt)).values()))


async def end_drains(rt: Runtime) -> None:
    """Pause queues that are drained; by the scheduler."""
    for said in (await list_modes(rt)).values():
        if said.mode != "draining" or await _owes(rt, said):
            continue
        q = _QUEUE.c
        async with rt.database.write() as session:
            done = await session.execute(
                update(_QUEUE)
                .where(q.name == said.name, q.mode == "draining", q.changed_at == said.changed_at)
                .values(mode="paused", changed_at=now_ms())
                .returning(*q)
            )
            row = done.one_or_none()
            if row is None:
                continue
            detail = {"why": "drained", "note": said.note}
            await audit.append(rt, session, SYSTEM, "queue.paused", target=_target(said.name), detail=detail)
        log.info("queue_drained", queue=said.name)
        await _mirror(rt, [QueueMode.model_validate(row, from_attributes=True)])


class Modes:
    """What this process knows of the queues' modes. Made by `Runtime.part`; `run` keeps it fresh."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._said: dict[str, QueueMode] = {}

    def may_begin(self, queue: str) -> bool:
        """Whether anything new may be begun."""
        said = self._said.get(queue)
        return said is None or said.mode != "paused"

    def made_until(self, queue: str) -> int | None:
        """Draining: only what was made until then (ms) may be begun; else None."""
        said = self._said.get(queue)
        return said.changed_at if said is not None and said.mode == "draining" else None

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> None:
        """Look once. What cannot be asked stays as it was last known."""
        try:
            found = [QueueMode.model_validate_json(each) for each in await self._rt.valkey.hvals(_HASH)]
        except (RedisError, OSError, TimeoutError, ValueError):
            found = []
        if not found:  # Valkey is away, or has lost it
            try:
                found = list((await list_modes(self._rt)).values())
            except (SQLAlchemyError, OSError, TimeoutError):
                return
        for said in found:
            known = self._said.get(said.name)
            if known is None or said.changed_at >= known.changed_at:  # never back to what was said before
                self._said[said.name] = said


async def _say(rt: Runtime, actor: Actor, queue: str, mode: Mode, note: str) -> QueueMode:
    actor.require(Permission.JOBS_WRITE)
    if actor.tenant is not None:
        raise ForbiddenError("A queue serves every tenant: only somebody of no tenant may pause, resume or drain it.")
    if len(note) > NOTE_MAX:
        raise InvalidError.at("/note", f"at most {NOTE_MAX} characters")
    q = _QUEUE.c
    async with rt.database.write() as session:
        before = (await session.execute(select(_QUEUE).where(q.name == queue).with_for_update())).one_or_none()
        if before is None:
            raise NotFoundError("queue", queue)
        values = {
            "mode": mode,
            "note": note,
            "changed_by": actor.name,
            "changed_at": max(now_ms(), before.changed_at + 1),
        }
        await session.execute(update(_QUEUE).where(q.name == queue).values(values))
        detail = {"note": note, "before": before.mode}
        await audit.append(rt, session, actor, _ACTIONS[mode], target=_target(queue), detail=detail)
    said = QueueMode(name=queue, **values)
    await _mirror(rt, [said])
    return said


def _target(queue: str) -> audit.Target:
    return ("queue", queue, queue)


async def _mirror(rt: Runtime, said: Sequence[QueueMode]) -> None:
    # Without it the scheduler does it soon.
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        await rt.valkey.hset(_HASH, mapping={each.name: each.model_dump_json() for each in said})


async def _owes(rt: Runtime, said: QueueMode) -> bool:
    """Whether something that was made before the drain waits or runs."""
    if said.name == "webhook":
        d = _DELIVERY.c
        owed = select(d.id).where(
            d.status.in_([DeliveryStatus.PENDING.value, DeliveryStatus.SENDING.value]),
            d.next_attempt_at.is_not(None),
            d.id < floor_id("dlv", said.changed_at + 1),
        )
    else:
        j = _JOB.c
        owed = select(j.id).where(
            j.queue == said.name,
            j.state.in_([JobState.WAITING.value, JobState.ACTIVE.value]),
            j.created_at <= said.changed_at,
        )
    async with rt.database.read() as session:
        return (await session.execute(owed.limit(1))).first() is not None
