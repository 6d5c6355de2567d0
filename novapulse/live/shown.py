"""A snapshot of the sampler as the screens show it: words and lines that are ready to be put on the page.

What is sent to every open page each second has to be small: numbers come as they are read, and the lines of the last
minute as the path of an SVG that is 60 wide and 20 high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

UNKNOWN = "?"
NONE = "–"  # nothing to measure
STATES = ("waiting", "active", "delayed", "completed", "failed", "dead", "cancelled")
_COUNTS = (*STATES, "workers", "slots")
_HIGH = 20
_METER = ("enqueued", "waiting", "active", "delayed", "completed", "dead", "cancelled", "gone")


def snapshot_vars(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot as the variables of `LiveState`."""
    queues = [_queue(queue) for queue in snapshot["queues"]]
    webhook = next(queue for queue in snapshot["queues"] if queue["name"] == "webhook")
    overview = snapshot["overview"]
    rate = overview["success_rate"]
    return {
        "at": snapshot["at"],
        "audit_seq": snapshot["audit_seq"],
        "report_changes": snapshot.get("report_changes", 0),
        "per_s": webhook["throughput_per_s"] or 0.0,
        "rate_line": line(webhook["rates"]),
        "queues": queues,
        "totals": {name: count(snapshot["totals"][name]) for name in STATES}
        | {"per_s": _number(snapshot["totals"]["throughput_per_s"])},
        "workers": [_worker(worker) for worker in snapshot["workers"] or []],
        "workers_known": snapshot["workers"] is not None,
        "meter": _meter(snapshot.get("meter")),
        "overview": {
            "failing_webhooks": overview["failing_webhooks"],
            "latest_failures": overview["latest_failures"],
            "rate": NONE if rate is None else f"{rate * 100:.2f} %".replace("100.00", "100"),
            "p95": NONE if overview["p95_ms"] is None else f"{overview['p95_ms']:.0f} ms",
        }
        | {name: count(overview[name]) for name in ("delivered", "failed", "open")},
    }


def _queue(queue: Mapping[str, Any]) -> dict[str, Any]:
    active, slots = queue["active"], queue["slots"]
    return {
        "name": queue["name"],
        "health": queue["health"] or "unknown",
        "reasons": queue["reasons"],
        "why": " ".join(queue["reasons"]),
        "mode": queue["mode"] or "unknown",
        "by": queue["mode_by"] or "",
        "since": queue["mode_since"] or "",
        "note": queue["mode_note"] or "",
        **{name: count(queue[name]) for name in _COUNTS},
        "busy": min(100, round(100 * active / slots)) if slots and active is not None else 0,  # per cent of the slots
        "per_s": _number(queue["throughput_per_s"]),
        "error": NONE if queue["error_rate"] is None else f"{queue['error_rate'] * 100:.1f} %",
        "oldest": span(queue["oldest_waiting_s"]) if queue["waiting"] is not None else UNKNOWN,
        "wait_p50": duration(queue["wait_ms"]["p50"]),
        "wait_p99": duration(queue["wait_ms"]["p99"]),
        "run_p50": duration(queue["run_ms"]["p50"]),
        "run_p99": duration(queue["run_ms"]["p99"]),
        "drift": count(queue["drift"]),
        "rate_line": line(queue["rates"]),
        "wait_line": line(queue["slowest"]),
        "most": _number(max(queue["rates"], default=0)),
        "slowest": duration(max((each for each in queue["slowest"] if each is not None), default=None)),
        # As they are read, for charts that go on by themselves.
        "now": [
            queue["throughput_per_s"],
            queue["error_rate"],
            queue["waiting"],
            *(queue[span][part] for span in ("wait_ms", "run_ms") for part in ("p50", "p99")),
        ],
    }


def _meter(meter: Mapping[str, Any] | None) -> dict[str, Any]:
    """The conservation meter; {}: it was not read yet."""
    if meter is None:
        return {}
    queues = [
        {name: count(queue[name]) for name in _METER}
        | {
            "name": queue["name"],
            "ok": queue["ok"],
            "drift": f"{queue['drift']:+,}" if queue["drift"] else "0",
            "in_valkey": count(queue["in_valkey"]),
            "missing": count(queue["missing"]),
        }
        for queue in meter["queues"]
    ]
    return {
        "ok": meter["ok"],
        "checked_at": meter["checked_at"] or "",
        "queues": queues,
        "corrections": meter["corrections"][:3],
    }


def _worker(worker: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": worker["name"],
        "mb": memory(worker["rss_bytes"]),
        "busy": ", ".join(f"{queue} {n}" for queue, n in worker["running"].items() if n) or "idle",
    }


def memory(size: int | None) -> str:
    """How much a process takes, in megabytes."""
    return UNKNOWN if size is None else f"{size / 1e6:.0f} MB"


def count(n: int | None) -> str:
    """A count; unknown is never 0."""
    return UNKNOWN if n is None else f"{n:,}"


def _number(n: float | None) -> str:
    return UNKNOWN if n is None else f"{n:,.1f}".removesuffix(".0")


def duration(ms: float | None) -> str:
    """A measured time; nothing measured is a dash."""
    if ms is None:
        return NONE
    return f"{ms:.0f} ms" if ms < 1_000 else span(ms / 1000)


def span(seconds: float | None) -> str:
    """An age in the largest unit that says something."""
    if seconds is None:
        return NONE
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def line(values: Sequence[float | None]) -> str:
    """The path of a line through 60 places; where nothing is known it is broken."""
    most = max((each for each in values if each is not None), default=0) or 1
    parts: list[str] = []
    drawing = False
    for place, value in enumerate(values, 60 - len(values)):
        if value is None:
            drawing = False
            continue
        y = _HIGH - round(value / most * (_HIGH - 1))
        parts.append(f"L{place} {y}" if drawing else f"M{place} {y}h.1")  # a point alone is seen, too
        drawing = True
    return "".join(parts)
