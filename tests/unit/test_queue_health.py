"""The health of a queue, its reasons, and how the live numbers are put into words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from novapulse.jobs.counts import Counted, Sampled
from novapulse.jobs.health import judge
from novapulse.live.shown import count, duration, line, span
from novapulse.settings import Settings

SETTINGS = Settings()


def health(
    *, workers: int | None = 2, oldest_s: float | None = None, mode: str = "running", note: str = "", slots: int = 4,
    sampled: dict[str, Any] | None = None, **numbers: int,
) -> tuple[str | None, list[str]]:  # fmt: skip
    numbers.setdefault("enqueued", sum(numbers.values()))
    counted = Counted(numbers, None, mode, note, "ada@example.com", 1_700_000_000_000)
    return judge(
        SETTINGS,
        counted=counted,
        workers=workers,
        slots=None if workers is None else slots,
        oldest_s=oldest_s,
        sampled=Sampled(**sampled or {}),
    )


@pytest.mark.parametrize(
    ("expected", "words", "state"),
    [
        ("healthy", "", {}),
        ("healthy", "", {"waiting": 9, "sampled": {"quiet_s": 59.0}}),
        ("down", "3 jobs are", {"workers": 0, "waiting": 1, "delayed": 2}),
        ("degraded", "No worker", {"workers": 0}),
        (None, "Valkey", {"workers": None}),
        ("stalled", "nothing has ended for 60 s", {"waiting": 1, "active": 1, "sampled": {"quiet_s": 60.0}}),
        ("degraded", "All 4 slots", {"waiting": 1, "active": 4, "sampled": {"quiet_s": 600.0}}),
        ("degraded", "waited for 5 min", {"waiting": 1, "oldest_s": 300.0}),
        ("degraded", "1,200 more", {"waiting": 1, "sampled": {"growing": 1200}}),
        ("degraded", "25%", {"sampled": {"error_rate": 0.25, "attempts": 40}}),
        ("healthy", "", {"sampled": {"error_rate": 1.0, "attempts": 2}}),
        ("healthy", "", {"sampled": {"error_rate": 0.1, "attempts": 900}}),
        ("degraded", "2 jobs are missing", {"waiting": 1, "enqueued": 3}),
        ("degraded", "1 job more", {"waiting": 1, "enqueued": 0}),
        ("paused", "by ada@example.com since 2023-11-14 22:13 UTC: oh", {"mode": "paused", "note": "oh", "waiting": 9}),
        ("paused", "Paused", {"mode": "paused", "workers": None}),
        ("paused", "No worker", {"mode": "paused", "workers": 0, "waiting": 1}),
        ("healthy", "Draining", {"mode": "draining"}),
        ("stalled", "nothing has ended", {"mode": "draining", "waiting": 1, "sampled": {"quiet_s": 60.0}}),
    ],
)  # fmt: skip
def test_health_and_its_reasons(expected: str | None, words: str, state: dict[str, Any]) -> None:
    found, reasons = health(**state)
    assert found == expected
    assert bool(reasons) == bool(words)
    assert words in " ".join(reasons)


def test_the_worst_finding_decides_and_all_are_told() -> None:
    found, reasons = health(waiting=1, oldest_s=900.0, sampled={"quiet_s": 61.0, "error_rate": 1.0, "attempts": 10})
    assert (found, len(reasons)) == ("stalled", 3)


def test_a_database_that_is_away_is_no_zero() -> None:
    found, reasons = judge(SETTINGS, counted=None, workers=1, slots=1, oldest_s=None, sampled=Sampled())
    assert found is None
    assert reasons == ["The database cannot be asked."]


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([0.0, 0.0], "M58 20h.1L59 20"),
        ([0.0, 5.0, 10.0], "M57 20h.1L58 10L59 1"),
        ([1.0, None, 1.0], "M57 1h.1M59 1h.1"),
        ([None, None], ""),
    ],
)
def test_a_line_breaks_where_nothing_is_known(values: list[float | None], path: str) -> None:
    assert line(values) == path
    assert re.fullmatch(r"([ML]\d+ \d+(h\.1)?)*", path)


def test_numbers_in_words() -> None:
    assert (count(None), count(0), count(1234567)) == ("?", "0", "1,234,567")
    assert (duration(None), duration(12.4), duration(2500), duration(180_000)) == ("–", "12 ms", "2.5 s", "3 min")
    assert (span(None), span(0.04), span(59), span(7200), span(3 * 86_400)) == ("–", "0.0 s", "59 s", "2 h", "3 d")
