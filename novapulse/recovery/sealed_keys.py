"""The keys of an installation, locked with a passphrase: so they can lie beside what they open.

scrypt (RFC 7914) makes a key of the passphrase, AES-256-GCM locks with it.
"""

from __future__ import annotations

import base64
import os
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from novapulse.recovery.archive import BackupError

_N, _R, _P = 1 << 16, 8, 1  # 64 MB and about 0.2 s for each guess
_N_MAX = 1 << 20  # a damaged or hostile file must not have us take all memory
_ABOUT = b"novapulse backup keys 1"


def seal(keys: list[bytes], passphrase: str) -> bytes:
    """Lock the keys, newest first."""
    salt, nonce = os.urandom(16), os.urandom(12)
    plain = orjson.dumps([base64.b64encode(key).decode() for key in keys])
    sealed = AESGCM(_derive(passphrase, salt, _N, _R, _P)).encrypt(nonce, plain, _ABOUT)
    parts = {"salt": salt, "nonce": nonce, "sealed": sealed}
    return orjson.dumps(
        {"kdf": "scrypt", "n": _N, "r": _R, "p": _P}
        | {name: base64.b64encode(value).decode() for name, value in parts.items()}
    )


def unseal(data: bytes, passphrase: str) -> list[bytes]:
    """Unlock them.

    Raises:
        BackupError: it is another passphrase, or the keys are damaged.
    """
    said: dict[str, Any] = orjson.loads(data)
    salt, nonce, sealed = (base64.b64decode(said[name]) for name in ("salt", "nonce", "sealed"))
    if said["kdf"] != "scrypt" or said["n"] > _N_MAX or said["r"] > _R or said["p"] > _P:
        raise BackupError("The keys in this backup are locked in a way that this version does not know.")
    try:
        plain = AESGCM(_derive(passphrase, salt, said["n"], said["r"], said["p"])).decrypt(nonce, sealed, _ABOUT)
    except InvalidTag:
        raise BackupError("This is not the passphrase that the keys in this backup were locked with.") from None
    return [base64.b64decode(key) for key in orjson.loads(plain)]


def _derive(passphrase: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode())
