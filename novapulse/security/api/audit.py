"""`/audit`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, parse_rfc3339
from novapulse.core.errors import InvalidError
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, Page
from novapulse.security import audit_export, audit_log, audit_verify
from novapulse.security.api.common import Cursor, Limit, Rt
from novapulse.security.audit_export import Format
from novapulse.security.audit_log import AuditFilter, AuditRow
from novapulse.security.audit_verify import Verdict
from novapulse.security.policy import RateClass, needs

router = APIRouter(route_class=ApiRoute, tags=["Accounts"])

_Text = Annotated[str | None, Query(max_length=200)]
_Moment = Annotated[str | None, Query(max_length=40, description="An RFC 3339 time.")]


def _filter(
    actor: Annotated[str | None, Query(max_length=300, description="An id, or the address of a user.")] = None,
    action: Annotated[str | None, Query(max_length=100, description="An action, or its noun: `webhook.`")] = None,
    target: Annotated[str | None, Query(max_length=200, description="An id.")] = None,
    result: Annotated[Literal["ok", "denied", "failed"] | None, Query()] = None,
    since: _Moment = None,
    until: _Moment = None,
    q: _Text = None,
) -> AuditFilter:
    return AuditFilter(
        actor=actor,
        action=action,
        target=target,
        result=result,
        since=_ms("since", since),
        until=_ms("until", until),
        q=q,
    )


_Wanted = Annotated[AuditFilter, Depends(_filter)]


@router.get("/audit")
async def list_audit(
    rt: Rt,
    actor: Annotated[Actor, needs(Permission.AUDIT_READ)],
    wanted: _Wanted,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[AuditRow]:
    """Who did what, newest first. With `q`, go on by the cursor until it is null: a page may have fewer rows."""
    return await audit_log.list_audit(rt, actor, wanted, limit=limit, cursor=cursor)


@router.get("/audit/export", response_class=StreamingResponse)
async def export_audit(
    rt: Rt,
    actor: Annotated[Actor, needs(Permission.AUDIT_READ, sudo=True, rate=RateClass.SENSITIVE)],
    wanted: _Wanted,
    format: Annotated[Format, Query()] = "csv",
) -> StreamingResponse:
    """The same as a file: `csv`, `json` (an array) or `jsonl` (one object per line). That it was made is recorded."""
    pieces = await audit_export.export(rt, actor, wanted, format)
    day = datetime.fromtimestamp(now_ms() / 1000, UTC).date().isoformat()
    headers = {
        "Content-Disposition": f'attachment; filename="novapulse-audit-{day}.{format}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(pieces, headers=headers, media_type=audit_export.MEDIA_TYPES[format])


@router.get("/audit/verify")
async def verify_audit(
    rt: Rt,
    actor: Annotated[Actor, needs(Permission.AUDIT_READ, rate=RateClass.SENSITIVE)],
    expect: Annotated[str | None, Query(max_length=100, description="A head noted before, as SEQ:SEAL.")] = None,
) -> Verdict:
    """Verify that no row was changed, removed or inserted; with `expect`, that it is not an older copy either."""
    return await audit_verify.verify(rt, actor, expect)


def _ms(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise InvalidError.at(f"/{name}", str(error)) from None
