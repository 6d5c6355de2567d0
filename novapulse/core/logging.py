"""Logs: structured, JSON or readable, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, cast

import structlog

from novapulse.settings import Settings

_SECRET_KEYS = re.compile(r"(?i)password|secret|token|authorization|cookie|api_?key")
_SECRET_VALUES = re.compile(
    r"np_live_[A-Za-z0-9_-]+|whsec_[A-Za-z0-9+/=]+|(?i:bearer)\s+\S+|(?<=://)[^/\s:@]*:[^/\s]+(?=@)"
)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what looks like a secret, by name or by shape. A structlog processor."""
    for key, value in event.items():
        event[key] = "***" if key != "event" and _SECRET_KEYS.search(key) else _without_secrets(value)
    return event


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_VALUES.sub("***", value)
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {key: "***" if _SECRET_KEYS.search(str(key)) else _without_secrets(item) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item) for item in cast("Sequence[Any]", value)]
    return value


def configure(settings: Settings, process: str) -> None:
    """Set up the logs of this process; `process` (web, worker, ...) is on every line."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    # Libraries that log by the standard library share the format.
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        foreign_pre_chain=shared,
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
