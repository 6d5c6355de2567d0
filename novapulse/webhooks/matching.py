"""Which event types a pattern takes: `*`, one type exactly, or `invoice.*` for all below `invoice.`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

TYPE_MAX = 128  # characters
TYPE_RULE = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"  # browsers read this expression, too
TYPE_RULES = "an event type is words of letters, digits, '_' and '-', joined by dots, e.g. 'invoice.paid'"
PATTERN_RULES = "a pattern is a type, 'invoice.*' for all below it, or '*' for all"
_TYPE = re.compile(TYPE_RULE)


def check_event_type(name: str) -> None:
    """Refuse what is not a type such as `invoice.paid`.

    Raises:
        ValueError: with what a type looks like.
    """
    if len(name) > TYPE_MAX:
        raise ValueError(f"an event type has at most {TYPE_MAX} characters")
    if not _TYPE.fullmatch(name):
        raise ValueError(TYPE_RULES)


def check_pattern(pattern: str) -> None:
    """Refuse what is neither a type, nor `*`, nor a type followed by `.*`.

    Raises:
        ValueError: with what a pattern looks like.
    """
    if pattern == "*":
        return
    try:
        check_event_type(pattern.removesuffix(".*"))
    except ValueError as error:
        raise ValueError(f"{error}; {PATTERN_RULES}") from None


def matches(pattern: str, event_type: str) -> bool:
    """Whether the pattern takes the type; `invoice.*` takes `invoice.paid` and `invoice.paid.late`, not `invoice`."""
    if pattern == "*":
        return True
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern == event_type


class Matcher:
    """Many patterns at once: one look-up per segment of the type, however many patterns there are."""

    def __init__(self, patterns_by_id: Mapping[str, Sequence[str]]) -> None:
        self._by_pattern: dict[str, list[str]] = {}
        for id_, patterns in patterns_by_id.items():
            for pattern in patterns:
                self._by_pattern.setdefault(pattern, []).append(id_)

    def match(self, event_type: str) -> list[str]:
        """The ids with a pattern that takes the type, each once, in a stable order."""
        found = list(self._by_pattern.get("*", ()))
        found += self._by_pattern.get(event_type, ())
        end = event_type.find(".")
        while end != -1:
            found += self._by_pattern.get(event_type[: end + 1] + "*", ())
            end = event_type.find(".", end + 1)
        return list(dict.fromkeys(found))
