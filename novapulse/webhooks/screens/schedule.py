"""The retry schedule as people write it, and as what is drawn of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from math import log1p
from typing import Any, NamedTuple

from pydantic import ValidationError

from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S
from novapulse.webhooks.schemas import RetryIn

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_FACTORS = dict(_UNITS) | {"m": 60, "sec": 1, "": 1}
_WAIT = r"(\d+(?:\.\d+)?) ?(min|sec|[smhd])?"
_WRITTEN = re.compile(rf"(?:{_WAIT}(?: |$))+", re.IGNORECASE)
_ONE = re.compile(_WAIT, re.IGNORECASE)
_WAIT_MAX_S = 7 * 86_400


class Preset(NamedTuple):
    """A schedule to start from."""

    key: str
    label: str
    delays_s: tuple[float, ...]
    text: str  # what it puts into the field
    shown: str  # the same written out: the default is an empty field


def write(delays_s: Sequence[float]) -> str:
    """Delays as text that `parse` reads as the same schedule; the first attempt, at once, goes without saying."""
    rest = delays_s[1:] if len(delays_s) > 1 and delays_s[0] == 0 and delays_s[1] != 0 else delays_s
    return ", ".join(_written(delay) for delay in rest)


def parse(text: str) -> list[float] | None:
    """Delays before each attempt, the first included; None for the default schedule.

    Raises:
        ValueError: with what a schedule looks like.
    """
    # One separator between any two words: with several, an expression over them could be tried in countless ways.
    text = re.sub(r"[\s,;]+", " ", text).strip()
    if not text:
        return None
    if not _WRITTEN.fullmatch(text):
        raise ValueError("must be waits such as 5 s, 5 min, 2 h, separated by commas; a plain number is seconds")
    waits = [float(number) * _FACTORS[unit.lower()] for number, unit in _ONE.findall(text)]
    if max(waits) > _WAIT_MAX_S:
        raise ValueError("must have no wait of more than 7 d")
    try:
        return RetryIn(schedule_s=waits[:100]).schedule_s
    except ValidationError:
        raise ValueError("must have at most 20 attempts, the first included") from None


def timeline(delays_s: Sequence[float]) -> list[dict[str, Any]]:
    """The attempts in order, each with its wait and how long the line to the next one is.

    The axis is stretched: a line grows with the logarithm of its wait, or 5 s would be nothing beside 10 h.
    """
    after, steps = 0.0, []
    for place, delay in enumerate(delays_s):
        after += delay
        last = place == len(delays_s) - 1
        steps.append(
            {
                "n": place + 1,
                "wait": "at once" if place == 0 else f"+{spoken(delay)}",
                "at": "when the event comes" if place == 0 else f"about {spoken(after)} after the event",
                "grow": 0 if last else round(log1p(delays_s[place + 1]), 2),
                "last": last,
            }
        )
    return steps


def total(delays_s: Sequence[float]) -> str:
    """How often is tried, and for how long."""
    if len(delays_s) == 1:
        return "One attempt: what fails is not tried again."
    return f"{len(delays_s)} attempts; gives up after about {spoken(sum(delays_s))}."


def preset_of(delays_s: Sequence[float] | None) -> str:
    """The key of the preset that is this schedule, or ''."""
    wanted = DEFAULT_SCHEDULE_S if delays_s is None else tuple(delays_s)
    return next((preset.key for preset in PRESETS if preset.delays_s == wanted), "")


def spoken(seconds: float) -> str:
    """A span as people say it, in its two largest units: `1 d 3 h`, `12 min 35 s`."""
    left = seconds if seconds < 10 else round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS[:-1]:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size:.0f} {unit}")
            left %= size
    if not parts or (left and len(parts) < 2):
        parts.append(f"{left:g} s")
    return " ".join(parts)


def _written(seconds: float) -> str:
    for unit, size in _UNITS[:-1]:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{plain(seconds)} s"


def plain(number: float) -> str:
    """A number with all its digits, and never an exponent."""
    return f"{number:.0f}" if number == int(number) else f"{Decimal(repr(number)):f}"


def _preset(key: str, label: str, *delays_s: float) -> Preset:
    written = write(delays_s)
    return Preset(key, label, delays_s, "" if delays_s == DEFAULT_SCHEDULE_S else written, written)


PRESETS = (
    _preset("default", "Default", *DEFAULT_SCHEDULE_S),
    _preset("quick", "Quick", 0, 5, 30, 120, 600),
    _preset("patient", "Patient", 0, 5, 300, *(h * 3_600 for h in (1, 6, 12)), *([86_400] * 5)),
    _preset("once", "One attempt", 0),
)
