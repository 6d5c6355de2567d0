"""Rows out of a database and into one, in a form that does not depend on which: what SQLite held, Postgres can take."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    StaticPool,
    Table,
    create_engine,
)
from sqlalchemy.util import await_only

from novapulse.core.database import Database
from novapulse.recovery.archive import Column

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20  # of a member, about: what a backup takes of memory is a few times this, or the largest row
_FETCH_MAX = 2_000
_APART = "alembic_version"  # the revision is in the header


async def on_snapshot(database: Database, url: str, work: Callable[[Connection], T]) -> T:
    """Run `work`, which only reads, on the state of one moment, while others go on writing."""
    if database.is_sqlite:
        return await asyncio.to_thread(_on_sqlite, url, work)
    async with database.engine.connect() as connection:
        one = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        return await one.run_sync(work)


def _on_sqlite(url: str, work: Callable[[Connection], T]) -> T:
    engine = create_engine(
        url.replace("sqlite+aiosqlite:", "sqlite:"),
        poolclass=StaticPool,
        connect_args={"isolation_level": None, "timeout": 15, "check_same_thread": False},
    )
    try:
        with engine.connect() as connection:
            # In WAL mode this is all it takes: what others write from now on is not seen, and does not wait.
            connection.exec_driver_sql("BEGIN")
            return work(connection)
    finally:
        engine.dispose()


def tables_on(connection: Connection) -> list[Table]:
    """The tables as they are, each after those it refers to."""
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != _APART]


def columns_of(table: Table) -> list[Column]:
    """How the values of a table are written."""
    return [Column(str(column.name), _kind(column.type)) for column in table.columns]


def _kind(type_: object) -> str:
    for kinds, kind in (
        ((Boolean,), "bool"),
        ((JSON,), "json"),
        ((LargeBinary,), "bytes"),
        ((Integer, BigInteger), "int"),
        ((Float, Numeric), "float"),
    ):
        if isinstance(type_, kinds):
            return kind
    return "text"


def chunks_of(connection: Connection, table: str, columns: Sequence[Column]) -> Iterator[tuple[bytes, int]]:
    """The rows of a table as pieces of JSON lines, and how many rows are in each."""
    as_text = "" if connection.dialect.name == "sqlite" else "::text"  # JSON as it is stored, and not read
    names = ", ".join(f'"{column.name}"{as_text if column.kind == "json" else ""}' for column in columns)
    result = connection.execution_options(stream_results=True, max_row_buffer=1).exec_driver_sql(
        f'SELECT {names} FROM "{table}"'  # noqa: S608 - names that the database itself has
    )
    write = [_WRITE.get(column.kind) for column in columns]
    lines: list[bytes] = []
    size, fetch = 0, 10
    while rows := result.fetchmany(fetch):
        fetched = 0
        for row in rows:
            values = [v if v is None or w is None else w(v) for v, w in zip(row, write, strict=True)]
            lines.append(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))
            fetched += len(lines[-1])
        size += fetched
        fetch = max(1, min(_FETCH_MAX, _CHUNK_BYTES * len(rows) // (fetched + 1)))
        if size >= _CHUNK_BYTES:
            yield b"".join(lines), len(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines), len(lines)


_WRITE: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "bytes": lambda value: base64.b64encode(value).decode(),
    "float": float,
}
_READ: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "bytes": base64.b64decode,
    "float": float,
}


def insert_chunk(connection: Connection, table: str, columns: Sequence[Column], data: bytes) -> int:
    """Write such a piece into a table that has these columns; how many rows."""
    read = [_READ.get(column.kind) for column in columns]
    rows = [
        tuple(v if v is None or r is None else r(v) for v, r in zip(orjson.loads(line), read, strict=True))
        for line in data.splitlines()
    ]
    names = [column.name for column in columns]
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        await_only(driver.copy_records_to_table(table, records=rows, columns=names))
    else:
        places = ", ".join("?" * len(names))
        quoted = ", ".join(f'"{name}"' for name in names)
        connection.exec_driver_sql(f'INSERT INTO "{table}" ({quoted}) VALUES ({places})', rows)  # noqa: S608 - as above
    return len(rows)


def without_triggers(connection: Connection, tables: Sequence[Table], work: Callable[[], None]) -> None:
    """Run `work` while no trigger counts or refuses: what comes back was counted when it was made."""
    if connection.dialect.name == "postgresql":
        for table in tables:
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER')
        work()
        for table in tables:
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ENABLE TRIGGER USER')
        return
    triggers = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all()
    for name, _ in triggers:
        connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
    work()
    for _, sql in triggers:
        connection.exec_driver_sql(sql)
