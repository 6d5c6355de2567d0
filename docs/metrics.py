"""Writes the table of `metrics.md` from `novapulse/metrics/definitions.py`: `python docs/metrics.py`."""

from __future__ import annotations

from pathlib import Path

from novapulse.metrics.definitions import Defined, all_metrics

DOCUMENT = Path(__file__).parent / "metrics.md"
BEGIN, END = "<!-- metrics: begin (made by docs/metrics.py) -->", "<!-- metrics: end -->"


def table() -> str:
    """All metrics, as Markdown."""
    return "\n".join(
        ["| metric | kind | labels | over processes | meaning |", "|---|---|---|---|---|", *map(_row, all_metrics())]
    )


def _row(metric: Defined) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | `{metric.combine}` | {metric.help} |"


def written(text: str) -> str:
    """The document with the table of today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
