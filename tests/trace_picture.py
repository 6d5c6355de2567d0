"""Draws the trace in `docs/tracing.md` from the spans of a real run: `python -m tests.trace_picture`."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path

from tests.collector import Seen, collecting
from tests.instance import running
from tests.receiver import receiving

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- trace: begin (made by tests/trace_picture.py) -->", "<!-- trace: end -->"
_WANTED = {"POST /api/v1/events", "send webhook", "receive webhook", "deliver webhook", "POST", "settle webhook"}
_TRACEPARENT = f"00-{'4bf92f3577b34da6a3ce929d0e0e4736'}-00f067aa0ba902b7-01"  # pragma: allowlist secret
_ROW, _LEFT, _WIDTH, _RIGHT = 26, 330, 460, 90
_COLOURS = {"web": "#3b6fd4", "worker": "#1f8a5b"}


def spans() -> list[Seen]:
    """The spans of one call that one receiver is told of."""
    with collecting() as collector, receiving() as receiver, tempfile.TemporaryDirectory() as folder:
        settings = {"otlp_endpoint": collector.url, "allow_private_networks": "127.0.0.1/32"}
        with running(Path(folder), **settings) as instance, instance.client(instance.api_key("*")) as client:
            client.post("/api/v1/webhooks", json={"url": receiver.url(), "event_types": ["*"]}).raise_for_status()
            event = {"type": "invoice.paid", "data": {"id": "in_1"}}
            # The first finds everything cold; the second is the one that is shown.
            client.post("/api/v1/events", json=event).raise_for_status()
            collector.wait(lambda found: any(span.name == "settle webhook" for span in found))
            answer = client.post("/api/v1/events", json=event, headers={"traceparent": _TRACEPARENT})
            trace_id = answer.headers["x-trace-id"]
            collector.wait(lambda _: {span.name for span in collector.of(trace_id)} >= _WANTED)
            return collector.of(trace_id)


def in_order(found: list[Seen]) -> list[tuple[int, Seen]]:
    """The spans as a tree, each with its depth, children by their beginning."""
    known = {span.span_id for span in found}
    rows: list[tuple[int, Seen]] = []

    def add(parent: str | None, depth: int) -> None:
        own = [s for s in found if (s.parent == parent if parent is not None else s.parent not in known)]
        for span in sorted(own, key=lambda each: each.start_ns):
            rows.append((depth, span))
            add(span.span_id, depth + 1)

    add(None, 0)
    return rows


def text(rows: list[tuple[int, Seen]]) -> str:
    """The tree in words."""
    begin = min(span.start_ns for _, span in rows)
    lines = [
        f"{(span.start_ns - begin) / 1e6:7.1f} ms {(span.end_ns - span.start_ns) / 1e6:7.1f} ms  "
        f"{span.service.removeprefix('novapulse-'):6s}  {'  ' * depth}{span.name}"
        for depth, span in rows
    ]
    return "\n".join(["   from     for         process", *lines])


def picture(rows: list[tuple[int, Seen]]) -> str:
    """The tree as SVG, to be read on light and on dark."""
    begin, end = min(s.start_ns for _, s in rows), max(s.end_ns for _, s in rows)
    scale = _WIDTH / max(1, end - begin)
    height = _ROW * (len(rows) + 1) + 12
    body: list[str] = []
    for number, (depth, span) in enumerate(rows):
        y, process = _ROW * number + 10, span.service.removeprefix("novapulse-")
        x, width = _LEFT + (span.start_ns - begin) * scale, max(2.0, (span.end_ns - span.start_ns) * scale)
        body += [
            f'<text x="{10 + 16 * depth}" y="{y + 12}">{escape(span.name)}</text>',
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" rx="3" fill="{_COLOURS[process]}"/>',
            f'<text x="{x + width + 6:.1f}" y="{y + 12}" class="ms">{_ms(span)} ms</text>',
        ]
    y = _ROW * len(rows) + 22
    for number, (process, colour) in enumerate(_COLOURS.items()):
        x = _LEFT + 90 * number
        body.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" rx="3" fill="{colour}"/>')
        body.append(f'<text x="{x + 18}" y="{y}">{process}</text>')
    style = (
        "text{font:13px system-ui,sans-serif;fill:#1f2937}.ms{font-size:12px;fill:#4b5563}.back{fill:#fff}"
        "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}.ms{fill:#9ca3af}.back{fill:#111827}}"
    )
    size = f"{_LEFT + _WIDTH + _RIGHT} {height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" aria-labelledby="t">'
        f'<title id="t">One trace from a call of the API to the receiver</title><style>{style}</style>'
        f'<rect class="back" width="100%" height="100%" rx="8"/>{"".join(body)}</svg>\n'
    )


def _ms(span: Seen) -> str:
    return f"{(span.end_ns - span.start_ns) / 1e6:.1f}"


def main() -> None:
    rows = in_order(spans())
    (DOCS / "trace.svg").write_text(picture(rows), encoding="utf-8")
    document = DOCS / "tracing.md"
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    shown = f"![The spans of one call, from the API to the receiver](trace.svg)\n\n```text\n{text(rows)}\n```"
    document.write_text(f"{before}{BEGIN}\n\n{shown}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
