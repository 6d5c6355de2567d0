"""Logs: structured, JSON or readable, each line with its request and its trace, without secrets.

Libraries that log by the standard library, and what nobody caught, come out in the same form.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from types import TracebackType
from typing import Any

import structlog

from novapulse.core import trace
from novapulse.core.redaction import redact
from novapulse.settings import Settings

__all__ = ["configure", "redact"]

_WINDOW_S = 10.0
_ALIKE_MAX = 20  # lines of one kind in a window; the first after it says how many were left out
_KINDS_MAX = 2_000
_OFTEN = frozenset({"call"})  # the access log bounds itself

Event = MutableMapping[str, Any]


class _Printer(structlog.PrintLogger):
    """Prints lines, and knows for whom."""

    def __init__(self, name: str) -> None:
        super().__init__(sys.stderr)
        self.name = name


class _Repeats:
    """Leaves out lines of a kind that comes again and again."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], list[float]] = {}  # end of the window, lines in it

    def __call__(self, _logger: object, method: str, event: Event) -> Event:
        words = event.get("event")
        if not isinstance(words, str) or words in _OFTEN:
            return event
        now = time.monotonic()
        kind = self._kinds.get((words, method))
        if kind is None or kind[0] <= now:
            if kind is not None and kind[1] > _ALIKE_MAX:
                event["left_out"] = int(kind[1]) - _ALIKE_MAX
            if len(self._kinds) >= _KINDS_MAX:
                self._kinds.clear()
            self._kinds[words, method] = [now + _WINDOW_S, 1.0]
            return event
        kind[1] += 1
        if kind[1] > _ALIKE_MAX:
            raise structlog.DropEvent
        return event


class _Levels:
    """Levels of single modules, and of what is in them."""

    def __init__(self, levels: Mapping[str, str], least: int) -> None:
        names = logging.getLevelNamesMapping()
        self._own = {name: names[level.upper()] for name, level in levels.items()}
        self._least = least
        self._known: dict[str, int] = {}
        self.lowest = min([least, *self._own.values()])

    def of(self, name: str) -> int:
        """The level of a logger: its own, or that of the nearest above it."""
        known = self._known.get(name)
        if known is None:
            parts = name.split(".")
            above = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
            known = self._known[name] = next((self._own[each] for each in above if each in self._own), self._least)
        return known

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        if isinstance(logger, _Printer) and _METHODS.get(method, logging.ERROR) < self.of(logger.name):
            raise structlog.DropEvent
        return event

    def apply(self) -> None:
        """Have the standard library's loggers keep to them."""
        for name, level in self._own.items():
            logging.getLogger(name).setLevel(level)


_METHODS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def _named(process: str) -> Callable[[Any, str, Event], Event]:
    def say(logger: Any, _method: str, event: Event) -> Event:
        """Say who writes, and in which trace."""
        event["process"] = process
        record = event.get("_record")  # of a library
        name = getattr(logger, "name", "") if record is None else record.name
        if name:
            event["logger"] = name
        place = trace.current()
        if place is not None:
            event["trace_id"] = place.trace_id
        return event

    return say


def configure(settings: Settings, process: str) -> None:
    """Set up the logs of this process; `process` (web, worker, ...) is on every line."""
    least = logging.getLevelNamesMapping()[settings.log_level.upper()]
    levels = _Levels(settings.log_levels, least)
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _named(process),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*([levels] if settings.log_levels else []), _Repeats(), *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(levels.lowest),
        logger_factory=lambda *names: _Printer(str(names[0]) if names else ""),
        cache_logger_on_first_use=True,
    )
    # Libraries that log by the standard library share the format.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    handler.addFilter(_NotTooOften())
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[handler], force=True)
    levels.apply()
    logging.captureWarnings(True)
    _catch_the_uncaught()


class _NotTooOften(logging.Filter):
    """The same limit on repeats for libraries, whose records no processor can drop."""

    def __init__(self) -> None:
        super().__init__()
        self._repeats = _Repeats()

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            self._repeats(None, record.levelname, {"event": f"{record.name}: {record.msg}"})
        except structlog.DropEvent:
            return False
        return True


def _catch_the_uncaught() -> None:
    """Have what nobody caught logged as everything else is, without secrets."""
    log = structlog.get_logger("novapulse")

    def of_process(kind: type[BaseException], error: BaseException, found: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, found)
            return
        log.critical("uncaught_error", exc_info=(kind, error, found))

    def of_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None and not isinstance(told.exc_value, SystemExit):
            thread = told.thread.name if told.thread else ""
            log.critical("uncaught_error", thread=thread, exc_info=(told.exc_type, told.exc_value, told.exc_traceback))

    sys.excepthook = of_process
    threading.excepthook = of_thread
