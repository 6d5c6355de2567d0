"""Times of schedules, checked when they are written. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from novapulse.core.errors import FieldError


def check_cron(place: str, cron: str, timezone: str) -> Iterator[FieldError]:
    """What is wrong with a schedule, if anything is: it cannot be read, or it never comes."""
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield FieldError(f"{place}/timezone", f"there is no time zone '{timezone}'; write it as 'Europe/Berlin'")
        return
    try:
        next(CronSim(cron, datetime.now(UTC).astimezone(zone)))
    except CronSimError as error:
        yield FieldError(f"{place}/cron", f"cannot be read ({error}); five fields, as in '0 9 * * 1-5'")
    except StopIteration:
        yield FieldError(f"{place}/cron", "never comes: there is no such day in the next fifty years")


def next_time(cron: str, timezone: str, after_ms: int) -> int | None:
    """When a schedule comes next, in ms; None: never."""
    after = datetime.fromtimestamp(after_ms / 1000, UTC).astimezone(ZoneInfo(timezone))
    try:
        return round(next(CronSim(cron, after)).timestamp() * 1000)
    except StopIteration:
        return None
