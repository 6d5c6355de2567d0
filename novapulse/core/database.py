"""The database: SQLite (WAL, every commit on disk) or Postgres, by one URL.

Reads use `read()`, writes use `write()`, the bulk writes of the hot paths `run_write()`. On SQLite
a write takes the write lock when it begins (`BEGIN IMMEDIATE`), so it never fails half-way because
another process wrote in between, and the writers of one process queue up in memory instead of
polling the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from functools import cache
from itertools import chain
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Dialect, Engine, StaticPool, Table, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlmodel import SQLModel

from novapulse.core import exact, tracing
from novapulse.metrics.definitions import DB_QUERY, DB_TRANSACTION, DB_WRITERS

_BUSY_TIMEOUT_MS = 15_000
_POLL_MS = (
    4  # SQLite looks for the lock ever more seldom, every 100 ms in the end: too late for who writes all the time
)
_ROWS_MAX = 64  # of one INSERT
_CONNECT_LIMIT_S = 12  # five round trips with TLS and SCRAM, on a network that takes two seconds for each

T = TypeVar("T")


class Database:
    """One engine per process."""

    def __init__(self, url: str, *, pool_size: int = 8, statement_limit_s: float | None = 30) -> None:
        self.is_sqlite = url.startswith("sqlite")
        options: dict[str, Any] = {
            "pool_size": pool_size,
            "max_overflow": 4,
            "pool_timeout": 15,
            "hide_parameters": True,  # errors are logged, and what a statement was given is no business of a log
            "json_serializer": exact.dumps,
            "json_deserializer": exact.loads,
        }
        if not self.is_sqlite:
            # A statement that outlives its limit is a fault, not work; a dead connection is noticed before use.
            connecting = {"timeout": _CONNECT_LIMIT_S, "command_timeout": statement_limit_s}
            options |= {"pool_pre_ping": True, "connect_args": connecting}
        self.engine: AsyncEngine = create_async_engine(url, **options)
        _time_statements(self.engine.sync_engine, "pool")
        self._write_lock = asyncio.Lock()
        self._writer: Engine | None = None
        if self.is_sqlite:
            _tune_sqlite(self.engine.sync_engine)
            # One connection, used by the one thread of `_write_thread`.
            del options["pool_size"], options["max_overflow"], options["pool_timeout"]
            self._writer = create_engine(
                url.replace("sqlite+aiosqlite:", "sqlite:"),
                poolclass=StaticPool,
                connect_args={"check_same_thread": False},
                **options,
            )
            _tune_sqlite(self._writer, poll_ms=_POLL_MS)
            _time_statements(self._writer, "writer")
            self._write_thread = ThreadPoolExecutor(1, "database-writer")

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """A session for reading; nothing is committed."""
        with tracing.transaction("read", is_sqlite=self.is_sqlite):
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
        with _counted_write(), tracing.transaction("write", is_sqlite=self.is_sqlite) as watch:
            if self.is_sqlite:
                async with self._write_lock, self.engine.connect() as connection:
                    writing = await connection.execution_options(novapulse_write=True)
                    async with writing.begin():
                        if watch is not None:
                            watch.begin()
                        yield writing
            else:
                async with self.engine.begin() as connection:
                    if watch is not None:
                        watch.begin()
                    yield connection

    async def run_write(self, work: Callable[[Connection], T], watch: tracing.Watch | None = None) -> T:
        """Run `work` in one transaction: committed when it returns, rolled back when it raises.

        On SQLite it runs in a thread, so that a transaction of many statements does not wait for a
        turn of the event loop after each one; on Postgres it is driven by the loop.

        `watch`: told of its times, by who writes the span of it; else it is one of what is being done now.
        """
        if watch is None:
            with tracing.transaction("write", is_sqlite=self.is_sqlite) as own:
                return await self._run_write(work if own is None else _watched(work, own))
        try:
            return await self._run_write(_watched(work, watch))
        finally:
            watch.end()

    async def _run_write(self, work: Callable[[Connection], T]) -> T:
        with _counted_write():
            if self._writer is None:
                async with self.engine.begin() as connection:
                    return await connection.run_sync(work)
            async with self._write_lock:
                # With the context of who asks: logs and jobs belong to its trace.
                context = copy_context()
                return await asyncio.get_running_loop().run_in_executor(
                    self._write_thread, lambda: context.run(self._write, work)
                )

    def _write(self, work: Callable[[Connection], T]) -> T:
        assert self._writer is not None
        with self._writer.connect().execution_options(novapulse_write=True) as connection, connection.begin():
            return work(connection)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        if self._writer is not None:
            self._write_thread.shutdown()
            self._writer.dispose()


def _watched(work: Callable[[Connection], T], watch: tracing.Watch) -> Callable[[Connection], T]:
    def begin(connection: Connection) -> T:
        watch.begin()
        return work(connection)

    return begin


def table_of(model: type[SQLModel]) -> Table:
    """The table of a model, for statements that work on columns and not on objects."""
    return cast(Table, getattr(model, "__table__"))  # noqa: B009 - SQLModel does not declare it


def bulk_insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns.

    The statement and its types are SQLAlchemy's; only its work per row, which costs more than
    SQLite's own, is left out.
    """
    columns = tuple(rows[0])
    sql, processors = _compiled_insert(table, columns, connection.dialect)
    values = [
        tuple(row[name] if process is None else process(row[name]) for name, process in processors) for row in rows
    ]
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(sql, values)
        return
    # Many rows to a statement: each step of SQLite gives the interpreter's lock away, and under load has to wait for
    # it again. Powers of two, so that few statements are prepared and all of them are kept.
    at = 0
    while left := len(values) - at:
        size = min(_ROWS_MAX, 1 << (left.bit_length() - 1))
        connection.exec_driver_sql(_many(sql, size), tuple(chain.from_iterable(values[at : at + size])))
        at += size


@cache
def _many(sql: str, rows: int) -> str:
    head, _, one = sql.partition(" VALUES ")
    return f"{head} VALUES {', '.join([one] * rows)}"


@cache
def _compiled_insert(
    table: Table, columns: tuple[str, ...], dialect: Dialect
) -> tuple[str, Sequence[tuple[str, Callable[[Any], Any] | None]]]:
    compiled = table.insert().compile(dialect=dialect, column_keys=list(columns))
    assert compiled.positiontup is not None, "both drivers take their parameters by position"
    processors = [
        (name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in compiled.positiontup
    ]
    return str(compiled), processors


@contextmanager
def _counted_write() -> Generator[None]:
    began = time.perf_counter()
    DB_WRITERS.add(1)
    try:
        yield
    finally:
        DB_WRITERS.add(-1)
        DB_TRANSACTION.observe(time.perf_counter() - began)


def _time_statements(engine: Engine, connection: str) -> None:
    DB_QUERY.place((connection,))  # here, because the writer's statements end in a thread

    @event.listens_for(engine, "before_cursor_execute")
    def _before(_c: Any, _cu: Any, _s: Any, _p: Any, context: Any, _m: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        context.novapulse_began = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def _after(_c: Any, _cu: Any, _s: Any, _p: Any, context: Any, _m: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        DB_QUERY.observe(time.perf_counter() - context.novapulse_began, connection)


def _tune_sqlite(engine: Engine, *, poll_ms: int = _BUSY_TIMEOUT_MS) -> None:
    @event.listens_for(engine, "connect")
    def _connect(dbapi: DBAPIConnection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        dbapi.isolation_level = None  # pyright: ignore[reportAttributeAccessIssue] - we emit BEGIN ourselves
        cursor = dbapi.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # a 202 means it is on disk
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA cache_size=-16000")  # 16 MB
        cursor.execute(f"PRAGMA busy_timeout={poll_ms}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        write = connection.get_execution_options().get("novapulse_write", False)
        if not write:
            connection.exec_driver_sql("BEGIN")
        elif poll_ms == _BUSY_TIMEOUT_MS:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            _begin_patiently(connection)


def _begin_patiently(connection: Connection) -> None:
    """Take the write lock of the connection of `_write_thread`, asking for it again and again."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    end = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise OperationalError("BEGIN IMMEDIATE", None, error) from error
