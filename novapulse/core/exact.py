"""JSON that keeps what was sent: fast, and exact for integers of any size."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_BIG_INTEGER = re.compile(r"[0-9]{19}")
_BIG_INTEGER_BYTES = re.compile(rb"[0-9]{19}")


def dumps(value: Any) -> str:
    """`value` as compact JSON."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # integers beyond 64 bits are JSON too
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def loads(text: str | bytes) -> Any:
    """What JSON says.

    Raises:
        orjson.JSONDecodeError: not strict JSON (RFC 8259).
    """
    value = orjson.loads(text)
    big = _BIG_INTEGER.search(text) if isinstance(text, str) else _BIG_INTEGER_BYTES.search(text)
    return json.loads(text) if big else value
