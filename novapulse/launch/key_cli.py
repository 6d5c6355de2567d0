"""`novapulse key`: the keys that secrets in the database are encrypted with."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

import typer

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError
from novapulse.launch.shell import with_runtime
from novapulse.settings import Settings

if TYPE_CHECKING:
    from novapulse.recovery.rotation import KeyUse

key = typer.Typer(help="The keys that secrets are encrypted with.", no_args_is_help=True)

_OLD = "secret.key.old"


def _use() -> KeyUse:
    from novapulse.recovery.rotation import key_use

    return with_runtime(key_use)


def _of_file(settings: Settings) -> bool:
    return not settings.secret_key.get_secret_value()


@key.command("status")
def key_status() -> None:
    """Say which keys there are, what each is needed for, and which may be removed; exit code 1 if one is missing."""
    use = _use()
    for number, id_ in enumerate(use.ids):
        of = use.counts.get(id_, {})
        needed = ", ".join(f"{n:,} {place}" for place, n in sorted(of.items()))
        what = "in use" if number == 0 else "old, still needed" if of else "old, may be removed"
        typer.echo(f"{id_}  {what}" + (f": {needed}" if needed else ""))
    for id_ in use.unknown:
        typer.echo(f"{id_}  MISSING: {use.counts[id_].total():,} secrets cannot be opened. Bring this key back.")
    raise typer.Exit(1 if use.unknown else 0)


@key.command("new")
def key_new() -> None:
    """Make a new key. Of a data folder, it is put first into `secret.key`; else it is printed, with what to do."""
    from novapulse.core.crypto import KEY_BYTES, key_id, read_keys, write_keys
    from novapulse.launch.keycheck import load_checked_keyring

    settings = load_settings()
    fresh = os.urandom(KEY_BYTES)
    if _of_file(settings):
        load_checked_keyring(settings)
        write_keys(settings.data_dir, [fresh, *read_keys("", settings.data_dir)])
        typer.echo(f"{key_id(fresh)} is the newest key; running processes use it from now on.")
        typer.echo("Encrypt everything anew with it: novapulse key rotate", err=True)
        return
    typer.echo(base64.b64encode(fresh).decode())
    typer.echo(
        "1. Put it last in NOVAPULSE_SECRET_KEY (<old>,<new>) and restart every process: now all can read it.\n"
        "2. Put it first (<new>,<old>) and restart every process: now all write with it.\n"
        "3. novapulse key rotate\n"
        "4. When novapulse key status says so, remove the old one, and restart every process.",
        err=True,
    )


@key.command("rotate")
def key_rotate() -> None:
    """Encrypt everything anew with the newest key, while NovaPulse runs; may be stopped and begun again."""
    from novapulse.launch.keycheck import load_checked_keyring
    from novapulse.recovery.rotation import encrypt_anew

    load_checked_keyring(load_settings())
    rotated = with_runtime(encrypt_anew)
    for place, n in sorted(rotated.done.items()):
        typer.echo(f"{n:>8,}  {place}")
    for line in rotated.failed:
        typer.echo(f"could not be opened: {line}", err=True)
    typer.echo(f"{rotated.done.total():,} secrets are encrypted anew.")
    raise typer.Exit(1 if rotated.failed else 0)


@key.command("retire")
def key_retire() -> None:
    """Remove old keys from `secret.key` that nothing needs any more; they are kept in `secret.key.old`."""
    from novapulse.core.crypto import key_id, read_keys, write_keys
    from novapulse.launch.keycheck import load_checked_keyring

    settings = load_settings()
    if not _of_file(settings):
        raise StartError("The keys are in NOVAPULSE_SECRET_KEY.", "Remove there what `novapulse key status` names.")
    load_checked_keyring(settings)
    use = _use()
    if needed := [each for each in use.ids[1:] if each not in use.removable]:
        raise StartError(f"Secrets are still encrypted with {', '.join(needed)}.", "Run `novapulse key rotate`.")
    if not use.removable:
        typer.echo("There is no old key.")
        return
    keys = read_keys("", settings.data_dir)
    old = [each for each in keys if key_id(each) in use.removable]
    with os.fdopen(os.open(settings.data_dir / _OLD, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
        file.writelines(base64.b64encode(each).decode() + "\n" for each in old)
    write_keys(settings.data_dir, [each for each in keys if each not in old])
    typer.echo(f"Removed: {', '.join(use.removable)}. Kept in {settings.data_dir / _OLD}.")
    typer.echo("Backups that were made without keys need it. Move that file elsewhere, or delete it.", err=True)
