"""Restoring a backup, into SQLite or Postgres whichever it was taken from, all or nothing.

The tables are made as they were when the backup was taken, filled, and brought up to this version, in one transaction:
whatever goes wrong, the database is as it was. Then the keys, what Valkey still held of before, and a row of the audit
log. Nobody stays signed in: a session or a link that was ended after the backup must not come back to life.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from redis.exceptions import RedisError
from sqlalchemy import Connection, inspect

from novapulse.core.crypto import KEY_FILE, key_id, read_keys, write_keys
from novapulse.core.database import Database
from novapulse.core.migrations import downgrade_on, revision_on, revisions, upgrade_on
from novapulse.core.runtime import connect_valkey
from novapulse.recovery import sealed_keys
from novapulse.recovery.archive import BackupError, Header, Member, Reader
from novapulse.recovery.backup import Summary
from novapulse.recovery.rows import insert_chunk, tables_on, without_triggers
from novapulse.recovery.stopped import require_stopped
from novapulse.settings import Settings

_TELLING = ("user_account", "api_key", "webhook", "event", "job")  # a row in one of them: somebody has used it
_ENDED = ("session", "challenge", "one_time_link")  # of people who have to come in by the door again
_REPORT = re.compile(r"reports/(rpt_[0-9a-f]{32}\.[a-z]{3,4})")


async def restore(settings: Settings, file: BinaryIO, *, passphrase: str | None, replace: bool = False) -> Summary:
    """Fill the database and the data folder from a backup; nothing of NovaPulse may run. What was restored.

    `replace`: what is in the database is dropped first.

    Raises:
        BackupError: something stands in the way, and what to do; nothing was changed.
        OSError, sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written; it is as it was.
    """
    await require_stopped(settings)
    reader = Reader(file)
    _require_known(reader.header)
    members = reader.members()
    fresh_keys = _keys_to_write(settings, reader.header, members, passphrase)

    def fill(connection: Connection) -> None:
        _clear(connection, replace=replace)
        upgrade_on(connection, reader.header.revision)
        tables = tables_on(connection)
        counted = dict.fromkeys(reader.header.tables, 0)

        def load() -> None:
            for table in reversed(tables):  # what migrations put there is in the backup, too
                connection.exec_driver_sql(f'DELETE FROM "{table.name}"')  # noqa: S608 - the database's own names
            for name, member in members:
                kind, _, rest = name.partition("/")
                if kind == "tables":
                    table = rest.split("/")[0]
                    counted[table] += insert_chunk(connection, table, reader.header.tables[table], member.read())
                elif found := _REPORT.fullmatch(name):
                    settings.reports.mkdir(parents=True, exist_ok=True)
                    handle = os.open(settings.reports / found[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                    with os.fdopen(handle, "wb") as report:
                        shutil.copyfileobj(member, report)
            for table in _ENDED:
                if table in reader.header.tables:
                    connection.exec_driver_sql(f'DELETE FROM "{table}"')  # noqa: S608 - our own names

        without_triggers(connection, tables, load)
        assert reader.manifest is not None, "or `members` had raised"
        if counted != reader.manifest.rows:
            raise BackupError("This backup is damaged: rows are missing. Use another one.")
        upgrade_on(connection)
        if fresh_keys:
            # Before the commit, so that no data is ever without its key.
            write_keys(settings.data_dir, fresh_keys)
            # What says which key the folder was made with is of before, too.
            (settings.data_dir / "key.check").unlink(missing_ok=True)

    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database, pool_size=1, statement_limit_s=None)
    try:
        await database.run_write(fill)
    finally:
        await database.close()
    await _forget_valkey(settings)
    assert reader.manifest is not None
    return Summary(reader.header, reader.manifest)


def _require_known(header: Header) -> None:
    if header.revision not in revisions():
        raise BackupError(
            f"This backup was made by a newer NovaPulse ({header.version}, revision {header.revision}). Install that"
            " version and restore with it."
        )


def _clear(connection: Connection, *, replace: bool) -> None:
    there = set(inspect(connection).get_table_names()) - {"alembic_version"}
    used = [
        table
        for table in _TELLING
        if table in there and connection.exec_driver_sql(f'SELECT 1 FROM "{table}" LIMIT 1').first()  # noqa: S608
    ]
    if used and not replace:
        raise BackupError("The database is not empty. Use an empty one; --force drops what is in this one.")
    revision = revision_on(connection)
    if revision.now is None and there:
        raise BackupError("The database holds tables of something else. Use an empty one.")
    if revision.now is not None:
        revision.require_known()
        downgrade_on(connection, "base")


def _keys_of(header: Header, members: Iterator[tuple[str, Member]], passphrase: str | None) -> list[bytes]:
    """The keys in the backup, which are its first member."""
    if not header.with_keys:
        return []
    if passphrase is None:
        raise BackupError("The keys in this backup are locked. Give their passphrase: NOVAPULSE_BACKUP_PASSPHRASE.")
    _, sealed = next(members)
    return sealed_keys.unseal(sealed.read(), passphrase)


def _keys_to_write(
    settings: Settings, header: Header, members: Iterator[tuple[str, Member]], passphrase: str | None
) -> list[bytes]:
    """What the file of keys has to hold, newest first, so that the data can be opened; nothing if it can be already."""
    set_ = settings.secret_key.get_secret_value()
    own = read_keys(set_, settings.data_dir)
    missing = set(header.key_ids) - {key_id(key) for key in own}
    if not missing:
        return []
    if set_:
        raise BackupError(
            f"NOVAPULSE_SECRET_KEY lacks keys of this backup (their ids: {', '.join(sorted(missing))}). Add them,"
            f" after your newest; or leave it empty: then the keys are put into {settings.data_dir / KEY_FILE}."
        )
    keys = _keys_of(header, members, passphrase)
    if not keys:
        raise BackupError(
            f"This backup holds no keys, and {settings.data_dir / KEY_FILE} does not have them either (their ids:"
            f" {', '.join(sorted(missing))}). Bring back that file, or set NOVAPULSE_SECRET_KEY."
        )
    return [*keys, *(key for key in own if key not in keys)]


async def _forget_valkey(settings: Settings) -> None:
    """Drop what the queues, counters and pages held of the state before; all of it is made anew."""
    if not settings.redis_url:
        for path in (settings.data_dir / "valkey").glob("appendonlydir*"):
            shutil.rmtree(path, ignore_errors=True)
        return
    client = connect_valkey(settings.valkey)
    try:
        with suppress(RedisError, OSError, TimeoutError):
            async for key in client.scan_iter("{np}:*", count=1_000):
                await client.unlink(key)
    finally:
        await client.aclose()
