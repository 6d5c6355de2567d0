"""Views as small plain dicts for the browser: what is shown, and nothing else."""

from __future__ import annotations

from shlex import quote
from typing import Any
from urllib.parse import urlsplit

import orjson

from novapulse.webhooks.schemas import AttemptView, DeliveryView, StatsView, WebhookView


def webhook_row(webhook: WebhookView, numbers: StatsView) -> dict[str, Any]:
    """A row of the list."""
    return {
        "id": webhook.id,
        "name": webhook.name or urlsplit(webhook.url).netloc,
        "url": webhook.url,
        "status": webhook.status,
        "health": webhook.health,
        "event_types": ", ".join(webhook.event_types[:3]) + (" …" if len(webhook.event_types) > 3 else ""),
        "tenant": webhook.tenant or "",
        "demo": webhook.demo,
        "attempts": f"{numbers.attempts:,}",
        "rate": percent(numbers.success_rate),
        "p95": milliseconds(numbers.p95_ms),
        "last": numbers.last_delivery_at or "",
        "line": [{"v": point.delivered, "f": point.failed_attempts} for point in numbers.series],
    }


def delivery_row(delivery: DeliveryView) -> dict[str, Any]:
    """A row of the delivery log."""
    code = "" if delivery.last_status_code is None else str(delivery.last_status_code)
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "status": delivery.status,
        "attempts": delivery.attempt_count,
        "answer": code or (delivery.last_error or "–").replace("_", " "),
        "next": delivery.next_attempt_at or "",
        "why": delivery.next_attempt_reason or "",
        "at": delivery.created_at,
    }


def attempt_shown(attempt: AttemptView) -> dict[str, Any]:
    """An attempt in the drawer."""
    return {
        "number": attempt.number,
        "ok": attempt.ok,
        "status": "delivered" if attempt.ok else "failed",
        "answer": str(attempt.status_code or (attempt.error or "").replace("_", " ")),
        "detail": attempt.error_detail or "",
        "at": attempt.started_at,
        "duration": milliseconds(attempt.duration_ms),
        "timings": ", ".join(f"{name.replace('_', ' ')} {value:.0f} ms" for name, value in attempt.timings.items()),
        "request": header_lines(attempt.request_headers),
        "response": header_lines(attempt.response_headers),
        "body": pretty(attempt.response_body or ""),
        "truncated": attempt.response_truncated,
        "address": attempt.remote_address or "",
    }


def header_lines(headers: dict[str, str]) -> str:
    """Headers, a line each."""
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def pretty(text: str) -> str:
    """JSON with indentation; anything else as it is."""
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return text


def curl(url: str, body: str, headers: dict[str, str]) -> str:
    """The same request for a shell, whatever is in it; hidden headers are left out."""
    kept = [f"{name}: {value}" for name, value in headers.items() if value != "***"]
    lines = [f"curl -X POST {quote(url)}", *(f"-H {quote(line)}" for line in kept), f"--data-raw {quote(body)}"]
    return " \\\n  ".join(lines)


def percent(share: float | None) -> str:
    """A share for people."""
    return "–" if share is None else "100 %" if share == 1 else f"{share * 100:.1f} %"


def milliseconds(value: float | None) -> str:
    """A duration for people."""
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value < 10_000 else f"{value / 1000:.1f} s"
