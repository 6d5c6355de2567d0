"""`novapulse backup`, `restore`, `key` and `db`: what is done to the data of a NovaPulse as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError
from novapulse.settings import Settings

if TYPE_CHECKING:
    from novapulse.recovery.backup import Summary

backup = typer.Typer(help="Make a backup, or verify one.")
db = typer.Typer(help="The database.", no_args_is_help=True)

PassphraseFile = Annotated[
    Path | None, typer.Option(help="File with the passphrase of the keys, in place of NOVAPULSE_BACKUP_PASSPHRASE.")
]
BackupFile = Annotated[Path, typer.Argument(help="The file of the backup; `-` is standard input.")]


@backup.callback(invoke_without_command=True)
def backup_make(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Where to; `-` is standard output. Without: in NOVAPULSE_BACKUP_DIR.")
    ] = None,
    with_reports: Annotated[bool, typer.Option("--with-reports", help="The files of reports, too.")] = False,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave the keys out. Without them a backup cannot be restored.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a backup of the state of this moment, while NovaPulse runs: database, keys and, if wanted, reports."""
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    passphrase = None if without_keys else _passphrase(settings, passphrase_file)
    if passphrase is None and not without_keys:
        raise StartError(
            "The keys need a passphrase to be locked with.",
            "Set NOVAPULSE_BACKUP_PASSPHRASE, or --passphrase-file; or leave the keys out with --without-keys.",
        )
    made = asyncio.run(_make(settings, out, passphrase, with_reports=with_reports))
    typer.echo(made, err=True)
    if without_keys:
        typer.echo(
            "THE KEYS ARE NOT IN IT. Keep them elsewhere (secret.key, or NOVAPULSE_SECRET_KEY): without them signing"
            " secrets and second factors of this backup are lost, and it cannot be restored.",
            err=True,
        )


async def _make(settings: Settings, out: Path | None, passphrase: str | None, *, with_reports: bool) -> str:
    from novapulse.core.actor import SYSTEM
    from novapulse.core.clock import now_ms
    from novapulse.launch.local import local_runtime
    from novapulse.recovery.backup import make_backup, name_at, new_file
    from novapulse.recovery.schedule import MADE
    from novapulse.security import audit

    if out is None:
        out = settings.backups / name_at(now_ms())
        settings.backups.mkdir(parents=True, exist_ok=True, mode=0o700)
    if str(out) == "-":
        made = await make_backup(settings, sys.stdout.buffer, passphrase=passphrase, with_reports=with_reports)
        sys.stdout.buffer.flush()
    else:
        with new_file(out) as file:
            made = await make_backup(settings, file, passphrase=passphrase, with_reports=with_reports)
    async with local_runtime(settings) as rt:
        detail = {"rows": made.rows, "keys": made.header.with_keys, "reports": made.header.with_reports}
        await audit.record(rt, SYSTEM, MADE, target=("backup", "", out.name), detail=detail)
    return f"{out}: {made}"


@backup.command("verify")
def backup_verify(file: BackupFile) -> None:
    """Read all of a backup and compare every checksum and count; exit code 1 if it is damaged."""
    from novapulse.recovery.backup import verify

    with _opened(file) as stream:
        typer.echo(f"whole: {verify(stream)}")


def restore(
    file: BackupFile,
    force: Annotated[bool, typer.Option("--force", help="Drop what is in the database now.")] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Fill an empty database and data folder from a backup, all or nothing; no NovaPulse may run on them."""
    settings = load_settings()
    passphrase = _passphrase(settings, passphrase_file)
    with _still(settings), _opened(file) as stream:
        made = asyncio.run(_restore(settings, file, stream, passphrase, replace=force))
    typer.echo(f"restored: {made}")
    typer.echo(
        "Everybody has to sign in again. What was ended after the backup was made is not: look through API keys,"
        " users and recovery codes.",
        err=True,
    )


async def _restore(
    settings: Settings, file: Path, stream: BinaryIO, passphrase: str | None, *, replace: bool
) -> Summary:
    from novapulse.core.actor import SYSTEM
    from novapulse.core.clock import rfc3339
    from novapulse.launch.local import local_runtime
    from novapulse.recovery.restore import restore as fill
    from novapulse.security import audit

    made = await fill(settings, stream, passphrase=passphrase, replace=replace)
    async with local_runtime(settings) as rt:
        detail = {"made_at": rfc3339(made.header.created_at), "version": made.header.version, "rows": made.rows}
        await audit.record(rt, SYSTEM, "backup.restored", target=("backup", "", file.name), detail=detail)
    return made


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the database's tables up to date."""
    from novapulse.launch.preflight import check_data_dir
    from novapulse.launch.prepare import upgrade_database

    settings = load_settings()
    check_data_dir(settings.data_dir.resolve())
    asyncio.run(upgrade_database(settings))
    typer.echo("The database is up to date.", err=True)


@db.command("current")
def db_current() -> None:
    """Say where the database stands; exit code 1 if it is not where this version needs it."""
    from novapulse.launch.prepare import check_database

    typer.echo(asyncio.run(check_database(load_settings())))


@db.command("downgrade")
def db_downgrade(
    revision: Annotated[str, typer.Argument(help="Where to, e.g. 0006: what the older version calls its latest.")],
    drop: Annotated[
        bool, typer.Option("--drop", help="Yes, drop what the migrations after it have brought, with what is in it.")
    ] = False,
) -> None:
    """Take migrations back, so that an older version can be installed. Nothing may run; make a backup first."""
    from novapulse.launch.prepare import downgrade_database
    from novapulse.recovery.stopped import require_stopped

    if not drop:
        raise StartError(
            "Tables and columns that came after that revision are dropped, with what is in them.",
            "Make a backup, and give --drop.",
        )
    settings = load_settings()

    async def work() -> None:
        await require_stopped(settings)
        await downgrade_database(settings, revision)

    with _still(settings):
        asyncio.run(work())
    typer.echo(f"The database is at revision {revision}.", err=True)


@db.command("compact")
def db_compact() -> None:
    """SQLite: give the room of what was deleted back to the disk. Nothing else writes meanwhile; needs as much free."""
    from novapulse.recovery.compact import compact

    before, after = compact(load_settings())
    typer.echo(f"{before:,} bytes before, {after:,} after.")


def _passphrase(settings: Settings, file: Path | None) -> str | None:
    text = settings.backup_passphrase.get_secret_value()
    if file is not None:
        text = file.read_text().rstrip("\r\n")
    return text or None


@contextlib.contextmanager
def _opened(file: Path) -> Generator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
    else:
        with file.open("rb") as stream:
            yield stream


@contextlib.contextmanager
def _still(settings: Settings) -> Generator[None]:
    """Hold the data folder, so that no `novapulse up` runs on it.

    Raises:
        StartError: one does.
    """
    from novapulse.launch.preflight import check_data_dir, lock_data_dir

    data_dir = settings.data_dir.resolve()
    check_data_dir(data_dir)
    handle = lock_data_dir(data_dir)
    try:
        yield
    finally:
        os.close(handle)
