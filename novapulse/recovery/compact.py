"""Giving room back to the disk. What SQLite deletes it uses again, but its file never becomes smaller by itself."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import StaticPool, create_engine, make_url

from novapulse.recovery.archive import BackupError
from novapulse.settings import Settings


def compact(settings: Settings) -> tuple[int, int]:
    """Write the SQLite file anew without its holes; its size before and after, in bytes.

    Raises:
        BackupError: the database is no SQLite file.
        sqlalchemy.exc.SQLAlchemyError: somebody has been writing for 15 s, or the disk is full; nothing has changed.
    """
    url = make_url(settings.database)
    if not url.drivername.startswith("sqlite") or not url.database:
        raise BackupError("Only SQLite needs this. Postgres keeps itself tidy (autovacuum).")
    path = Path(url.database)
    before = path.stat().st_size
    _vacuum(str(url.set(drivername="sqlite")))
    return before, path.stat().st_size


def _vacuum(url: str) -> None:
    options = {"isolation_level": None, "timeout": 15, "check_same_thread": False}
    engine = create_engine(url, poolclass=StaticPool, connect_args=options)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        engine.dispose()
