"""When a failed delivery is tried again. Pure: the clock and chance are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from novapulse.webhooks.outcome import Outcome

# Delay in seconds before each attempt; the first is at once. Standard Webhooks, "Retry schedule", plus 5 s.
DEFAULT_SCHEDULE_S: tuple[float, ...] = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)

_JITTER = 0.2  # a delay is lengthened by up to this share, so that failures do not come back as one crowd
_ASKS_TO_WAIT = (429, 503)  # RFC 6585 section 4, RFC 9110 section 10.2.3
_RETRY_AFTER_MAX_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows a failed attempt."""

    next_attempt_at: int | None  # ms since the epoch; None: it was the last
    reason: str  # one sentence for people


def decide(
    outcome: Outcome,
    *,
    failures_in_schedule: int,
    schedule: Sequence[float] | None,
    manual: bool,
    now: int,
    random: Callable[[], float],
) -> Decision:
    """When to try again after a failure.

    Args:
        outcome: the attempt that failed.
        failures_in_schedule: how many attempts of this schedule have failed, this one included (1 or more).
        schedule: delays in seconds before each attempt; None for the default.
        manual: the attempt was asked for by a person, and is not repeated.
        now: ms since the epoch.
        random: a number in [0, 1) per call, for jitter.
    """
    delays = DEFAULT_SCHEDULE_S if schedule is None else schedule
    if manual:
        return Decision(None, "Tried once by hand; the schedule was already used up.")
    if failures_in_schedule >= len(delays):
        return Decision(None, f"All {len(delays)} attempts of the schedule failed.")
    delay_s = delays[failures_in_schedule] * (1 + _JITTER * random())
    reason = (
        f"Attempt {failures_in_schedule + 1} of {len(delays)}, {spoken(delays[failures_in_schedule])} after the last."
    )
    if outcome.retry_after_s is not None and outcome.status_code in _ASKS_TO_WAIT:
        asked_s = min(outcome.retry_after_s, _RETRY_AFTER_MAX_S)
        if asked_s > delay_s:
            delay_s = asked_s * (1 + _JITTER / 4 * random())
            reason = f"The receiver answered {outcome.status_code} and asked to wait {spoken(asked_s)}."
    return Decision(now + round(delay_s * 1000), reason)


def parse_retry_after(value: str | None, now: int) -> float | None:
    """Seconds from `now` (ms) that `Retry-After` asks for (RFC 9110, 10.2.3); None where it cannot be read."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), _RETRY_AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(value)
        # The old form of ANSI C's asctime() names no zone; HTTP means UTC (RFC 9110, 5.6.7).
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now / 1000
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(0.0, seconds), _RETRY_AFTER_MAX_S)


def spoken(seconds: float) -> str:
    """A number of seconds as people say it: `5 min`, `2 h`."""
    for size, word in ((3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {word}"
    return f"{seconds:g} s"
