"""A retry schedule as people write it, and what is drawn of it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S
from novapulse.webhooks.schemas import RetryIn
from novapulse.webhooks.screens import schedule

DELAYS = st.floats(0, 7 * 86_400, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "delays"),
    [
        ("5 s, 5 min, 2 h, 1 d", [0, 5, 300, 7_200, 86_400]),
        ("5m 2H;1d", [0, 300, 7_200, 86_400]),
        ("0, 5, 300", [0, 5, 300]),
        ("5 10\n300", [0, 5, 10, 300]),
        ("1.5 h", [0, 5_400]),
        ("0", [0]),
        (" , 30sec , ", [0, 30]),
    ],
)
def test_waits_are_read(text: str, delays: list[float]) -> None:
    assert schedule.parse(text) == delays


def test_nothing_means_the_default() -> None:
    assert schedule.parse(" ,\n") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("soon", "waits such as"),
        ("5 s, later", "waits such as"),
        ("-5", "waits such as"),
        ("1e3", "waits such as"),
        ("nan", "waits such as"),
        ("5 weeks", "waits such as"),
        ("8 d", "more than 7 d"),
        ("9" * 12, "more than 7 d"),
        ("1 s " * 20, "at most 20 attempts"),
        ("1 s " * 5_000, "at most 20 attempts"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        schedule.parse(text)


@pytest.mark.parametrize(
    "text", ["1 " * 5_000 + "x", "1  " * 5_000 + "x", "1" * 20_000, " " * 20_000 + "x", "1." * 9_000]
)
def test_long_nonsense_is_refused_at_once(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match="must"):
        schedule.parse(text)
    assert time.monotonic() - began < 1


@given(st.lists(DELAYS, min_size=1, max_size=19))
def test_every_schedule_of_the_api_survives_the_form(delays: list[float]) -> None:
    stored = RetryIn(schedule_s=delays).schedule_s
    assert schedule.parse(schedule.write(stored)) == stored


def test_a_preset_is_what_its_text_says() -> None:
    for preset in schedule.PRESETS:
        read = schedule.parse(preset.text)
        assert tuple(DEFAULT_SCHEDULE_S if read is None else read) == preset.delays_s
        assert schedule.preset_of(read) == preset.key
    assert schedule.preset_of([0, 1]) == ""


def test_the_timeline_numbers_and_labels_each_attempt() -> None:
    steps = schedule.timeline([0, 5, 300])
    assert [(step["n"], step["wait"]) for step in steps] == [(1, "at once"), (2, "+5 s"), (3, "+5 min")]
    assert [step["at"] for step in steps[1:]] == ["about 5 s after the event", "about 5 min 5 s after the event"]
    assert [step["last"] for step in steps] == [False, False, True]
    assert steps[1]["grow"] > steps[0]["grow"] > 0 == steps[2]["grow"]


@pytest.mark.parametrize(
    ("delays", "says"),
    [
        (DEFAULT_SCHEDULE_S, "8 attempts; gives up after about 1 d 3 h."),
        ([0, 5, 30, 120, 600], "5 attempts; gives up after about 12 min 35 s."),
        ([0], "One attempt: what fails is not tried again."),
    ],
)
def test_the_total_is_said(delays: list[float], says: str) -> None:
    assert schedule.total(delays) == says


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0 s"), (0.5, "0.5 s"), (60, "1 min"), (90, "1 min 30 s"), (3_599.7, "1 h"), (86_400 * 2 + 59, "2 d 59 s")],
)
def test_spans_are_said_in_two_units(seconds: float, says: str) -> None:
    assert schedule.spoken(seconds) == says
