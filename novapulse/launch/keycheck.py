"""Is the secret key the one the existing data was encrypted with? Better asked at the start than at each delivery."""

from __future__ import annotations

from pathlib import Path

import orjson
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from novapulse.core.crypto import DecryptError, Keyring, load_keyring
from novapulse.core.database import Database
from novapulse.launch.errors import StartError
from novapulse.settings import Settings

_FILE = "key.check"
_CONTEXT = "key:check:1"
_REMEDY = (
    "Set NOVAPULSE_SECRET_KEY to the key this data was made with (a new key goes first, the old ones after it, "
    "separated by commas), or bring back the file secret.key in the data folder."
)


def load_checked_keyring(settings: Settings, *, keep_note: bool = True) -> Keyring:
    """The keyring, compared with what was noted in the data folder at the first start; the note is kept up to date.

    Raises:
        StartError: the key cannot be read, or is another one than before.
    """
    secret = settings.secret_key.get_secret_value()
    note = settings.data_dir / _FILE
    if note.exists() and not secret and not (settings.data_dir / "secret.key").exists():
        # A fresh key would be made, and everything encrypted so far be lost without a word.
        raise StartError(f"The key is missing: {settings.data_dir / 'secret.key'} is gone.", _REMEDY)
    try:
        keyring = load_keyring(secret, settings.data_dir)
    except (ValueError, OSError) as error:
        raise StartError(f"The secret key cannot be used: {error}.", _REMEDY) from error
    if note.exists():
        try:
            keyring.decrypt(note.read_text().strip(), _CONTEXT)
        except DecryptError as error:
            raise StartError("This is not the secret key the data folder was made with.", _REMEDY) from error
    if keep_note:
        _write_note(note, keyring)
    return keyring


def _write_note(note: Path, keyring: Keyring) -> None:
    if note.exists() and keyring.is_current(note.read_text().strip()):
        return
    fresh = note.with_name(f"{_FILE}.new")
    fresh.write_text(keyring.encrypt("novapulse", _CONTEXT) + "\n")
    fresh.chmod(0o600)
    fresh.replace(note)


async def check_stored_secrets(database: Database, keyring: Keyring) -> None:
    """Decrypt one signing secret of each key that was ever used (a shared database outlives a data folder), and the
    keys of the audit log.

    Raises:
        StartError: one of them does not open.
    """
    # The key's id is at a fixed place of the token, see `core.crypto`.
    query = text("SELECT min(id), substr(secret, 4, 8) AS key_id FROM webhook_secret GROUP BY key_id")
    try:
        async with database.read() as session:
            for id_, _ in (await session.execute(query)).all():
                token = (
                    await session.execute(text("SELECT secret FROM webhook_secret WHERE id = :id"), {"id": id_})
                ).scalar_one()
                keyring.decrypt(token, f"webhook_secret:secret:{id_}")
            for kept in (await session.execute(text("SELECT keys FROM audit_head"))).scalars():
                for epoch in orjson.loads(kept) if isinstance(kept, str) else kept:
                    keyring.decrypt(epoch["key"], f"audit_head:keys:{epoch['since']}")
    except DecryptError as error:
        raise StartError(f"The secret key does not open the data in the database ({error}).", _REMEDY) from error
    except DBAPIError:
        return  # there is no such table yet: nothing is encrypted
