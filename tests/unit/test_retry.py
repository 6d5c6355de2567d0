"""When a failed delivery is tried again, and what `Retry-After` changes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S, Decision, decide, parse_retry_after, spoken

NOW = 1_795_000_000_000
DAY_S = 24 * 3600.0
chances = st.floats(0, 1, exclude_max=True)


def failed(status: int | None = 500, retry_after_s: float | None = None) -> Outcome:
    return Outcome(NOW - 5, 5.0, status, ErrorCode.STATUS, retry_after_s=retry_after_s)


def after(
    failures: int,
    outcome: Outcome | None = None,
    *,
    schedule: list[float] | None = None,
    manual: bool = False,
    chance: float = 0.0,
) -> Decision:
    return decide(
        outcome or failed(),
        failures_in_schedule=failures,
        schedule=schedule,
        manual=manual,
        now=NOW,
        random=lambda: chance,
    )


def delay_s(decision: Decision) -> float:
    assert decision.next_attempt_at is not None
    return (decision.next_attempt_at - NOW) / 1000


def test_the_default_schedule_without_jitter() -> None:
    delays = [delay_s(after(failures)) for failures in range(1, len(DEFAULT_SCHEDULE_S))]
    assert delays == [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]


@given(st.lists(st.floats(0, 604_800), min_size=2, max_size=20), st.data(), chances)
def test_jitter_lengthens_by_at_most_a_fifth_and_never_shortens(
    schedule: list[float], data: st.DataObject, chance: float
) -> None:
    failures = data.draw(st.integers(1, len(schedule) - 1))
    waited = delay_s(after(failures, schedule=schedule, chance=chance))
    assert schedule[failures] - 0.001 <= waited <= schedule[failures] * 1.2 + 0.001


@given(st.lists(st.floats(0, 604_800), min_size=1, max_size=20), st.integers(0, 5), chances)
def test_after_the_last_attempt_of_the_schedule_there_is_none(
    schedule: list[float], beyond: int, chance: float
) -> None:
    decision = after(len(schedule) + beyond, failed(503, 60), schedule=schedule, chance=chance)
    assert decision.next_attempt_at is None
    assert f"All {len(schedule)} attempts" in decision.reason


def test_what_a_person_asked_for_is_not_repeated_even_if_the_receiver_asks_to_wait() -> None:
    assert after(1, failed(429, 10), manual=True).next_attempt_at is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_receiver_may_ask_for_longer_than_the_schedule(status: int) -> None:
    decision = after(1, failed(status, 120))
    assert delay_s(decision) == 120
    assert decision.reason == f"The receiver answered {status} and asked to wait 2 min."


@given(st.floats(5 * 1.2, DAY_S), chances)
def test_a_wait_that_was_asked_for_is_kept_in_full_with_little_jitter(asked: float, chance: float) -> None:
    waited = delay_s(after(1, failed(429, asked), chance=chance))
    assert asked - 0.001 <= waited <= asked * 1.05 + 0.001


def test_a_shorter_wait_than_the_schedules_is_not_used() -> None:
    assert delay_s(after(2, failed(429, 1))) == 300


@pytest.mark.parametrize("status", [None, 200, 301, 400, 404, 500, 502, 504])
def test_other_answers_do_not_move_the_schedule(status: int | None) -> None:
    assert delay_s(after(1, failed(status, 3_600))) == 5


def test_nobody_can_put_a_delivery_off_for_more_than_a_day() -> None:
    assert delay_s(after(1, failed(429, 1e12))) == DAY_S


def test_the_reason_names_the_attempt_that_comes_next() -> None:
    assert after(2).reason == "Attempt 3 of 8, 5 min after the last."


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("000000000120", 120),
        ("86401", DAY_S),
        ("9" * 400, DAY_S),
        ("9" * 1_024, DAY_S),
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_every_form_of_an_http_date_is_utc_wherever_the_server_stands(
    value: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        moment_ms = int(datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp() * 1000)
        assert parse_retry_after(value, moment_ms - 90_000) == 90
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_date_in_the_past_means_now_and_one_far_ahead_a_day() -> None:
    past, ahead = datetime(2001, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
    assert parse_retry_after(format_datetime(past, usegmt=True), NOW) == 0
    assert parse_retry_after(format_datetime(ahead, usegmt=True), NOW) == DAY_S


@pytest.mark.parametrize(
    "value", [None, "", "soon", "-5", "1.5", "1e3", "١٢٠", "0x10", "Sun, 99 Nov 1994 08:49:37 GMT"]
)
def test_what_cannot_be_read_asks_for_nothing(value: str | None) -> None:
    assert parse_retry_after(value, NOW) is None


@given(
    st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,4} [A-Z][a-z]{2} [0-9]{1,9} [0-9:]{0,9} ?[A-Z+0-9-]*")
)
def test_no_header_breaks_the_parser_or_leads_beyond_a_day(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= DAY_S


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (5, "5 s"), (90, "90 s"), (300, "5 min"), (7_200, "2 h"), (5_400, "90 min")]
)
def test_delays_are_said_in_the_largest_unit_that_fits(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
