"""Keyset pagination: a cursor names the last row of a page, so that page 1,000 costs what page 1 costs."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from novapulse.core.errors import FieldError, InvalidError

LIMIT_DEFAULT = 50
LIMIT_MAX = 200

T = TypeVar("T")
R = TypeVar("R")


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    data: list[T]
    next_cursor: str | None = Field(None, description="Send it as `cursor` for the next page; null at the end.")


def encode_cursor(last_id: str) -> str:
    """The cursor that continues after the row with this id."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, prefix: str) -> str:
    """The id in a cursor.

    Raises:
        InvalidError: it was not made by `encode_cursor`, or for another list.
    """
    try:
        last_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        last_id = ""
    # Python's base64 skips what is not base64; NUL and its like are not text for Postgres.
    made_here = last_id.isprintable() and encode_cursor(last_id) == cursor and last_id != ""
    if not (made_here and last_id.startswith(prefix)):
        raise InvalidError([FieldError("/cursor", "this cursor is not one of this list; start without one")])
    return last_id


def page_of(rows: Sequence[R], limit: int, view: Callable[[R], T], key: Callable[[R], str]) -> Page[T]:
    """A page from `limit + 1` rows: the one too many says that there is a next page."""
    shown = rows[:limit]
    more = len(rows) > limit and len(shown) > 0
    return Page(data=[view(row) for row in shown], next_cursor=encode_cursor(key(shown[-1])) if more else None)
