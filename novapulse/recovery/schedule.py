"""Backups that nobody has to think of: the elected scheduler has them made, and drops the oldest."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import structlog
from sqlalchemy import select

from novapulse.core.clock import now_ms
from novapulse.core.runtime import Runtime
from novapulse.recovery.backup import name_at
from novapulse.security.audit import AUDIT

MADE = "backup.made"
_AGAIN_S = 600.0  # after one that failed
_NAMES = "novapulse-*.tar.gz"

log = structlog.get_logger(__name__)


async def last_backup_at(rt: Runtime) -> int | None:
    """When the last backup was made (ms), by the schedule or by hand; None: never. The audit log knows."""
    last = select(AUDIT.c.at).where(AUDIT.c.action == MADE).order_by(AUDIT.c.seq.desc()).limit(1)
    async with rt.database.read() as session:
        return (await session.execute(last)).scalar_one_or_none()


class _Pace:
    """When to try again. Made by `Runtime.part`."""

    def __init__(self, _rt: Runtime) -> None:
        self.next = 0.0


async def back_up_when_due(rt: Runtime) -> Path | None:
    """Make a backup if one is due; where it is. By the scheduler, often."""
    settings, pace = rt.settings, rt.part(_Pace)
    if settings.backup_every_h is None or time.monotonic() < pace.next:
        return None
    last = await last_backup_at(rt)
    if last is not None and 0 <= now_ms() - last < settings.backup_every_h * 3_600_000:
        return None
    folder = settings.backups
    out = folder / name_at(now_ms())
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
    keys = [] if settings.backup_passphrase.get_secret_value() else ["--without-keys"]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "novapulse.cli", "backup", "--out", str(out), *keys),
        env=os.environ | _as_environment(rt),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await child.communicate()
    finally:
        if child.returncode is None:  # the scheduler is stopping
            child.kill()
    if child.returncode != 0:
        pace.next = time.monotonic() + _AGAIN_S
        log.error("backup_failed", said=said.decode(errors="replace").strip()[-500:])
        return None
    log.info("backup_made", file=str(out))
    await asyncio.to_thread(_drop_oldest, folder, settings.backup_keep)
    return out


def _as_environment(rt: Runtime) -> dict[str, str]:
    """The stores of this process: they may have been set by an option, or in a test."""
    settings = rt.settings
    secrets = {"SECRET_KEY": settings.secret_key, "BACKUP_PASSPHRASE": settings.backup_passphrase}
    plain = {"DATA_DIR": settings.data_dir.resolve(), "DATABASE_URL": settings.database_url}
    return {f"NOVAPULSE_{name}": str(value) for name, value in plain.items()} | {
        f"NOVAPULSE_{name}": value.get_secret_value() for name, value in secrets.items()
    }


def _drop_oldest(folder: Path, keep: int) -> None:
    for old in sorted(folder.glob(_NAMES))[:-keep]:
        old.unlink(missing_ok=True)
