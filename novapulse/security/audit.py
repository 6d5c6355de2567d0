"""The audit log: who did what, on what, from where, and how it ended.

Rows are appended in the transaction of the act they tell of, so that neither is there without the other. Each row is
sealed by an HMAC over itself and the seal before it: a changed, removed or inserted row shows, and nobody without the
key can make the rest fit. Secrets never enter it: `detail` names what changed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.security.models import AuditEntry, AuditHead

AUDIT = table_of(AuditEntry)
HEAD = table_of(AuditHead)
_SEALED = (
    "seq", "id", "at", "actor_kind", "actor_id", "actor_name", "action", "target_kind", "target_id", "target_name",
    "result", "ip", "request_id", "detail",
)  # fmt: skip


async def append(
    rt: Runtime,
    session: AsyncSession,
    actor: Actor,
    action: str,
    *,
    target: tuple[str, str, str] = ("", "", ""),
    result: str = "ok",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a row within the transaction of `session`. Call it last: until the commit, others wait to append.

    `action` is `noun.verb` in the past (`webhook.deleted`), `target` is kind, id and name, `result` is `ok`, `denied`
    or `failed`.
    """
    head = (await session.execute(select(HEAD.c.seq, HEAD.c.seal).with_for_update())).one()
    bound = structlog.contextvars.get_contextvars()
    row: dict[str, Any] = {
        "seq": head.seq + 1,
        "id": new_id("aud"),
        "at": now_ms(),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "action": action,
        "target_kind": target[0],
        "target_id": target[1],
        "target_name": target[2][:300],
        "result": result,
        "ip": actor.ip,
        "request_id": str(bound.get("request_id", "")),
        "detail": orjson.dumps(dict(detail or {}), option=orjson.OPT_SORT_KEYS).decode(),
    }
    row["seal"] = seal(rt, row, head.seal)
    await session.execute(insert(AUDIT).values(row))
    await session.execute(update(HEAD).values(seq=row["seq"], seal=row["seal"]))


async def record(
    rt: Runtime,
    actor: Actor,
    action: str,
    *,
    target: tuple[str, str, str] = ("", "", ""),
    result: str = "ok",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """The same in a transaction of its own, for what changes nothing else: a denial, a look at a secret."""
    async with rt.database.write() as session:
        await append(rt, session, actor, action, target=target, result=result, detail=detail)


def seal(rt: Runtime, row: Mapping[str, Any], before: str) -> str:
    """The seal of a row that follows one sealed with `before`."""
    sealed = orjson.dumps([before, *(row[name] for name in _SEALED)])
    return hmac.new(rt.keyring.derive("audit"), sealed, hashlib.sha256).hexdigest()
