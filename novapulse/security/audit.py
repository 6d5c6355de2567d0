"""Appending to the audit log: who did what, on what, from where, and how it ended.

Rows are appended in the transaction of the act they tell of, so that neither is there without the other. Each is
sealed together with the one before it (`audit_seal`): a changed, removed or inserted row shows, and nobody without the
key can make the rest fit. Secrets never enter it: `detail` names what changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security.audit_seal import LogKeys, proof, seal
from novapulse.security.models import AuditEntry, AuditHead

AUDIT = table_of(AuditEntry)
HEAD = table_of(AuditHead)
Target = tuple[str, str, str]  # kind, id, name
_NAME_MAX = 300


async def append(
    rt: Runtime,
    session: AsyncSession,
    actor: Actor,
    action: str,
    *,
    target: Target = ("", "", ""),
    result: str = "ok",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a row within the transaction of `session`. Call it last: until the commit, others wait to append.

    `action` is `noun.verb` in the past (`webhook.deleted`), `target` is kind, id and name, `result` is `ok`, `denied`
    or `failed`.
    """
    # What the act itself locks comes before the log's head, in every transaction: no deadlock.
    await session.flush()
    connection = await session.connection()
    await connection.run_sync(
        lambda sync: append_on(rt, sync, actor, action, target=target, result=result, detail=detail)
    )


def append_on(
    rt: Runtime,
    connection: Connection,
    actor: Actor,
    action: str,
    *,
    target: Target = ("", "", ""),
    result: str = "ok",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """The same for a bulk write (`Database.run_write`). Last, too."""
    head = connection.execute(select(HEAD).with_for_update()).one()
    bound = structlog.contextvars.get_contextvars()
    row: dict[str, Any] = {
        "seq": head.seq + 1,
        "id": new_id("aud"),
        "at": now_ms(),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name[:_NAME_MAX],
        "action": action,
        "noun": action.partition(".")[0],
        "target_kind": target[0],
        "target_id": target[1],
        "target_name": target[2][:_NAME_MAX],
        "result": result,
        "ip": actor.ip,
        "request_id": str(bound.get("request_id", "")),
        "detail": orjson.dumps(dict(detail or {}), option=orjson.OPT_SORT_KEYS).decode(),
    }
    epochs, key = rt.part(LogKeys).for_next(head.keys, row["seq"])
    row["seal"] = seal(key, row, head.seal)
    after: dict[str, Any] = {"seq": row["seq"], "seal": row["seal"], "proof": proof(key, row["seq"], row["seal"])}
    if epochs is not head.keys:
        after["keys"] = epochs
    connection.execute(insert(AUDIT).values(row))
    connection.execute(update(HEAD).values(after))


async def record(
    rt: Runtime,
    actor: Actor,
    action: str,
    *,
    target: Target = ("", "", ""),
    result: str = "ok",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """The same in a transaction of its own, for what changes nothing else: a denial, an export."""
    async with rt.database.write() as session:
        await append(rt, session, actor, action, target=target, result=result, detail=detail)
