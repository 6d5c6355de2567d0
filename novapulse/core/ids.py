"""Ids: a prefix that says of what, and a UUIDv7 (RFC 9562) so that they sort by time of creation.

They are names, never secrets: a UUIDv7 shows when it was made.
"""

from __future__ import annotations

import re
from typing import Literal

from uuid_utils import uuid7

Prefix = Literal[
    "wh", "evt", "dlv", "att", "job", "key", "usr", "ses", "rpt", "wf", "run", "eml", "sec", "req",
    "totp", "rec", "pk", "dev", "rst", "aud", "sch", "log",
]  # fmt: skip

_SHAPE = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")


def new_id(prefix: Prefix) -> str:
    """A fresh id such as `evt_0193...`; later ids of one process sort after earlier ones."""
    return f"{prefix}_{uuid7().hex}"


def is_id(text: str, prefix: Prefix) -> bool:
    """Whether `text` has the shape of an id of this kind (not whether it exists)."""
    return text.startswith(prefix + "_") and _SHAPE.fullmatch(text) is not None


def floor_id(prefix: Prefix, ms: int) -> str:
    """The smallest id that could have been made at `ms`: turns a time filter into a key range."""
    return f"{prefix}_{max(ms, 0):012x}{'0' * 20}"
