"""What happened beside the numbers: deploys, workers that come and go, and what operators did."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import orjson
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError
from sqlalchemy import select

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import rfc3339
from novapulse.core.runtime import Runtime
from novapulse.jobs.shapes import Mark
from novapulse.security.audit import AUDIT

_KEY = "{np}:marks"
_KEPT = 2_000
_MOST = 200  # marks in one answer
# Of the audit log: what is done to queues is seen by whoever sees the queues, the rest by who may read the log.
_QUEUE_NOUNS = ("queue",)
_ACT_NOUNS = ("job", "schedule", "workflow", "workflow_run", "webhook", "delivery", "mail_template")
_NO_MARK = ("job.pinned", "job.unpinned", "webhook.tested", "webhook.secret_revealed")  # change nothing that runs
_KINDS: dict[str, Literal["pause", "resume", "drain", "repair", "act"]] = {
    "queue.paused": "pause",
    "queue.resumed": "resume",
    "queue.drained": "drain",
    "queue.draining": "drain",
    "queue.repaired": "repair",
    "queue.corrected": "repair",
}


def note_workers(pipe: Pipeline, before: Mapping[str, str] | None, now: Mapping[str, str], at: int) -> None:
    """Keep what changed among the workers (name -> version) since the last look."""
    if before is None or before.keys() == now.keys():
        return
    old, new = set(before.values()), set(now.values())
    joined, gone = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    if old and new - old:
        kind, text = "deploy", f"Workers of version {', '.join(sorted(new - old))} (before: {', '.join(sorted(old))})"
    else:
        kind = "worker"
        text = "; ".join(_workers(names, what) for names, what in ((joined, "joined"), (gone, "gone")) if names)
    mark = {"at": at, "kind": kind, "text": text, "queue": None}
    pipe.xadd(_KEY, {"v": orjson.dumps(mark)}, maxlen=_KEPT, approximate=True)


async def read_marks(rt: Runtime, actor: Actor, since: int, until: int, queue: str | None = None) -> list[Mark]:
    """What happened in a span of time, oldest first: to one queue and to all, or to any."""
    actor.require(Permission.JOBS_READ)
    try:
        entries = await rt.valkey.xrevrange(_KEY, max=until, min=since, count=_MOST)
    except (RedisError, OSError, TimeoutError):
        entries = []
    found: list[tuple[int, Mark]] = []
    for _, fields in entries:
        mark: dict[str, Any] = orjson.loads(fields["v"])
        found.append((mark["at"], Mark.model_validate(mark | {"at": rfc3339(mark["at"])})))
    # The acts of people are of the whole deployment; who sees one tenant does not see them.
    if actor.tenant is None:
        found += await _acts(rt, actor, since, until, queue)
    found.sort(key=lambda pair: pair[0])
    return [mark for _, mark in found[-_MOST:]]


async def _acts(rt: Runtime, actor: Actor, since: int, until: int, queue: str | None) -> list[tuple[int, Mark]]:
    nouns = [*_QUEUE_NOUNS, *(_ACT_NOUNS if actor.may(Permission.AUDIT_READ) else ())]
    a = AUDIT.c
    async with rt.database.read() as session:
        rows = await session.execute(
            select(a.at, a.action, a.actor_name, a.target_id, a.target_name, a.detail)
            .where(a.at >= since, a.at <= until, a.noun.in_(nouns), a.action.not_in(_NO_MARK), a.result == "ok")
            .order_by(a.at.desc())
            .limit(_MOST)
        )
        found = rows.all()
    return [
        (row.at, _act(row))
        for row in found
        if queue is None or not row.action.startswith("queue.") or row.target_id == queue
    ]


def _act(row: Any) -> Mark:
    noun, _, verb = row.action.partition(".")
    of_queue = noun == "queue"
    note = orjson.loads(row.detail).get("note") if of_queue else None
    return Mark(
        at=rfc3339(row.at),
        kind=_KINDS.get(row.action, "act"),
        text=f"{_done(noun, verb, row)} by {row.actor_name}" + (f": {note}" if note else ""),
        queue=row.target_id if of_queue else None,
    )


def _done(noun: str, verb: str, row: Any) -> str:
    if noun == "job" and verb.startswith("bulk_"):
        return f"Many jobs {verb.removeprefix('bulk_')} at once"
    return f"{noun.replace('_', ' ').capitalize()} {row.target_name or row.target_id} {verb.replace('_', ' ')}"


def _workers(names: list[str], what: str) -> str:
    return f"worker {names[0]} {what}" if len(names) == 1 else f"{len(names)} workers {what}"
