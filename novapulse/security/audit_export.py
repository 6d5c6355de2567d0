"""Handing out the audit log as a file: CSV (RFC 4180), a JSON array, or JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

import orjson

from novapulse.core.actor import Actor
from novapulse.core.clock import rfc3339
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.security.audit_log import AuditFilter, audit_row, last_seq, read_page, require_reader

Format = Literal["csv", "json", "jsonl"]
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8; header=present",  # RFC 4180, 3
    "json": "application/json",
    "jsonl": "application/jsonl",
}
_BATCH = 500  # rows in memory at a time
_COLUMNS = (
    "seq", "at", "id", "actor_kind", "actor_id", "actor_name", "action", "target_kind", "target_id", "target_name",
    "result", "ip", "request_id", "detail", "seal",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


async def export(rt: Runtime, actor: Actor, wanted: AuditFilter, format_: Format) -> AsyncGenerator[bytes]:
    """The rows that the filter lets through, newest first, piece by piece. That it was done is recorded before.

    Raises:
        ForbiddenError: not allowed; ReauthenticationError: not proven lately.
    """
    require_reader(actor)
    actor.require_sudo()
    facts = {"format": format_, "filter": wanted.model_dump(exclude_none=True)}
    await audit.record(rt, actor, "audit.exported", target=("audit", "", "audit log"), detail=facts)
    return _pieces(rt, wanted, format_, await last_seq(rt) + 1)


async def _pieces(rt: Runtime, wanted: AuditFilter, format_: Format, below: int) -> AsyncGenerator[bytes]:
    yield {"csv": _csv([_COLUMNS]), "json": b"[", "jsonl": b""}[format_]
    first = True
    more: int | None = below
    while more is not None:
        async with rt.database.read() as session:
            rows, more = await read_page(session, wanted, more, _BATCH)
        if not rows:
            continue
        if format_ == "csv":
            yield _csv([_cells(row) for row in rows])
        else:
            lines = [orjson.dumps(audit_row(row).model_dump()) for row in rows]
            lead = b"" if first or format_ == "jsonl" else b",\n"
            yield lead + (b",\n" if format_ == "json" else b"\n").join(lines) + (b"\n" if format_ == "jsonl" else b"")
        first = False
    if format_ == "json":
        yield b"]\n"


def _cells(row: Any) -> list[str]:
    values: dict[str, Any] = {**row._mapping, "at": rfc3339(row.at)}
    return [cell(str(values[name])) for name in _COLUMNS]


def cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP CSV injection; ASVS 5.0, 1.2.10)."""
    return "'" + text if text.startswith(_FORMULA) else text


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
