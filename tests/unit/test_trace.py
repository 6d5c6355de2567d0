"""Where work belongs in a trace: read, stored, sampled; and what exports it loses nothing but spans."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core import exporting, trace, tracing
from novapulse.core.ids import new_id
from novapulse.core.trace import Place
from novapulse.settings import Settings

TRACE, SPAN = "4b" * 16, "0f" * 8


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    tracing.active = None
    trace.sample(None)
    trace.enter(None)


@pytest.mark.parametrize(
    ("header", "place"),
    [
        (f"00-{TRACE}-{SPAN}-01", Place(TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-00", Place(TRACE, SPAN, False)),
        (f"cc-{TRACE}-{SPAN}-03-what-comes-later", Place(TRACE, SPAN, True)),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_a_callers_header_is_read_as_the_standard_says(header: str, place: Place | None) -> None:
    """W3C Trace Context, 3.2."""
    assert trace.given(header) == place


@given(st.booleans())
def test_what_is_stored_comes_back(sampled: bool) -> None:
    place = Place(TRACE, SPAN, sampled)
    assert trace.marked(place.mark) == trace.stored(TRACE, place.parent) == place
    assert trace.given(trace.traceparent(place, SPAN)) == place
    bare = trace.marked(TRACE)
    assert (bare.trace_id, bare.span_id, bare.mark, bare.parent) == (TRACE, None, TRACE, None)


def test_a_ratio_takes_that_share_of_traces_also_of_those_named_by_an_event() -> None:
    trace.sample(0.25)
    random = sum(trace.new_place().sampled for _ in range(4_000))
    events = sum(trace.is_sampled(new_id("evt").removeprefix("evt_")) for _ in range(4_000))
    assert 800 < random < 1_200 and 800 < events < 1_200
    for ratio, share in ((0.0, 0), (1.0, 100), (None, 100)):
        trace.sample(ratio)
        assert sum(trace.new_place().sampled for _ in range(100)) == share


def test_a_task_apart_is_of_no_trace() -> None:
    async def both() -> tuple[Place | None, Place | None]:
        trace.enter(Place(TRACE, SPAN, True))

        async def place() -> Place | None:
            return trace.current()

        return await asyncio.create_task(place()), await asyncio.create_task(place(), context=trace.apart())

    assert asyncio.run(both()) == (Place(TRACE, SPAN, True), None)


def test_off_nothing_is_made_and_nothing_heavy_is_imported() -> None:
    trace.enter(Place(TRACE, SPAN, True))
    tracing.setup(Settings(), "web")
    with tracing.span("x") as span, tracing.transaction("write", is_sqlite=True) as watch:
        assert span is None and watch is None
    assert tracing.active is None and trace.current() == Place(TRACE, SPAN, True)


def test_what_finds_no_room_is_dropped_and_counted_and_the_end_is_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_WAITING_MAX", 600)
    going = threading.Event()

    class Hanging(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            going.wait(30)

        def log_request(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        settings = Settings(otlp_endpoint=f"http://127.0.0.1:{server.server_address[1]}")
        tracing.setup(settings, "worker")
        assert tracing.active is not None
        trace.enter(Place(TRACE, None, True))
        for _ in range(2_000):
            with tracing.span("x", root=True):
                pass
        counts = tracing.counts()
        assert counts["dropped"] >= 2_000 - 600 - 512 and counts["exported"] == 0
        assert counts["waiting"] <= 600

        async def end() -> float:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await tracing.shutdown(0.2)
            return loop.time() - began

        assert asyncio.run(end()) < 5, "not the 10 s that a request may take"
        with tracing.span("too late", root=True) as late:
            assert late is None
    finally:
        going.set()
        server.shutdown()
        server.server_close()
