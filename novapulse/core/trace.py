"""The trace that work belongs to, by W3C Trace Context: a call's own, and then that of every job it leads to."""

from __future__ import annotations

import random
import re
from contextvars import ContextVar

_GIVEN = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NONE = "0" * 32
_TRACE: ContextVar[str | None] = ContextVar("trace", default=None)


def enter_trace(trace_id: str | None) -> None:
    """From now on, what this task of the event loop does belongs to this trace; None: to none yet."""
    _TRACE.set(trace_id)


def enter_given(traceparent: str) -> None:
    """The same with a header; one that makes no sense names no trace."""
    found = _GIVEN.fullmatch(traceparent)
    enter_trace(found[1] if found is not None and found[1] != _NONE else None)


def trace_id() -> str:
    """The trace of what is being done now; a new one where there is none."""
    return _TRACE.get() or f"{random.getrandbits(128) | 1:032x}"


def traceparent() -> str:
    """The header by which the receiver of a call goes on with the trace."""
    return f"00-{trace_id()}-{random.getrandbits(64) | 1:016x}-01"
