"""Bringing a database up to date, or back: by `novapulse up`, `novapulse db upgrade` and `novapulse db downgrade`.

A new version's migrations leave what the version before it uses: processes of both work on the same database while an
upgrade is rolled out. What nobody uses any more is dropped one version later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from novapulse.core.database import Database


class RevisionError(Exception):
    """The database is not one that this version can work with, or no migration is called so; and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


@dataclass(frozen=True, slots=True)
class Revision:
    """Where a database stands."""

    now: str | None  # None: it is empty
    head: str  # where this version has it
    known: bool  # False: a newer version, or another branch of development, made it

    @property
    def behind(self) -> bool:
        """Whether migrations of this version have not been run yet."""
        return self.known and self.now != self.head

    def require_known(self) -> None:
        """Refuse to touch what a newer version made.

        Raises:
            RevisionError: this database is of a newer version.
        """
        if not self.known:
            raise RevisionError(
                f"The database is of a newer NovaPulse (revision {self.now}; this version knows up to {self.head}).",
                f"Install that version again. To go back for good, let it run `novapulse db downgrade {self.head}`.",
            )


def config_for(connection: Connection | None = None) -> Config:
    """What Alembic's commands take, to work on this connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """All that this version knows, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(config_for()).walk_revisions()][::-1]


def revision_on(connection: Connection) -> Revision:
    """Where the database of this connection stands."""
    known = revisions()
    now = MigrationContext.configure(connection).get_current_revision()
    return Revision(now, known[-1], now is None or now in known)


def upgrade_on(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision` in the transaction of this connection.

    Raises:
        RevisionError: the database is of a newer version.
        sqlalchemy.exc.SQLAlchemyError: it cannot be changed.
    """
    revision_on(connection).require_known()
    command.upgrade(config_for(connection), revision)


def downgrade_on(connection: Connection, revision: str) -> None:
    """Take migrations back to `revision` (`base`: all of them) in the transaction of this connection.

    Raises:
        RevisionError: there is no such revision, it is a later one, or the database is of a newer version.
        sqlalchemy.exc.SQLAlchemyError: it cannot be changed.
    """
    at, known = revision_on(connection), revisions()
    at.require_known()
    if revision not in (*known, "base"):
        raise RevisionError(f"There is no revision {revision}.", f"There are {', '.join(known)}.")
    if revision != "base" and (at.now is None or known.index(revision) > known.index(at.now)):
        raise RevisionError(f"The database is at revision {at.now}, which is before {revision}.", "Nothing to do.")
    command.downgrade(config_for(connection), revision)


def upgrade(url: str, revision: str = "head") -> None:
    """Run the migrations that the database at this SQLAlchemy URL has not had; several processes may try at once.

    Not for a running event loop: it starts one of its own.

    Raises:
        RevisionError: the database is of a newer version.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or changed; it is as it was.
    """
    asyncio.run(_change(url, lambda connection: upgrade_on(connection, revision)))


def downgrade(url: str, revision: str) -> None:
    """The same backwards, see `downgrade_on`."""
    asyncio.run(_change(url, lambda connection: downgrade_on(connection, revision)))


async def _change(url: str, change: Callable[[Connection], None]) -> None:
    # No limit: on a large table a migration takes its time, and so does waiting for another process's.
    database = Database(url, pool_size=1, statement_limit_s=None)
    try:
        async with database.write_connection() as connection:
            await connection.run_sync(change)
    finally:
        await database.close()


async def revision_of(database: Database) -> Revision:
    """Where this database stands."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(revision_on)


async def pending(database: Database) -> bool:
    """Whether the database is behind this version of NovaPulse.

    Not, when a newer version has changed it since: processes of this one go on.
    """
    return (await revision_of(database)).behind
