"""Spans, by OpenTelemetry: off unless `NOVAPULSE_OTLP_ENDPOINT` is set.

Where a span belongs is known to `core.trace`; here is what is exported of it. Spans are written when they end, with
the ids and times they turned out to have: a delivery costs a few microseconds and no context of its own, and what was
done for many at once can name them all. So the SDK's records, batching and exporter are used, but not its tracer, which
costs ten times as much. Off costs one look at `active`.

What a span says is bounded and no secret: names of ours, ids, numbers, hosts; never a payload, a statement's values,
the text of an exception, or the query of a URL.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import structlog

from novapulse.core import trace
from novapulse.core.errors import ProblemError
from novapulse.core.trace import Place

if TYPE_CHECKING:
    from novapulse.core.exporting import Exporting
    from novapulse.settings import Settings

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | bool | int | float
LINKS_MAX = 128  # of one span, as the SDK has it

active: Exporting | None = None  # what exports the spans of this process; None: nothing does

_NOTHING: AbstractContextManager[None] = nullcontext()

log = structlog.get_logger(__name__)


def setup(settings: Settings, process: str) -> None:
    """Begin to export the spans of this process (web, worker, ...), if a collector is configured."""
    global active  # noqa: PLW0603 - one per process, set at its start
    if not settings.otlp_endpoint or active is not None:
        return
    # Only here: the SDK takes a third of a second and 20 MB.
    from novapulse.core.exporting import Exporting

    trace.sample(settings.trace_sample_ratio)
    active = Exporting(settings, process)
    log.info("tracing", endpoint=settings.otlp_endpoint, ratio=settings.trace_sample_ratio)


async def shutdown(timeout_s: float) -> None:
    """Export what has ended, within `timeout_s`; what ends later is not exported."""
    global active
    exporting, active = active, None
    trace.sample(None)
    if exporting is not None:
        # A thread that no end of the process waits for: a collector that hangs must hold nothing up.
        thread = threading.Thread(target=exporting.close, name="tracing-close", daemon=True)
        thread.start()
        await asyncio.to_thread(thread.join, timeout_s)
        exporting.tell(late=thread.is_alive())


def enter_event() -> None:
    """What is done from now on is an event of a page: in the span that Reflex made of it, or in a trace of its own."""
    found = None if active is None else active.library_place()
    trace.enter(found or trace.new_place())


def here() -> Place | None:
    """Where spans of what is being done now belong; None: none are to be written."""
    if active is None:
        return None
    place = trace.current()
    return place if place is not None and place.sampled else None


class Span:
    """A span that has not ended."""

    __slots__ = ("attributes", "discarded", "error", "kind", "links", "name", "parent", "place", "started", "ticks")

    def __init__(
        self,
        name: str,
        kind: Kind,
        around: Place,
        attributes: Mapping[str, Value] | None = None,
        links: Sequence[Place] = (),
    ) -> None:
        """`around`: where it belongs; its own place within that is `place`."""
        self.name = name
        self.kind: Kind = kind
        self.place = Place(around.trace_id, trace.new_span_id(), True)
        self.parent = around.span_id
        self.attributes: dict[str, Value] = dict(attributes) if attributes else {}
        self.links = list(links)
        self.error: str | None = None  # what kind of error, if it failed
        self.discarded = False  # True: it turned out to be none
        self.started = time.time_ns()
        self.ticks = time.perf_counter_ns()

    def end(self, error: str | None = None) -> None:
        """Write it; `error`: the kind of error with which what it is of ended."""
        if not self.discarded:
            ended = self.started + time.perf_counter_ns() - self.ticks
            write(
                self.name, self.kind, self.place, self.parent, self.started, ended, self.attributes, self.links,
                error or self.error,
            )  # fmt: skip


def write(
    name: str,
    kind: Kind,
    place: Place,
    parent: str | None,
    started: int,
    ended: int,
    attributes: dict[str, Value],
    links: Sequence[Place] = (),
    error: str | None = None,
) -> None:
    """Export a span that is `place`, within the span `parent`, from `started` to `ended` (ns since the epoch)."""
    if active is not None:
        active.add(name, kind, place, parent, started, ended, attributes, links[:LINKS_MAX], error)


def span(
    name: str, kind: Kind = "internal", attributes: Mapping[str, Value] | None = None, *, root: bool = False
) -> AbstractContextManager[Span | None]:
    """What is done within `with` is a span, if spans are written here; None if they are not.

    `root`: it may begin a trace, where there is none yet.
    """
    around = here()
    if around is None:
        if active is None or not root or trace.current() is not None:
            return _NOTHING
        around = trace.new_place()
        if not around.sampled:
            return trace.within(around)
    return inside(Span(name, kind, around, attributes))


@contextmanager
def inside(made: Span) -> Generator[Span]:
    """What is done within `with` is this span."""
    try:
        with trace.within(made.place):
            yield made
    except BaseException as error:
        made.end(type(error).__qualname__)
        raise
    made.end()


class Watch:
    """The times (ns since the epoch) of one transaction: asked for, begun once it may write, and over."""

    __slots__ = ("asked", "began", "ended")

    def __init__(self) -> None:
        self.asked = self.began = self.ended = time.time_ns()

    def begin(self) -> None:
        """It may write now."""
        self.began = time.time_ns()

    def end(self) -> None:
        """It is over."""
        self.ended = time.time_ns()

    def write(
        self,
        around: Place,
        links: Sequence[Place],
        *,
        is_sqlite: bool,
        rows: int = 0,
        operation: str = "write",
        error: str | None = None,
    ) -> Place:
        """Write the span of the transaction; its place."""
        own = Place(around.trace_id, trace.new_span_id(), True)
        attributes: dict[str, Value] = {
            "db.system.name": "sqlite" if is_sqlite else "postgresql",
            "db.operation.name": operation,
        }
        if operation == "write":
            attributes["novapulse.db.wait_ms"] = round((self.began - self.asked) / 1e6, 3)
        if rows > 1:
            attributes["db.operation.batch.size"] = rows
        write(f"database {operation}", "client", own, around.span_id, self.asked, self.ended, attributes, links, error)
        return own


def transaction(operation: str, *, is_sqlite: bool) -> AbstractContextManager[Watch | None]:
    """A transaction within what is being done now; None if no spans are written of that."""
    around = here()
    return _NOTHING if around is None else _watched(around, operation, is_sqlite)


@contextmanager
def _watched(around: Place, operation: str, is_sqlite: bool) -> Generator[Watch]:
    watch, error = Watch(), None
    try:
        yield watch
    except ProblemError:
        raise  # what was asked for was refused; the database did well
    except BaseException as raised:
        error = type(raised).__qualname__
        raise
    finally:
        watch.end()
        watch.write(around, (), is_sqlite=is_sqlite, operation=operation, error=error)


def together(places: Sequence[Place]) -> tuple[Place, list[Place]]:
    """Where that belongs which is done for all of these at once, and to what it is linked.

    If they are all of one span, there; if not, it is a trace of its own.
    """
    first = places[0]
    distinct = list(dict.fromkeys(places))
    if len(distinct) == 1:
        return first, []
    around = Place(trace.new_place().trace_id, None, True)
    return around, [place for place in distinct[:LINKS_MAX] if place.span_id is not None]


def write_tick(work: str, started: int, did: int) -> None:
    """The scheduler did so much of some work, since `started` (ns)."""
    place = trace.new_place()
    if place.sampled:
        own = Place(place.trace_id, trace.new_span_id(), True)
        write(f"tick {work}", "internal", own, None, started, time.time_ns(), {"novapulse.tick.did": did})


def counts() -> dict[str, Any]:
    """How many spans were exported, could not be, and were dropped because too many waited."""
    return {} if active is None else active.counts()
