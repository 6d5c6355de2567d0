"""Hiding secrets in what is logged: by the name of a value, or by the shape of a text. Pure."""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from typing import Any, cast

_SECRET_KEYS = re.compile(r"(?i)password|secret|token|authorization|cookie|api_?key|signature")
_SHORTEST = 8  # characters; what is shorter has none of the shapes below
_WORDS = "password|passwd|passphrase|secret|token|api[-_]?key|signature|session|cookie|credential"
_NAME = rf"[\w-]{{0,40}}(?:{_WORDS})[\w-]{{0,40}}"
_NAMED = re.compile(rf"""(?i)\b({_NAME}=)(?!\*\*\*)[^\s&;,"'<>)\]}}]+""")  # in a query, a form, a header of cookies
_QUOTED = re.compile(rf"""(?i)(["']{_NAME}["']\s*:\s*)(["'])(?:\\.|(?!\2).)*\2""")  # in JSON, or a dictionary's repr
_URL = re.compile(r"""(\w+://[^\s?#"'<>]+)(?:[?#][^\s"'<>)\]}]*)?""")
_SEGMENT = re.compile(r"(?<=/)(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{16,}(?![\w-])")  # of a path; our ids have no capitals
# A unique violation of Postgres repeats the values that were there before.
_ROW = re.compile(r"(Key \([^)]*\)=)\(.*?\)(?= already exists| is )")
_VALUES = re.compile(
    r"np_live_[A-Za-z0-9_-]+|whsec_[A-Za-z0-9+/=]+|(?i:\bbearer|\bbasic)\s+\S+"
    r"|(?<=://)[^/\s:@]*:[^/\s]+(?=@)"  # of a URL, also one whose password holds an @
    r"|(?<=://)[^/\s:@]+(?=@)"
    r"|\b[A-Z2-7]{26,}\b"  # base32: the seed of a TOTP
    r"|\b(?:[0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}\b"  # a recovery code
    # A random word as tokens are: long, with capitals, small letters and digits mixed.
    r"|(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*\d)[\w-]{28,}(?![\w-])"
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what looks like a secret, by name or by shape. A structlog processor."""
    for key, value in event.items():
        event[key] = "***" if key != "event" and _SECRET_KEYS.search(key) else _without_secrets(value)
    return event


def without_secrets(text: str) -> str:
    """A text without what has the shape of a secret."""
    if len(text) < _SHORTEST:
        return text
    text = _VALUES.sub("***", text)
    if "=" in text:
        text = _ROW.sub(r"\1(***)", _NAMED.sub(r"\1***", text))
    if "'" in text or '"' in text:
        text = _QUOTED.sub(r"\1\2***\2", text)
    return _URL.sub(_bare, text) if "://" in text else text


def _bare(found: re.Match[str]) -> str:
    """A URL without its query, and without parts of its path that look like a secret."""
    path = _SEGMENT.sub("***", found[1])
    return path if found[0] == found[1] else f"{path}?***"


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {key: "***" if _SECRET_KEYS.search(str(key)) else _without_secrets(item) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, BaseException):
        return without_secrets(repr(value))
    return value
