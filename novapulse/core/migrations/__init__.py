"""Bringing a database up to date: `upgrade` at start, or by `novapulse db upgrade`."""

from __future__ import annotations

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


async def upgrade(database: Database) -> None:
    """Run the migrations that this database has not had; several processes may try at once."""
    async with database.write_connection() as connection:
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))


async def pending(database: Database) -> bool:
    """Whether the database is behind this version of NovaPulse."""
    head = ScriptDirectory.from_config(_config()).get_current_head()

    def revision(connection: Connection) -> str | None:
        return MigrationContext.configure(connection).get_current_revision()

    async with database.engine.connect() as connection:
        return await connection.run_sync(revision) != head
