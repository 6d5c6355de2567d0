"""What holds the audit log together: the seal of each row, and the keys that only this log has.

A row is sealed by HMAC-SHA256 (RFC 2104) over itself and the seal of the row before it. The key is random, made for
the log, and kept encrypted in its head. When the keyring has a new first key, the next row begins with a new key of
the log too, and the older ones are encrypted anew: what was sealed under them can still be verified after the old key
of the keyring is gone, and who has that old key cannot go on sealing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from novapulse.core.crypto import KEY_BYTES, DecryptError
from novapulse.core.runtime import Runtime

Epoch = dict[str, Any]  # `since`: the first row it seals; `key`: encrypted

SEALED = (
    "seq", "id", "at", "actor_kind", "actor_id", "actor_name", "action", "noun", "target_kind", "target_id",
    "target_name", "result", "ip", "request_id", "detail",
)  # fmt: skip


def canonical(row: Mapping[str, Any], before: str) -> bytes:
    """What is sealed: a JSON array, in which no two different rows look the same."""
    return orjson.dumps(["novapulse audit row 1", before, *(row[name] for name in SEALED)])


def seal(key: bytes, row: Mapping[str, Any], before: str) -> str:
    """The seal of a row that follows one sealed with `before` (empty: the first)."""
    return hmac.new(key, canonical(row, before), hashlib.sha256).hexdigest()


def proof(key: bytes, seq: int, last_seal: str) -> str:
    """Says that this row was the last one at some time. It cannot be made from the row's own seal."""
    stated = orjson.dumps(["novapulse audit head 1", seq, last_seal])
    return hmac.new(key, stated, hashlib.sha256).hexdigest()


class LogKeys:
    """Opens the log's keys, and makes a new one when it is time. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._keyring = rt.keyring
        self._opened: dict[str, bytes] = {}
        self._made = (0, "")  # `since` of what this process has made, and the key that was newest then

    def at(self, epochs: Sequence[Epoch], seq: int) -> bytes:
        """The key that seals row `seq`.

        Raises:
            DecryptError: there is none, or it does not open.
        """
        found = [epoch for epoch in epochs if epoch["since"] <= seq]
        if not found:
            raise DecryptError(f"the log has no key for row {seq}")
        return self._open(max(found, key=lambda epoch: epoch["since"]))

    def for_next(self, epochs: Sequence[Epoch], seq: int) -> tuple[Sequence[Epoch], bytes]:
        """The key for a new row `seq`, and the keys to keep: the same object unless there is a new one."""
        if epochs and self._is_good(epochs[-1], epochs):
            return epochs, self._open(epochs[-1])
        key = os.urandom(KEY_BYTES)
        self._made = (seq, self._keyring.ids[0])
        return [*(self._again(epoch) for epoch in epochs), self._sealed(seq, key)], key

    def _is_good(self, last: Epoch, epochs: Sequence[Epoch]) -> bool:
        # One renewal per process and key: two that have the keys in another order must not renew in turn for ever.
        since, newest = self._made
        renewed = newest == self._keyring.ids[0] and any(epoch["since"] == since for epoch in epochs)
        if not renewed and not self._keyring.is_current(last["key"]):
            return False
        try:
            self._open(last)
        except DecryptError:
            # Acts are recorded all the same; that the rows before cannot be verified shows when somebody does.
            return False
        return True

    def _again(self, epoch: Epoch) -> Epoch:
        try:
            return self._sealed(epoch["since"], self._open(epoch))
        except DecryptError:
            return epoch

    def _sealed(self, since: int, key: bytes) -> Epoch:
        return {"since": since, "key": self._keyring.encrypt(key.hex(), _context(since))}

    def _open(self, epoch: Epoch) -> bytes:
        token: str = epoch["key"]
        found = self._opened.get(token)
        if found is None:
            found = self._opened[token] = bytes.fromhex(self._keyring.decrypt(token, _context(epoch["since"])))
        return found


def _context(since: int) -> str:
    return f"audit_head:keys:{since}"
