"""Encryption of secrets at rest: AES-256-GCM under a keyring that can be rotated online.

A token is `v1.<key id>.<base64url(nonce + ciphertext + tag)>`. The additional data names the table,
column and row, so that a ciphertext moved to another row does not open (Authelia does the same).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1
KEY_BYTES = 32
KEY_FILE = "secret.key"
_WRITTEN_WITHIN_S = 2.0


class DecryptError(Exception):
    """The token was made with a key that is not in the keyring, or was changed or moved."""


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    cipher: AESGCM


class Keyring:
    """Encrypts with the first key, decrypts with whichever key a token names.

    A keyring of a file follows that file: a key that `novapulse key new` has put there is used from then on.
    """

    def __init__(self, keys: list[bytes], file: Path | None = None) -> None:
        """Raises ValueError: no key, or one that is not 32 bytes."""
        self._file = file
        self._stamp = _stamp(file)
        self._take(keys)

    def _take(self, keys: list[bytes]) -> None:
        if not keys:
            raise ValueError("a keyring needs at least one key")
        for key in keys:
            if len(key) != KEY_BYTES:
                raise ValueError(f"a key is {KEY_BYTES} bytes, this one has {len(key)}")
        named = [_Key(key_id(key), AESGCM(key)) for key in keys]
        self._first = named[0]
        self._by_id = {key.id: key for key in named}
        self._mac_key = hashlib.sha256(b"novapulse mac" + keys[-1]).digest()

    def _follow(self) -> None:
        if self._file is not None and (stamp := _stamp(self._file)) != self._stamp:
            # Half-written, or gone for good: what is known is all there is.
            with contextlib.suppress(OSError, ValueError):
                self._take(_parse(self._file.read_text().split(), str(self._file)))
                self._stamp = stamp

    @property
    def ids(self) -> list[str]:
        """What the keys are called in tokens, newest first. An id says nothing about its key."""
        self._follow()
        return list(self._by_id)

    def encrypt(self, plain: str, context: str) -> str:
        """Encrypt `plain` for one place, named by `context` as `table:column:row id`."""
        self._follow()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._first.cipher.encrypt(nonce, plain.encode(), context.encode())
        return f"v1.{self._first.id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def decrypt(self, token: str, context: str) -> str:
        """The plain text of a token that was made for this context.

        Raises:
            DecryptError: unknown key, changed token, or another context.
        """
        try:
            version, named, sealed64 = token.split(".")
            sealed = base64.urlsafe_b64decode(sealed64)
        except (ValueError, binascii.Error) as error:
            raise DecryptError("not an encrypted value") from error
        if named not in self._by_id:
            self._follow()
        key = self._by_id.get(named)
        if version != "v1" or key is None:
            raise DecryptError(f"made with key {named[:8]}, which is not in the keyring")
        try:
            return key.cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context.encode()).decode()
        except (InvalidTag, ValueError) as error:  # ValueError: too short to hold a nonce
            raise DecryptError("changed, or moved from another row") from error

    def is_current(self, token: str) -> bool:
        """Whether the token was made with the first key; if not, it is due for re-encryption."""
        self._follow()
        return token.startswith(f"v1.{self._first.id}.")

    def derive(self, purpose: str) -> bytes:
        """32 bytes for another use (a MAC key), stable while the oldest key stays in the ring."""
        return hashlib.sha256(purpose.encode() + b"\0" + self._mac_key).digest()


def key_id(key: bytes) -> str:
    """What a key is called in the tokens that were made with it."""
    return hashlib.sha256(b"novapulse key id" + key).hexdigest()[:8]


def read_keys(secret_key: str, data_dir: Path) -> list[bytes]:
    """The keys of the setting, or of `secret.key` in the data folder; none, if there is no such file.

    Raises:
        ValueError: a key that is not base64.
    """
    path = data_dir / KEY_FILE
    if secret_key:
        return _parse(secret_key.split(","), "NOVAPULSE_SECRET_KEY")
    return _parse(path.read_text().split(), str(path)) if path.exists() else []


def write_keys(data_dir: Path, keys: list[bytes]) -> None:
    """Make `secret.key` hold these keys, newest first; whoever reads it finds the old ones or all of the new ones."""
    fresh = data_dir / f"{KEY_FILE}.new"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(base64.b64encode(key).decode() + "\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(data_dir / KEY_FILE)


def load_keyring(secret_key: str, data_dir: Path) -> Keyring:
    """The keyring from the setting, or from `secret.key` in the data folder, made at the first start.

    Raises:
        ValueError: a key that is not base64 of 32 bytes.
    """
    if secret_key:
        return Keyring(_parse(secret_key.split(","), "NOVAPULSE_SECRET_KEY"))
    path = data_dir / KEY_FILE
    try:
        # O_EXCL: two processes that start at once must not each write a key of their own.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return Keyring(_parse(_read_when_written(path).split(), str(path)), path)
    key = os.urandom(KEY_BYTES)
    with os.fdopen(handle, "w") as file:
        file.write(base64.b64encode(key).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Keyring([key], path)


def _stamp(file: Path | None) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        if file is not None:
            found = file.stat()
            return found.st_ino, found.st_mtime_ns
    return None


def _read_when_written(path: Path) -> str:
    # The process that has just made the file may not have written the key yet.
    deadline = time.monotonic() + _WRITTEN_WITHIN_S
    while not (text := path.read_text()).strip() and time.monotonic() < deadline:
        time.sleep(0.01)
    return text


def _parse(parts: list[str], source: str) -> list[bytes]:
    keys: list[bytes] = []
    for part in parts:
        try:
            keys.append(base64.b64decode(part.strip(), validate=True))
        except binascii.Error as error:
            raise ValueError(f"{source} must hold base64 of {KEY_BYTES} random bytes") from error
    return keys
