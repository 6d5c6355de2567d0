"""The spans of events and deliveries, from what is known of them anyway: called only where spans are written.

An event taken in is a span; each attempt to deliver it is another within that one, with the call to the receiver in it.
What is done for many at once (a commit, a hand-over, a claim, a record) is one span that names them by links, within
the span they share, or as a trace of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

from novapulse.core import tracing
from novapulse.core.trace import Place, new_span_id
from novapulse.core.tracing import Value, Watch
from novapulse.webhooks.engine.claim import Claim
from novapulse.webhooks.outcome import Outcome

MESSAGING: dict[str, Value] = {"messaging.system": "novapulse", "messaging.destination.name": "webhook"}

CREATE: dict[str, Value] = MESSAGING | {"messaging.operation.type": "create", "messaging.operation.name": "create"}


class _Taken(Protocol):
    """An event on its way into the database."""

    trace: str | None
    span: tracing.Span | None


class _Done(Protocol):
    """An attempt that was made and written."""

    @property
    def claim(self) -> Claim: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def request_headers(self) -> Mapping[str, str]: ...
    @property
    def url(self) -> str: ...
    @property
    def recorded(self) -> bool: ...


def taken(span: tracing.Span, events: Sequence[_Taken]) -> None:
    """These events came in one call, whose span this is."""
    if len(events) > 1:
        span.attributes["messaging.batch.message_count"] = len(events)
    for event in events:
        event.span = span


def committed(watch: Watch, events: Sequence[_Taken], *, is_sqlite: bool) -> list[Place]:
    """These events were written in one transaction; the spans they belong to."""
    spans = list({id(event.span): event.span for event in events if event.span is not None}.values())
    if not spans:
        return []
    places = [span.place for span in spans]
    around, links = tracing.together(places)
    made = watch.write(around, links, is_sqlite=is_sqlite, rows=len(events))
    if links:
        for span in spans:
            span.links.append(made)
    return places


def sending(places: Sequence[Place], count: int) -> AbstractContextManager[object]:
    """Deliveries of the events of these spans are put on the queue."""
    if not places:
        return nullcontext()
    around, links = tracing.together(places)
    attributes = {
        **MESSAGING,
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.batch.message_count": count,
    }
    return tracing.inside(tracing.Span("send webhook", "client", around, attributes, links))


def claimed(watch: Watch, claims: Sequence[Claim], *, is_sqlite: bool) -> None:
    """These deliveries were claimed in one transaction."""
    places: list[Place] = []
    spans: list[Place] = []
    for claim in claims:
        place = claim.place
        if place.sampled:
            claim.held = (new_span_id(), watch.ended)
            places.append(place)
            spans.append(Place(place.trace_id, claim.held[0], True))
    _batch("receive", watch, places, spans, len(claims), is_sqlite=is_sqlite)


def recorded(watch: Watch, results: Sequence[_Done], *, is_sqlite: bool) -> None:
    """The results of these attempts were written in one transaction: they are over."""
    places: list[Place] = []
    spans: list[Place] = []
    for result in results:
        if result.claim.held is not None and result.recorded:
            place = result.claim.place
            places.append(place)
            spans.append(_attempt(result, place, result.claim.held, watch.ended))
    _batch("settle", watch, places, spans, len(results), is_sqlite=is_sqlite)


def called(
    place: Place,
    method: str,
    url: str,
    headers: Mapping[str, str],
    outcome: Outcome,
    *,
    resend: int = 0,
    not_before: int = 0,
) -> None:
    """A call was made to somebody's URL. Its span has the id that its header `traceparent` gave it.

    `not_before` (ns): when it began is known to the millisecond only, and is not before what it is part of.
    """
    scheme, host, port = _where(url)
    attributes: dict[str, Value] = {
        "http.request.method": method,
        "url.scheme": scheme,
        "server.address": host,
        "server.port": port,
    }
    if outcome.remote_address:
        attributes["network.peer.address"] = outcome.remote_address
    if outcome.status_code is not None:
        attributes["http.response.status_code"] = outcome.status_code
    if resend:
        attributes["http.request.resend_count"] = resend
    for step, ms in outcome.timings.items():
        attributes[f"novapulse.timing.{step}_ms"] = ms
    started = max(outcome.started_at * 1_000_000, not_before)
    span_id = headers.get("traceparent", "")[36:52] or new_span_id()
    tracing.write(
        method,
        "client",
        Place(place.trace_id, span_id, True),
        place.span_id,
        started,
        started + round(outcome.duration_ms * 1_000_000),
        attributes,
        error=_error(outcome),
    )


def _attempt(result: _Done, place: Place, held: tuple[str, int], ended: int) -> Place:
    claim, outcome = result.claim, result.outcome
    own = Place(place.trace_id, held[0], True)
    attributes: dict[str, Value] = {
        **MESSAGING,
        "messaging.operation.type": "process",
        "messaging.operation.name": "deliver",
        "messaging.message.id": claim.id,
        "novapulse.event.id": claim.event_id,
        "novapulse.webhook.id": claim.webhook_id,
        "novapulse.attempt": claim.attempts + 1,
    }
    if result.request_headers:  # there are none of what was not sent
        called(own, "POST", result.url, result.request_headers, outcome, resend=claim.attempts, not_before=held[1])
    tracing.write("deliver webhook", "consumer", own, place.span_id, held[1], ended, attributes, error=_error(outcome))
    return own


def _batch(
    operation: str, watch: Watch, places: Sequence[Place], spans: Sequence[Place], count: int, *, is_sqlite: bool
) -> None:
    if not places:
        return
    around, _ = tracing.together(places)
    own = Place(around.trace_id, new_span_id(), True)
    attributes: dict[str, Value] = {
        **MESSAGING,
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.batch.message_count": count,
    }
    watch.write(own, (), is_sqlite=is_sqlite, rows=count)
    tracing.write(f"{operation} webhook", "client", own, around.span_id, watch.asked, watch.ended, attributes, spans)


def _error(outcome: Outcome) -> str | None:
    if outcome.ok:
        return None
    if outcome.status_code is not None:
        return str(outcome.status_code)
    return "error" if outcome.error is None else outcome.error.value


@lru_cache(4_096)
def _where(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL, and nothing else of it: what follows may be a secret."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
