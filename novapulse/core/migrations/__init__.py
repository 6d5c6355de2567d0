"""Bringing a database up to date: `upgrade` at start, or by `novapulse db upgrade`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from novapulse.core.database import Database


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(url: str) -> None:
    """Run the migrations that the database at this SQLAlchemy URL has not had; several processes may try at once.

    Not for a running event loop: it starts one of its own.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or changed; it is as it was.
    """
    asyncio.run(_upgrade(url))


async def _upgrade(url: str) -> None:
    database = Database(url, pool_size=1)
    try:
        async with database.write_connection() as connection:
            await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))
    finally:
        await database.close()


async def pending(database: Database) -> bool:
    """Whether the database is behind this version of NovaPulse."""
    head = ScriptDirectory.from_config(_config()).get_current_head()

    def revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.engine.connect() as connection:
        return await connection.run_sync(revision) != head
