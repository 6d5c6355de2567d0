"""Cron expressions: whether they can ever fire, when they fire next, and what they say. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_NAMES = {"Bad minute": 0, "Bad hour": 1, "Bad day-of-month": 2, "Bad month": 3, "Bad day-of-week": 4}
_PARTS_MAX = 60  # of one field: more than its values is no use


class BadCronError(ValueError):
    """The expression is none, or never fires; says which field."""


def check_timezone(name: str) -> None:
    """Refuse what is no time zone.

    Raises:
        ValueError: there is none of this name.
    """
    _zone(name)


def next_fires(cron: str, timezone: str, after_ms: int, count: int) -> list[int]:
    """The next times (ms) after a moment, at most `count`.

    What falls into the hour that is left out in spring fires right after it; what falls into the one that comes twice
    in autumn fires once, unless it is said by `*`.

    Raises:
        BadCronError: the expression is none, or never fires.
        ValueError: no such time zone.
    """
    parts = cron.split()
    if len(parts) != len(_FIELDS):
        raise BadCronError(f"has {len(parts)} fields, not five: {', '.join(_FIELDS)}")
    for name, part in zip(_FIELDS, parts, strict=True):
        if part.count(",") >= _PARTS_MAX:
            raise BadCronError(f"the {name} '{part[:40]}' lists more than {_PARTS_MAX} values")
    moment = datetime.fromtimestamp(after_ms / 1000, UTC).astimezone(_zone(timezone))
    found: list[int] = []
    try:
        times = CronSim(" ".join(parts), moment)
        while len(found) < count:
            at = round(next(times).timestamp() * 1000)
            # Two ticks of the left-out hour are one moment.
            if at > (found[-1] if found else after_ms):
                found.append(at)
    except CronSimError as error:
        raise BadCronError(_explain(str(error), parts)) from None
    except (StopIteration, OverflowError):
        if not found:
            raise BadCronError(
                f"never fires: there is no day '{parts[2]}' in the month '{parts[3]}' that is a '{parts[4]}'"
            ) from None
    return found


def explain(cron: str) -> str:
    """An expression in words; itself, if that cannot be said."""
    try:
        return CronSim(" ".join(cron.split()), datetime(2000, 1, 1, tzinfo=UTC)).explain()
    except CronSimError:
        return cron


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # a folder of the database is an OSError
        raise ValueError(f"there is no time zone '{name[:60]}'; one is Europe/Paris") from None


def _explain(message: str, parts: list[str]) -> str:
    at = _NAMES.get(message)
    if at is None:
        return message.lower()
    if at == 2 and parts[2].replace(",", "").isdigit() and all(1 <= int(day) <= 31 for day in parts[2].split(",")):
        return f"never fires: the month '{parts[3]}' has no day {parts[2]}"
    return f"the {_FIELDS[at]} '{parts[at][:40]}' is not valid"
