"""Signatures of the Standard Webhooks specification, "Signature scheme": HMAC-SHA256, `v1`."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Sequence

PREFIX = "whsec_"
_BYTES = 32
_BYTES_MIN, _BYTES_MAX = 24, 64  # Standard Webhooks, "Symmetric"


def new_secret() -> str:
    """A fresh signing secret: `whsec_` and base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(os.urandom(_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret, with or without its prefix.

    Raises:
        ValueError: not base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a signing secret is 'whsec_' followed by base64") from None
    if not _BYTES_MIN <= len(key) <= _BYTES_MAX:
        raise ValueError(f"a signing secret holds {_BYTES_MIN} to {_BYTES_MAX} bytes, this one {len(key)}")
    return key


class Signer:
    """Signs for one webhook, with every secret that is live."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [key_of(secret) for secret in secrets]

    def sign(self, message_id: str, timestamp_s: int, body: bytes) -> str:
        """The value of `webhook-signature`: one `v1,<base64>` per secret, separated by spaces."""
        content = f"{message_id}.{timestamp_s}.".encode() + body
        return " ".join("v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in self._keys)
