"""A real collector of traces for tests: takes OTLP over HTTP, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

_LIMIT_S = 20.0
_KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class Seen:
    """A span as it came in."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str  # "": none
    service: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]]  # trace and span
    failed: bool
    raw: str  # all of it, for who looks for what must not be there


@dataclass
class Collector:
    """What came in so far; `status` is what it answers."""

    port: int = 0
    status: int = 200
    spans: list[Seen] = field(default_factory=list[Seen])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    @property
    def url(self) -> str:
        """For `NOVAPULSE_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    def of(self, trace_id: str) -> list[Seen]:
        """The spans of a trace."""
        return [span for span in list(self.spans) if span.trace_id == trace_id]

    def wait(self, found: Callable[[list[Seen]], Any]) -> Any:
        """Wait until something is found among the spans; it."""
        end = time.monotonic() + _LIMIT_S
        while not (answer := found(list(self.spans))):
            assert time.monotonic() < end, sorted((span.service, span.name) for span in self.spans)
            time.sleep(0.05)
        return answer

    def take(self, body: bytes) -> None:
        """Keep what a request holds."""
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            service = _plain(of_resource.resource.attributes)["service.name"]
            for of_scope in of_resource.scope_spans:
                self.spans += [_seen(span, service, str(of_resource.resource)) for span in of_scope.spans]


def _seen(span: trace_pb2.Span, service: str, resource: str) -> Seen:
    return Seen(
        span.name,
        _KINDS[span.kind],
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        service,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _plain(span.attributes),
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        f"{span}{resource}",
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers.append({name.lower(): value for name, value in self.headers.items()})
            if collector.status == 200 and self.path == "/v1/traces":
                collector.take(body)
            self.send_response(collector.status)
            self.end_headers()

        def log_request(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
