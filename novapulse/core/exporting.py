"""The exporter of spans. Imported only where one is configured (`core.tracing`)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import structlog
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, get_current_span

from novapulse.core import trace
from novapulse.core.trace import Place
from novapulse.core.version import VERSION
from novapulse.settings import Settings

_WAITING_MAX = 8_192  # spans in memory; further ones are dropped
_BATCH = 512
_EVERY_MS = 1_000
_TIMEOUT_S = 10.0  # for a batch, with its repeats
_TELL_EVERY_S = 60.0
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_TEXT_OF_ERRORS = ("exception.message", "exception.stacktrace")  # may say anything

log = structlog.get_logger(__name__)


class Exporting(BatchSpanProcessor):
    """Collects spans and sends them, some time later and from a thread of its own; a full memory drops what comes."""

    def __init__(self, settings: Settings, process: str) -> None:
        """`process` names the kind of process: web, worker, scheduler."""
        self._sink = _Counted(
            OTLPSpanExporter(
                traces_address(settings.otlp_endpoint),
                headers=settings.otlp_header_fields,
                timeout=_TIMEOUT_S,
                compression=Compression.Gzip,
            )
        )
        super().__init__(
            self._sink,
            max_queue_size=_WAITING_MAX,
            schedule_delay_millis=_EVERY_MS,
            max_export_batch_size=_BATCH,
        )
        host = socket.gethostname()
        self._resource = Resource.create(
            {
                "service.namespace": settings.trace_service_name,
                "service.name": f"{settings.trace_service_name}-{process}",
                "service.instance.id": settings.trace_instance or f"{host}-{os.getpid()}",
                "service.version": VERSION,
                "host.name": host,
                "process.pid": os.getpid(),
            }
        )
        self._scope = InstrumentationScope("novapulse", VERSION)
        self._added = 0
        self._dropped = 0
        self._told_at = -_TELL_EVERY_S
        self._told = 0

    def add(
        self,
        name: str,
        kind: str,
        place: Place,
        parent: str | None,
        started: int,
        ended: int,
        attributes: dict[str, Any],
        links: Sequence[Place],
        error: str | None,
    ) -> None:
        """Export a span; see `tracing.write`."""
        if error is not None:
            attributes["error.type"] = error
        self.on_end(
            ReadableSpan(
                name,
                _context(place.trace_id, place.span_id),
                None if parent is None else _context(place.trace_id, parent, remote=kind in ("server", "consumer")),
                self._resource,
                attributes,
                (),
                [Link(_context(each.trace_id, each.span_id)) for each in links],
                _KINDS[kind],
                None,
                _UNSET if error is None else _FAILED,
                started,
                ended,
                self._scope,
            )
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span in, unless too many wait."""
        if self._added - self._sink.taken >= _WAITING_MAX:
            self._dropped += 1
            self.tell()
            return
        self._added += 1
        super().on_end(_without_texts(span) if span.events else span)

    def provider(self) -> TracerProvider:
        """For libraries that make spans by the API of OpenTelemetry; they go the same way."""
        provider = TracerProvider(sampler=ParentBased(_OneTruth()), resource=self._resource, shutdown_on_exit=False)
        provider.add_span_processor(self)
        return provider

    def library_place(self) -> Place | None:
        """Where a library's span is, within which this is done."""
        context = get_current_span().get_span_context()
        if not context.is_valid:
            return None
        return Place(f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags.sampled)

    def counts(self) -> dict[str, int]:
        """How many spans were exported, could not be, were dropped, and wait."""
        sink = self._sink
        waiting = self._added - sink.taken
        return {"exported": sink.exported, "failed": sink.failed, "dropped": self._dropped, "waiting": waiting}

    def tell(self, *, late: bool = False) -> None:
        """Log what was not exported, once a minute at most, and at the end."""
        now = time.monotonic()
        lost = self._dropped + self._sink.failed
        if late or (lost > self._told and now - self._told_at >= _TELL_EVERY_S):
            self._told_at, self._told = now, lost
            log.warning("spans_lost", **self.counts())

    def close(self) -> None:
        """Send what waits."""
        self.shutdown()


class _Counted(SpanExporter):
    """An exporter that says how it went."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self.taken = self.exported = self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.exported += len(spans)
        else:
            self.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _OneTruth(Sampler):
    """Samples the traces that everything else here samples."""

    def should_sample(self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any) -> SamplingResult:  # noqa: ARG002 - the SDK's signature
        sampled = trace.is_sampled(f"{trace_id:032x}")
        return SamplingResult(Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP)

    def get_description(self) -> str:
        return "NovaPulse"


def traces_address(endpoint: str) -> str:
    """Where spans are posted (OTLP/HTTP): `/v1/traces` under the address of a collector."""
    bare = endpoint.rstrip("/")
    return bare if bare.endswith("/v1/traces") else bare + "/v1/traces"


def _context(trace_id: str, span_id: str | None, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id or "0", 16), remote, _SAMPLED)


def _without_texts(span: ReadableSpan) -> ReadableSpan:
    """A library's span without what exceptions say: only of which kind they are."""
    from opentelemetry.sdk.trace import Event

    events = [
        Event(
            event.name,
            {name: value for name, value in (event.attributes or {}).items() if name not in _TEXT_OF_ERRORS},
            event.timestamp,
        )
        for event in span.events
    ]
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        span.attributes,
        events,
        span.links,
        span.kind,
        None,
        Status(span.status.status_code),
        span.start_time,
        span.end_time,
        span.instrumentation_scope,
    )
