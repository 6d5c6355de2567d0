"""What a page shows is in its URL, so that a view can be shared and Back works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

_VALUE_MAX = 200


def with_query(url: Any, **changes: str) -> str:
    """The path and query of `url` (a state's `router.url`) with these parameters changed; an empty one goes."""
    return address(url.path, {name: str(value) for name, value in url.query_parameters.items()} | changes)


def address(path: str, query: Mapping[str, str]) -> str:
    """A path with these parameters; an empty one is left out."""
    text = urlencode({name: value[:_VALUE_MAX] for name, value in query.items() if value})
    return path + (f"?{text}" if text else "")


def chosen(query: Any, name: str, allowed: Any, otherwise: str = "") -> str:
    """The parameter `name` if it is one of those allowed."""
    value = query.get(name)
    return str(value) if value in allowed else otherwise
