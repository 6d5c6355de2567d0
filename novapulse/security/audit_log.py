"""Reading the audit log, newest first.

Which index a filter uses: `actor` ix_audit_actor, `target` ix_audit_target, an action ix_audit_action, the beginning
of one (`webhook.`) ix_audit_noun, `result` ix_audit_result, each followed by `seq`, which is the order of the log;
`since` and `until` become bounds of `seq` by ix_audit_at. A text is looked for in a window of rows at a time.
"""

from __future__ import annotations

from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError, InvalidError, NotFoundError
from novapulse.core.pagination import Page, decode_cursor, encode_cursor
from novapulse.core.runtime import Runtime
from novapulse.security.audit import AUDIT, HEAD
from novapulse.security.models import User

_USER = table_of(User)
_CURSOR = "seq_"
_WINDOW = 20_000  # rows a text is looked for in, per page
_SEQ_MAX = 2**63 - 1


class Who(BaseModel):
    """Who acted."""

    kind: str = Field(description="`user`, `api_key` or `system`.")
    id: str
    name: str


class What(BaseModel):
    """What was acted on."""

    kind: str
    id: str
    name: str


class AuditRow(BaseModel):
    """A row of the log."""

    seq: int = Field(description="Its number, without gaps.")
    id: str
    at: str
    actor: Who
    action: str = Field(description="A noun and what happened to it, e.g. `webhook.deleted`.")
    target: What | None
    result: str = Field(description="`ok`, `denied` or `failed`.")
    ip: str
    request_id: str
    detail: dict[str, Any]
    seal: str = Field(description="HMAC-SHA256 of this row and the seal of the one before.")


class AuditFilter(BaseModel):
    """Which rows; what is left out does not restrict. Times in ms."""

    model_config = ConfigDict(frozen=True)

    actor: str | None = None  # an id, or the address of a user
    action: str | None = None  # a whole action, or its noun with a dot
    target: str | None = None  # an id
    result: Literal["ok", "denied", "failed"] | None = None
    since: int | None = None
    until: int | None = None
    q: str | None = None


def require_reader(actor: Actor) -> None:
    """Refuse who may not read the log.

    Raises:
        ForbiddenError: no permission, or a key of one tenant: the log is of all.
    """
    actor.require(Permission.AUDIT_READ)
    if actor.tenant is not None:
        raise ForbiddenError(f"This key may only act for tenant '{actor.tenant}'; the audit log is of all tenants.")


async def list_audit(
    rt: Runtime, actor: Actor, wanted: AuditFilter, *, limit: int = 50, cursor: str | None = None
) -> Page[AuditRow]:
    """Rows, newest first. With a text, a page may have fewer rows and be followed by others all the same."""
    require_reader(actor)
    below = _SEQ_MAX if cursor is None else decode_seq(cursor)
    async with rt.database.read() as session:
        rows, next_below = await read_page(session, wanted, below, limit)
    shown = [audit_row(row) for row in rows]
    return Page(data=shown, next_cursor=None if next_below is None else encode_cursor(f"{_CURSOR}{next_below}"))


async def get_audit_row(rt: Runtime, actor: Actor, seq: int) -> AuditRow:
    """One row; NotFoundError if there is none of this number."""
    require_reader(actor)
    async with rt.database.read() as session:
        row = (await session.execute(select(AUDIT).where(AUDIT.c.seq == min(seq, _SEQ_MAX)))).one_or_none()
    if row is None:
        raise NotFoundError("row of the audit log", str(seq))
    return audit_row(row)


async def last_seq(rt: Runtime) -> int:
    """The number of the newest row: it changes when there is something new to read."""
    async with rt.database.read() as session:
        return (await session.execute(select(HEAD.c.seq))).scalar_one()


async def read_page(session: AsyncSession, wanted: AuditFilter, below: int, limit: int) -> tuple[list[Any], int | None]:
    """Up to `limit` rows before number `below`, and the number to go on before; None: there are no more."""
    conditions = await _conditions(session, wanted)
    low, high = await _bounds(session, wanted)
    high = min(high, below - 1)
    if wanted.q:
        newest = await session.execute(select(func.max(AUDIT.c.seq)).where(AUDIT.c.seq <= high))
        high = newest.scalar_one() or 0
        window = max(low, high - _WINDOW + 1)
    else:
        window = low
    rows = (
        await session.execute(
            select(AUDIT)
            .where(AUDIT.c.seq >= window, AUDIT.c.seq <= high, *conditions)
            .order_by(AUDIT.c.seq.desc())
            .limit(limit + 1)
        )
    ).all()
    if len(rows) > limit:
        return list(rows[:limit]), rows[limit - 1].seq
    return list(rows), window if window > max(low, 1) else None


def decode_seq(cursor: str) -> int:
    """The number in a cursor of this list.

    Raises:
        InvalidError: it is not one.
    """
    digits = decode_cursor(cursor, _CURSOR).removeprefix(_CURSOR)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise InvalidError.at("/cursor", "this cursor is not one of this list; start without one")
    return int(digits)


def audit_row(row: Any) -> AuditRow:
    """A row of the table as the API shows it."""
    target = What(kind=row.target_kind, id=row.target_id, name=row.target_name)
    return AuditRow(
        seq=row.seq,
        id=row.id,
        at=rfc3339(row.at),
        actor=Who(kind=row.actor_kind, id=row.actor_id, name=row.actor_name),
        action=row.action,
        target=target if row.target_kind else None,
        result=row.result,
        ip=row.ip,
        request_id=row.request_id,
        detail=orjson.loads(row.detail),
        seal=row.seal,
    )


async def _conditions(session: AsyncSession, wanted: AuditFilter) -> list[ColumnElement[bool]]:
    a = AUDIT.c
    found: list[ColumnElement[bool]] = []
    if wanted.actor:
        found.append(a.actor_id == await _actor_id(session, wanted.actor))
    if wanted.action:
        noun, dot, verb = wanted.action.partition(".")
        found.append(a.action == wanted.action if dot and verb else a.noun == noun)
    if wanted.target:
        found.append(a.target_id == wanted.target)
    if wanted.result:
        found.append(a.result == wanted.result)
    # The bounds of `seq` do the finding. Clocks may have gone back, so the times themselves decide, but no index is
    # to be chosen for them (`+ 0`), or the rows of a long span would all be sorted.
    if wanted.since is not None:
        found.append(a.at + 0 >= wanted.since)
    if wanted.until is not None:
        found.append(a.at + 0 < wanted.until)
    if wanted.q:
        plain = wanted.q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        columns = (a.actor_name, a.action, a.target_name, a.target_id, a.ip, a.request_id, a.detail)
        found.append(or_(*(column.ilike(f"%{plain}%", escape="\\") for column in columns)))
    return found


async def _bounds(session: AsyncSession, wanted: AuditFilter) -> tuple[int, int]:
    """The lowest and highest number that rows of the span of time have."""
    low, high = -_SEQ_MAX, _SEQ_MAX
    if wanted.since is not None:
        first = (await session.execute(select(func.min(AUDIT.c.seq)).where(AUDIT.c.at >= wanted.since))).scalar_one()
        low = _SEQ_MAX if first is None else first
    if wanted.until is not None:
        last = (await session.execute(select(func.max(AUDIT.c.seq)).where(AUDIT.c.at < wanted.until))).scalar_one()
        high = -_SEQ_MAX if last is None else last
    return low, high


async def _actor_id(session: AsyncSession, given: str) -> str:
    if "@" not in given:
        return given
    known = await session.execute(select(_USER.c.id).where(_USER.c.email == given.strip().lower()))
    return known.scalar_one_or_none() or given
