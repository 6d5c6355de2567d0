"""The database: SQLite (WAL, every commit on disk) or Postgres, by one URL.

Reads use `read()`, writes use `write()`. On SQLite a write takes the write lock when it begins
(`BEGIN IMMEDIATE`), so it never fails half-way because another process wrote in between, and the
writers of one process queue up in memory instead of polling the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

from sqlalchemy import Connection, Table, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlmodel import SQLModel

from novapulse.core import exact

_BUSY_TIMEOUT_MS = 15_000


class Database:
    """One engine per process."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.is_sqlite = url.startswith("sqlite")
        options: dict[str, Any] = {
            "pool_size": pool_size,
            "max_overflow": 4,
            "pool_timeout": 15,
            "json_serializer": exact.dumps,
            "json_deserializer": exact.loads,
        }
        if not self.is_sqlite:
            # A statement that outlives 30 s is a fault, not work; a dead connection is noticed before use.
            options |= {"pool_pre_ping": True, "connect_args": {"timeout": 5, "command_timeout": 30}}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        self._write_lock = asyncio.Lock()
        if self.is_sqlite:
            _tune_sqlite(self.engine)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """A session for reading; nothing is committed."""
        async with AsyncSession(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on any exception."""
        async with (
            self.write_connection() as connection,
            AsyncSession(bind=connection, expire_on_commit=False) as session,
        ):
            yield session
            await session.flush()

    @asynccontextmanager
    async def write_connection(self) -> AsyncGenerator[AsyncConnection]:
        """The same without the ORM, for the bulk writes of the hot paths."""
        if self.is_sqlite:
            async with self._write_lock, self.engine.connect() as connection:
                writing = await connection.execution_options(novapulse_write=True)
                async with writing.begin():
                    yield writing
        else:
            async with self.engine.begin() as connection:
                yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def table_of(model: type[SQLModel]) -> Table:
    """The table of a model, for statements that work on columns and not on objects."""
    return cast(Table, getattr(model, "__table__"))  # noqa: B009 - SQLModel does not declare it


def _tune_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(dbapi: DBAPIConnection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        dbapi.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue] - we emit BEGIN ourselves
        cursor = dbapi.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a 202 means it is on disk
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA cache_size=-16000")  # 16 MB
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        write = connection.get_execution_options().get("novapulse_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
