"""Times: what is written can be read back, and what is not RFC 3339 is refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.clock import now_ms, parse_rfc3339, rfc3339

YEAR_1, YEAR_9999_ENDS = -62_135_596_800_000, 253_402_300_799_999
moments = st.integers(YEAR_1, YEAR_9999_ENDS)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_614_265_330_999, "2021-02-25T15:02:10.999Z"),
        (YEAR_1, "0001-01-01T00:00:00.000Z"),
        (YEAR_9999_ENDS, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_moment_is_written_in_utc_with_milliseconds(ms: int, text: str) -> None:
    assert rfc3339(ms) == text


@given(moments)
def test_what_is_written_is_read_back_to_the_millisecond(ms: int) -> None:
    assert parse_rfc3339(rfc3339(ms)) == ms


@given(moments, moments)
def test_written_moments_sort_as_the_moments_do(one: int, other: int) -> None:
    assert (rfc3339(one) < rfc3339(other)) is (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.0Z",
        "2026-11-23T12:00:00.000000000Z",
        "2026-11-23T12:00:00+00:00",
        "2026-11-23T12:00:00-00:00",
        "2026-11-23T13:30:00+01:30",
        "2026-11-22T22:00:00-14:00",
    ],
)
def test_every_offset_and_fraction_of_rfc_3339_is_read(text: str) -> None:
    assert parse_rfc3339(text) == 1_795_435_200_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1795435200",
        "2026-11-23",
        "2026-11-23T12:00:00",  # no offset
        "2026-11-23 12:00:00Z",
        "2026-11-23T12:00Z",
        "20261123T120000Z",  # ISO 8601 knows more forms than RFC 3339
        "2026-W48-1T12:00:00Z",
        "2026-11-23T12:00:00,5Z",
        "2026-11-23T12:00:00+0100",
        "2026-11-23T12:00:00Z\n",
        "2026-02-30T12:00:00Z",
        "2026-11-23T25:00:00Z",
        "2026-11-23T12:00:00+25:00",
        "٢٠٢٦-11-23T12:00:00Z",
    ],
)
def test_other_forms_and_impossible_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


@given(st.text() | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[Z+-]([0-9]{2}:[0-9]{2})?"))
def test_no_text_breaks_the_parser_otherwise(text: str) -> None:
    try:
        assert isinstance(parse_rfc3339(text), int)
    except ValueError:
        return


def test_now_is_the_wall_clock_in_milliseconds() -> None:
    before = time.time()
    now = now_ms()
    assert before * 1000 - 1 <= now <= time.time() * 1000
