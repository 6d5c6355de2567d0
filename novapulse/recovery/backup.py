"""Making a backup: one file, of the state of one moment, while NovaPulse runs.

It holds the whole database, the keys (locked with a passphrase) and, if asked for, the files of reports. Nothing of
Valkey: all that is there is made anew from the database.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection

from novapulse.core.clock import now_ms
from novapulse.core.crypto import key_id, read_keys
from novapulse.core.database import Database
from novapulse.core.migrations import revision_on
from novapulse.core.version import VERSION
from novapulse.recovery import sealed_keys
from novapulse.recovery.archive import BackupError, Header, Manifest, Reader, Writer
from novapulse.recovery.rows import chunks_of, columns_of, on_snapshot, tables_on
from novapulse.settings import Settings


@dataclass(frozen=True, slots=True)
class Summary:
    """What is in a backup."""

    header: Header
    manifest: Manifest

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(self.manifest.rows.values())

    def __str__(self) -> str:
        made = datetime.fromtimestamp(self.header.created_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        keys = "with the keys, locked" if self.header.with_keys else "WITHOUT the keys"
        return (
            f"{made}, version {self.header.version}, revision {self.header.revision}, {self.header.database}:"
            f" {self.rows:,} rows of {len(self.manifest.rows)} tables, {keys}"
        )


def name_at(ms: int) -> str:
    """The name of the file of a backup made then; names sort by time."""
    return f"novapulse-{datetime.fromtimestamp(ms / 1000, UTC):%Y%m%dT%H%M%SZ}.tar.gz"


async def make_backup(
    settings: Settings, to: BinaryIO, *, passphrase: str | None, with_reports: bool = False
) -> Summary:
    """Write a backup to an open file; without a passphrase it holds no keys.

    Raises:
        BackupError: there is no database yet, or no key.
        OSError, sqlalchemy.exc.SQLAlchemyError: it cannot be written, or the database not be read.
    """
    keys = read_keys(settings.secret_key.get_secret_value(), settings.data_dir)
    if not keys:
        raise BackupError("There is nothing to back up: NovaPulse has not been started with this data folder yet.")
    sealed = None if passphrase is None else sealed_keys.seal(keys, passphrase)
    reports = settings.reports if with_reports else None

    def write(connection: Connection) -> Summary:
        created_at = now_ms()
        revision = revision_on(connection)
        if revision.now is None:
            raise BackupError("There is nothing to back up: the database is empty.")
        tables = tables_on(connection)
        header = Header(
            version=VERSION,
            revision=revision.now,
            created_at=created_at,
            database=connection.dialect.name,
            key_ids=[key_id(key) for key in keys],
            with_keys=sealed is not None,
            with_reports=with_reports,
            tables={str(table.name): columns_of(table) for table in tables},
        )
        writer = Writer(to, header)
        if sealed is not None:
            writer.add("keys.json", sealed)
        for name, columns in header.tables.items():
            writer.manifest.rows[name] = 0
            for number, (data, rows) in enumerate(chunks_of(connection, name, columns)):
                writer.add(f"tables/{name}/{number:06}.jsonl", data)
                writer.manifest.rows[name] += rows
        if reports is not None:
            _add_reports(writer, reports)
        writer.end()
        return Summary(header, writer.manifest)

    database = Database(settings.database, pool_size=1, statement_limit_s=None)
    try:
        return await on_snapshot(database, settings.database, write)
    finally:
        await database.close()


def _add_reports(writer: Writer, folder: Path) -> None:
    for path in sorted(folder.glob("rpt_*")):
        # One that expires meanwhile is left out: its row is marked as expired next time.
        try:
            file = path.open("rb")
        except OSError:
            continue
        with file:
            writer.add_file(f"reports/{path.name}", file, os.fstat(file.fileno()).st_size)


@contextmanager
def new_file(path: Path) -> Generator[BinaryIO]:
    """A file for us alone that is there under its name only once it is whole and on disk.

    Raises:
        BackupError: there is one of this name.
    """
    if path.exists():
        raise BackupError(f"{path} is there already; choose another name.")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def verify(file: BinaryIO) -> Summary:
    """Read all of a backup, compare every checksum and count; what is in it.

    Raises:
        BackupError: it is damaged.
    """
    reader = Reader(file)
    rows = dict.fromkeys(reader.header.tables, 0)
    for name, member in reader.members():
        if name.startswith("tables/"):
            rows[name.split("/")[1]] += member.read().count(b"\n")
    assert reader.manifest is not None, "or `members` had raised"
    if rows != reader.manifest.rows:
        raise BackupError("This backup is damaged: rows are missing. Use another one.")
    return Summary(reader.header, reader.manifest)
