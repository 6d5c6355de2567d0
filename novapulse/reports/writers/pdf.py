"""PDF (A4, lying): figures, charts, what sums up, and the first rows. All the rows are for the other formats."""
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# ReportLab's drawings take their settings as attributes that it declares at run time.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.shapes import Circle, Drawing, PolyLine, Rect, String
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import CondPageBreak, Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from novapulse.reports.content import Cell, Chart, Column, Series, Summary, Table, shown

ROWS_MAX = 500  # of a report in its PDF
_TEXT_MAX = 120  # characters of a cell
_FONTS = Path(__file__).parent / "fonts"
_PLAIN, _BOLD = "NovaPulse", "NovaPulse-Bold"
_INK, _SOFT, _LINE, _BAND = HexColor("#1c2024"), HexColor("#60646c"), HexColor("#d9d9e0"), HexColor("#f4f4f7")
_TONES = {
    "good": HexColor("#2b9a66"),
    "bad": HexColor("#e5484d"),
    "plain": HexColor("#5b5bd6"),
    "second": HexColor("#8da4ef"),
}
_MARGIN = 14 * mm
_WIDTH = landscape(A4)[0] - 2 * _MARGIN - 12  # the frame has a padding of its own
_LABELS = 9  # under a chart
_PER_LINE = 4  # figures beside each other


class PdfWriter:
    """See `Writer`."""

    def __init__(self, path: Path, title: str, subtitle: str, columns: Sequence[Column]) -> None:
        self._path = path
        self._title, self._subtitle = title, subtitle
        self._places = [place for place, column in enumerate(columns) if column.in_pdf]
        self._columns = [columns[place] for place in self._places]
        self._rows: list[list[Cell]] = []
        self._count = 0

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """See `Writer`."""
        self._count += len(rows)
        for row in rows[: ROWS_MAX - len(self._rows)]:
            self._rows.append([row[place] for place in self._places])

    def finish(self, summary: Summary) -> None:
        """See `Writer`."""
        pdfmetrics.registerFont(TTFont(_PLAIN, str(_FONTS / "DejaVuSansCondensed.ttf")))
        pdfmetrics.registerFont(TTFont(_BOLD, str(_FONTS / "DejaVuSansCondensed-Bold.ttf")))
        parts: list[Flowable] = [
            Paragraph(escape(self._title), _style(18, bold=True, leading=24)),
            Paragraph(escape(self._subtitle), _style(9, color=_SOFT, leading=13)),
            Spacer(1, 10),
            _figures(summary.facts),
        ]
        for chart in summary.charts:
            parts += [CondPageBreak(60 * mm), Spacer(1, 10), _heading(chart.title), _drawn(chart)]
        for table in summary.tables:
            parts += [CondPageBreak(45 * mm), Spacer(1, 12), _heading(table.title)]
            parts.append(_table(table) if table.rows else _note("Nothing."))
        parts += [Spacer(1, 8), *(_note(note) for note in summary.notes)]
        parts += self._all_rows()
        document = SimpleDocTemplate(
            str(self._path),
            pagesize=landscape(A4),
            leftMargin=_MARGIN,
            rightMargin=_MARGIN,
            topMargin=10 * mm,
            bottomMargin=13 * mm,
            title=self._title,
            author="NovaPulse",
            subject=self._subtitle,
            lang="en",
        )
        document.build(parts, onFirstPage=self._foot, onLaterPages=self._foot)

    def _all_rows(self) -> list[Flowable]:
        if not self._count:
            return [_note("There are no rows in this range of time.")]
        shown_ = len(self._rows)
        text = (
            f"The first {shown_:,} of {self._count:,} rows. All of them, with all columns, are in the CSV and XLSX "
            "formats of this report."
            if shown_ < self._count
            else f"{'All' if shown_ > 1 else 'The'} {shown_:,} row{'s' if shown_ > 1 else ''}. Further columns are in "
            "the CSV and XLSX formats of this report."
        )
        return [
            CondPageBreak(60 * mm),
            Spacer(1, 12),
            _heading("Rows"),
            _note(text),
            Spacer(1, 4),
            _table(Table("", self._columns, self._rows)),
        ]

    def _foot(self, canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(_PLAIN, 7.5)
        canvas.setFillColor(_SOFT)
        canvas.drawString(_MARGIN + 6, 9 * mm, f"NovaPulse · {self._title} · {self._subtitle}")
        canvas.drawRightString(_MARGIN + 6 + _WIDTH, 9 * mm, f"Page {document.page}")
        canvas.restoreState()


def _style(
    size: float, *, bold: bool = False, color: Any = _INK, leading: float = 0, right: bool = False
) -> ParagraphStyle:
    more: dict[str, Any] = {"alignment": TA_RIGHT} if right else {}
    return ParagraphStyle(
        "", fontName=_BOLD if bold else _PLAIN, fontSize=size, textColor=color, leading=leading or size * 1.3, **more
    )


def _heading(text: str) -> Paragraph:
    style = _style(11, bold=True, leading=16)
    style.keepWithNext = 1
    return Paragraph(escape(text), style)


def _note(text: str) -> Paragraph:
    return Paragraph(escape(text), _style(8, color=_SOFT, leading=12))


def _figures(facts: Sequence[tuple[str, str]]) -> LongTable:
    cells: list[Any] = [
        [Paragraph(escape(name), _style(8, color=_SOFT)), Paragraph(escape(value), _style(14, bold=True, leading=20))]
        for name, value in facts
    ]
    cells += [""] * (-len(cells) % _PER_LINE)
    lines = [cells[at : at + _PER_LINE] for at in range(0, len(cells), _PER_LINE)]
    table = LongTable(lines, colWidths=[_WIDTH / _PER_LINE] * _PER_LINE)
    table.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), _BAND),
                ("INNERGRID", (0, 0), (-1, -1), 3, HexColor("#ffffff")),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 8),
                ("TOPPADDING", (0, 0), (-1, -1), 5),
            ]
        )
    )
    return table


def _table(table: Table) -> LongTable:
    whole = sum(column.width for column in table.columns)
    # A table of three columns over the whole width is hard to read along.
    width = min(_WIDTH, whole * 5.2) if whole < 100 else _WIDTH
    right = [place for place, column in enumerate(table.columns) if column.type in ("number", "share")]
    lines: list[list[Any]] = [
        [
            Paragraph(escape(column.title), _style(7.5, bold=True, color=_SOFT, right=place in right))
            for place, column in enumerate(table.columns)
        ]
    ]
    styles = [_style(7.5, right=place in right) for place in range(len(table.columns))]
    for style in styles:
        style.splitLongWords = 1
    lines += [
        [
            Paragraph(escape(_cut(shown(value, column.type))), style)
            for value, column, style in zip(row, table.columns, styles, strict=True)
        ]
        for row in table.rows
    ]
    drawn = LongTable(lines, colWidths=[width * column.width / whole for column in table.columns], repeatRows=1)
    drawn.hAlign = "LEFT"
    drawn.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, _LINE),
                ("LINEBELOW", (0, 1), (-1, -1), 0.3, _LINE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 3),
                ("RIGHTPADDING", (0, 0), (-1, -1), 3),
                ("TOPPADDING", (0, 0), (-1, -1), 2),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
            ]
        )
    )
    return drawn


def _cut(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= _TEXT_MAX else plain[: _TEXT_MAX - 1] + "…"


def _drawn(chart: Chart) -> Drawing:
    height, legend = 44 * mm, 14
    drawing = Drawing(_WIDTH, height + legend)
    bars = chart.shape == "bars"
    values = [[v or 0 for v in series.values] for series in chart.series]
    graph: Any = VerticalBarChart()
    graph.x, graph.y, graph.width, graph.height = 42, 22, _WIDTH - 50, height - 30
    graph.data = values if bars else [[0] * len(chart.labels)]  # of lines it draws the axes only
    every = -(-len(chart.labels) // _LABELS)
    graph.categoryAxis.categoryNames = [label if n % every == 0 else "" for n, label in enumerate(chart.labels)]
    graph.categoryAxis.labels.fontName = graph.valueAxis.labels.fontName = _PLAIN
    graph.categoryAxis.labels.fontSize = graph.valueAxis.labels.fontSize = 7
    graph.categoryAxis.labels.fillColor = graph.valueAxis.labels.fillColor = _SOFT
    graph.categoryAxis.strokeColor = _LINE
    graph.categoryAxis.visibleTicks = 0
    graph.valueAxis.strokeColor = None
    graph.valueAxis.visibleTicks = 0
    graph.valueAxis.visibleGrid = 1
    graph.valueAxis.gridStrokeColor = _LINE
    graph.valueAxis.gridStrokeWidth = 0.3
    graph.valueAxis.labelTextFormat = lambda v: f"{v:,.0f}" if v == int(v) else f"{v:,.1f}"
    graph.valueAxis.valueMin = 0
    top = max((sum(column) if bars else max(column) for column in zip(*values, strict=True)), default=0)
    graph.valueAxis.valueMax = _round_up(top)
    graph.valueAxis.valueStep = graph.valueAxis.valueMax / 4
    x = 42.0
    for place, series in enumerate(chart.series):
        color = _TONES[series.tone]
        if bars:
            graph.bars[place].fillColor = color
            graph.bars[place].strokeColor = None
        if len(chart.series) == 1:
            continue
        drawing.add(Rect(x, 3, 7, 7, fillColor=color, strokeColor=None))
        drawing.add(String(x + 11, 3.5, series.name, fontName=_PLAIN, fontSize=7.5, fillColor=_SOFT))
        x += 28 + pdfmetrics.stringWidth(series.name, _PLAIN, 7.5)
    if bars:
        graph.categoryAxis.style = "stacked"
        graph.barSpacing = 0
        graph.groupSpacing = 0.35 * graph.width / max(1, len(chart.labels)) / 4
    graph.y += legend - 4
    drawing.add(graph)
    if not bars:
        graph.bars[0].fillColor = graph.bars[0].strokeColor = None
        for series in chart.series:
            _draw_line(drawing, graph, series)
    return drawing


def _draw_line(drawing: Drawing, graph: Any, series: Series) -> None:
    """A line that has a gap where nothing is known; what is known alone is a dot."""
    color = _TONES[series.tone]
    pieces: list[list[float]] = [[]]
    for n, value in enumerate(series.values):
        if value is None:
            pieces.append([])
        else:
            x = graph.x + graph.width * (n + 0.5) / len(series.values)
            pieces[-1] += [x, graph.y + graph.height * value / graph.valueAxis.valueMax]
    for points in pieces:
        if len(points) > 2:
            drawing.add(PolyLine(points, strokeColor=color, strokeWidth=1.4))
        elif points:
            drawing.add(Circle(points[0], points[1], 1.6, fillColor=color, strokeColor=None))


def _round_up(top: float) -> float:
    """The end of an axis that four even steps lead to."""
    if top <= 0:
        return 4
    size = 1.0
    while size * 10 <= top:
        size *= 10
    while size > top:
        size /= 10
    whole = next(size * factor for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if size * factor >= top)
    return whole if whole >= 4 or top < 1 else 4.0
