"""When a mail that was not taken is tried again. Pure: the clock and chance are given."""

from __future__ import annotations

from collections.abc import Callable

_DELAYS_S = (10, 30, 60, 300, 900, 1_800)
_LATER_S = 3_600
_JITTER = 0.2  # a delay is lengthened by up to this share, so that failures do not come back as one crowd
# RFC 5321, 4.5.4.1 has relays try for days. What we tell is about now, and its links work for minutes to days.
GIVE_UP_MS = 24 * 3_600_000


def next_attempt(attempts: int, first_at: int, now: int, random: Callable[[], float]) -> int | None:
    """When (ms) the attempt after the `attempts`th is due; None: it was the last. The first was at `first_at`."""
    delay_s = _DELAYS_S[attempts - 1] if attempts <= len(_DELAYS_S) else _LATER_S
    at = now + round(delay_s * 1000 * (1 + _JITTER * random()))
    return at if at < first_at + GIVE_UP_MS else None
