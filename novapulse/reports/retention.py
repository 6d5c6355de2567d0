"""Deleting the files of reports whose time is over, and what is left of attempts that were killed."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import structlog
from sqlalchemy import delete, select, update

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.reports.changes import tell_changed
from novapulse.reports.models import Report, file_name

_REPORT = table_of(Report)
_r = _REPORT.c
_BATCH = 200
_REMEMBERED_MS = 90 * 24 * 3_600_000  # that there was a report, after its file was deleted
_ABANDONED_S = 24 * 3600.0  # no report is in the making for so long

log = structlog.get_logger(__name__)


async def expire_reports(rt: Runtime) -> None:
    """Delete files whose time is over, and mark their reports; forget reports that are long over."""
    now = now_ms()
    async with rt.database.read() as session:
        due = (
            await session.execute(
                select(_r.id, _r.format).where(_r.expires_at <= now, _r.expired_at.is_(None)).limit(_BATCH)
            )
        ).all()
    for row in due:
        await asyncio.to_thread((rt.settings.reports / file_name(row)).unlink, missing_ok=True)
    if due:
        ids = [row.id for row in due]
        async with rt.database.write() as session:
            await session.execute(update(_REPORT).where(_r.id.in_(ids)).values(expired_at=now))
        log.info("reports_expired", count=len(ids))
        await tell_changed(rt)
    async with rt.database.write() as session:
        # By an index: what expired so long ago has an `expires_at` that is older still.
        await session.execute(
            delete(_REPORT).where(_r.expires_at <= now - _REMEMBERED_MS, _r.expired_at <= now - _REMEMBERED_MS)
        )


async def tidy_folder(rt: Runtime) -> None:
    """Delete what no report of the database stands for: deleted or expired elsewhere, or left by a killed attempt."""
    names = await asyncio.to_thread(_old_names, rt.settings.reports)
    ids = [Path(name).stem for name in names if not name.startswith(".")]
    known: set[str] = set()
    for at in range(0, len(ids), _BATCH):
        async with rt.database.read() as session:
            rows = await session.execute(select(_r.id).where(_r.id.in_(ids[at : at + _BATCH]), _r.expired_at.is_(None)))
            known |= set(rows.scalars())
    for name in names:
        if Path(name).stem not in known:
            await asyncio.to_thread(_remove, rt.settings.reports / name)


def _old_names(folder: Path) -> list[str]:
    """What looks like ours and is older than any attempt; whatever else is in the folder is left alone."""
    before = time.time() - _ABANDONED_S
    return [
        entry.name
        for entry in (folder.iterdir() if folder.is_dir() else ())
        if entry.name.startswith(("rpt_", ".rpt_")) and entry.stat().st_mtime < before
    ]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
