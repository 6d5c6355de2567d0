"""The trace that work belongs to, by W3C Trace Context: a call's own, and then that of all it leads to.

The one truth about it: logs, screens and what is sent to others take their ids from here, whether spans are exported
(`core.tracing`) or not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import NamedTuple

from structlog.contextvars import clear_contextvars

_GIVEN = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_RANDOM_BITS = 32  # of a trace id, its last: those are random also where it is an id of ours, which counts before them


class Place(NamedTuple):
    """Where in a trace something is done."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str | None  # 16 of them: the span within which it is done; None: within none
    sampled: bool  # whether spans of this trace are exported

    @property
    def parent(self) -> str | None:
        """The span and whether it is sampled, as it is stored beside a trace id; see `stored`."""
        return None if self.span_id is None else f"{self.span_id}-0{self.sampled:d}"

    @property
    def mark(self) -> str:
        """All of it in one text, as it is stored where nothing else holds the trace id; see `marked`."""
        return self.trace_id if self.span_id is None else f"{self.trace_id}-{self.span_id}-0{self.sampled:d}"


_PLACE: ContextVar[Place | None] = ContextVar("place", default=None)
_threshold: int | None = None  # of the last bits of a trace id, below which it is sampled; None: nothing is exported


def sample(ratio: float | None) -> None:
    """Set which share of the traces that begin here is exported; None: this process exports none."""
    global _threshold  # noqa: PLW0603 - one per process, set at its start
    _threshold = None if ratio is None else round(ratio * (1 << _RANDOM_BITS))


def is_sampled(trace_id: str) -> bool:
    """Whether a trace that begins here is exported: the same answer in each process that has the same ratio.

    Where nothing is exported it is for those who come after to decide, so they are told yes.
    """
    return _threshold is None or int(trace_id[-_RANDOM_BITS // 4 :], 16) < _threshold


def new_span_id() -> str:
    """An id of a span. It only has to be different, and not to be zero: the kernel is not asked for it."""
    return f"{random.getrandbits(64) | 1:016x}"


def new_place() -> Place:
    """The beginning of a trace."""
    trace_id = f"{random.getrandbits(128) | 1:032x}"
    return Place(trace_id, None, is_sampled(trace_id))


def given(traceparent: str) -> Place | None:
    """What a header `traceparent` says; None if it makes no sense."""
    found = _GIVEN.fullmatch(traceparent)
    if found is None or found[1] == _NO_TRACE or found[2] == _NO_SPAN:
        return None
    return Place(found[1], found[2], bool(int(found[3], 16) & 1))


def stored(trace_id: str, parent: str | None) -> Place:
    """What was stored as a trace id and `Place.parent`."""
    if parent is None:
        return Place(trace_id, None, is_sampled(trace_id))
    return Place(trace_id, parent[:16], parent.endswith("1"))


def marked(mark: str) -> Place:
    """What was stored as `Place.mark`."""
    return stored(mark[:32], mark[33:] or None)


def current() -> Place | None:
    """Where what is being done now belongs; None: nowhere yet."""
    return _PLACE.get()


def here() -> Place:
    """The same, or the beginning of a trace of its own."""
    return _PLACE.get() or new_place()


def enter(place: Place | None) -> None:
    """From now on, what this task of the event loop does belongs there."""
    _PLACE.set(place)


@contextmanager
def within(place: Place | None) -> Generator[None]:
    """The same for a while."""
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


def apart() -> Context:
    """The context for a task that serves more than what is being done now: it is of no trace and no request."""
    context = copy_context()
    context.run(_PLACE.set, None)
    context.run(clear_contextvars)
    return context


def trace_id() -> str:
    """The trace of what is being done now; a new one where there is none."""
    return here().trace_id


def traceparent(place: Place, span_id: str | None = None) -> str:
    """The header by which the receiver of a call goes on with a trace; `span_id`: of the call itself."""
    return f"00-{place.trace_id}-{span_id or new_span_id()}-0{place.sampled:d}"
