"""Cursors: only what a list has given out is taken back; pages: the row too many only says that there is more."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.errors import InvalidError
from novapulse.core.ids import new_id
from novapulse.core.pagination import Page, decode_cursor, encode_cursor, page_of

NAMES = st.from_regex(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", fullmatch=True)


def cursor_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@given(NAMES)
def test_a_cursor_leads_back_to_its_row(name: str) -> None:
    assert decode_cursor(encode_cursor(name), "") == name
    assert decode_cursor(encode_cursor("wh_" + name), "wh_") == "wh_" + name


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidError):
        decode_cursor(encode_cursor(new_id("evt")), "dlv_")


def test_a_refusal_is_a_422_that_points_at_the_cursor() -> None:
    with pytest.raises(InvalidError) as raised:
        decode_cursor("nonsense", "wh_")
    assert raised.value.status == 422
    assert [error.pointer for error in raised.value.errors] == ["/cursor"]


@pytest.mark.parametrize("prefix", ["wh_", ""])
@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!!!!",  # Python's base64 would skip all of it
        "A",
        "=",
        "é",
        "\ud800",
        "\0",
        " ",
        cursor_of(b"wh_1") + "=",
        cursor_of(b"wh_1") + "\n",
        "!" + cursor_of(b"wh_1"),
        cursor_of(b"wh_\0"),  # Postgres takes no NUL
        cursor_of(b"wh_\n"),
        cursor_of(b"wh_\xff"),
        cursor_of("wh_é".encode()),
        "A" * 10_000,
    ],
)
def test_what_no_list_gave_out_is_refused(cursor: str, prefix: str) -> None:
    with pytest.raises(InvalidError):
        decode_cursor(cursor, prefix)


@given(st.text() | st.binary().map(cursor_of))
def test_any_text_is_either_a_cursor_we_could_have_made_or_refused(cursor: str) -> None:
    try:
        last_id = decode_cursor(cursor, "")
    except InvalidError:
        return
    assert encode_cursor(last_id) == cursor
    assert last_id.isprintable()


def pages(rows: list[str], limit: int) -> list[Page[str]]:
    """Every page of the rows, as a caller would read them."""
    found, start = list[Page[str]](), 0
    while True:
        page = page_of(rows[start : start + limit + 1], limit, str.upper, lambda row: row)
        found.append(page)
        if page.next_cursor is None:
            return found
        start = rows.index(decode_cursor(page.next_cursor, "")) + 1


@given(st.lists(NAMES, unique=True, max_size=30), st.integers(1, 10))
def test_reading_page_by_page_shows_every_row_once_in_order(rows: list[str], limit: int) -> None:
    read = pages(rows, limit)
    assert [item for page in read for item in page.data] == [row.upper() for row in rows]
    assert all(len(page.data) == limit for page in read[:-1])
    assert len(read) == max(1, -(-len(rows) // limit)), "no empty page at the end"
