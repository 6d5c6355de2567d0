"""XLSX: a sheet that sums up, with charts, and sheets of rows. Rows go to temporary files at once.

Every text is written as a text: nothing that somebody sent becomes a formula or a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xlsxwriter

from novapulse.reports.content import Cell, Chart, Column, Summary, Table

_ROWS_MAX = 1_048_575  # of a sheet, below its heads
_TEXT_MAX = 32_767  # characters of a cell
_DAY_MS = 86_400_000
_DATA = "Chart data"
_EPOCH = 25_569  # 1970-01-01 in Excel's days
_TONES = {"good": "#2b9a66", "bad": "#e5484d", "plain": "#5b5bd6", "second": "#8da4ef"}


class XlsxWriter:
    """See `Writer`."""

    def __init__(self, path: Path, title: str, subtitle: str, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._title, self._subtitle = title, subtitle
        options = {
            "constant_memory": True,
            "tmpdir": str(path.parent),
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        self._book = xlsxwriter.Workbook(str(path), options)
        self._book.use_zip64()
        self._head = self._book.add_format({"bold": True, "bottom": 1})
        self._big = self._book.add_format({"bold": True, "font_size": 16})
        self._formats = {
            "text": self._book.add_format({}),
            "time": self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"}),
            "number": self._book.add_format({"num_format": "#,##0.###"}),
            "share": self._book.add_format({"num_format": "0.00%"}),
        }
        self._first = self._book.add_worksheet("Summary")
        self._sheets = 0
        self._row = _ROWS_MAX  # of the present sheet
        self._sheet: Any = None
        self._next_sheet()

    def _next_sheet(self) -> None:
        self._sheets += 1
        self._sheet = self._book.add_worksheet("Rows" if self._sheets == 1 else f"Rows {self._sheets}")
        self._sheet.freeze_panes(1, 0)
        for place, column in enumerate(self._columns):
            self._sheet.set_column(place, place, column.width)
        for place, column in enumerate(self._columns):
            self._sheet.write_string(0, place, column.title, self._head)
        self._row = 0

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """See `Writer`."""
        for row in rows:
            if self._row == _ROWS_MAX:
                self._next_sheet()
            self._row += 1
            self._write(self._sheet, self._row, row, self._columns)

    def _write(self, sheet: Any, at: int, row: Sequence[Cell], columns: Sequence[Column]) -> None:
        for place, value in enumerate(row):
            if value is None:
                continue
            type_ = columns[place].type
            if isinstance(value, str):
                sheet.write_string(at, place, value[:_TEXT_MAX])
            elif type_ == "time":
                sheet.write_number(at, place, value / _DAY_MS + _EPOCH, self._formats["time"])
            else:
                sheet.write_number(at, place, value, self._formats[type_])

    def finish(self, summary: Summary) -> None:
        """See `Writer`."""
        if self._sheets == 1 and self._row:
            self._sheet.autofilter(0, 0, self._row, len(self._columns) - 1)
        sheet = self._first
        sheet.set_column(0, 0, 42)
        sheet.set_column(1, 8, 16)
        sheet.hide_gridlines(2)
        sheet.write_string(0, 0, self._title, self._big)
        sheet.write_string(1, 0, self._subtitle)
        at = 3
        for name, value in summary.facts:
            sheet.write_string(at, 0, name)
            sheet.write_string(at, 1, value)
            at += 1
        for table in summary.tables:
            at = self._table(table, at + 1)
        for note in summary.notes:
            at += 1
            sheet.write_string(at, 0, note)
        self._draw(summary.charts, at + 2)
        sheet.activate()
        self._book.close()

    def _table(self, table: Table, at: int) -> int:
        for place, column in enumerate(table.columns):
            self._first.write_string(at, place, column.title if place else table.title, self._head)
        for row in table.rows:
            at += 1
            self._write(self._first, at, row, table.columns)
        return at + 1

    def _draw(self, charts: Sequence[Chart], at: int) -> None:
        """Draw charts over their numbers, which stand side by side in a sheet of their own."""
        data: Any = self._book.add_worksheet(_DATA)
        for row in range(1 + max((len(chart.labels) for chart in charts), default=0)):
            left = 0
            for chart in charts:
                if row <= len(chart.labels):
                    data.write_string(row, left, chart.labels[row - 1] if row else chart.title)
                for place, series in enumerate(chart.series, left + 1):
                    if row == 0:
                        data.write_string(row, place, series.name)
                    elif row <= len(series.values) and (value := series.values[row - 1]) is not None:
                        data.write_number(row, place, value)
                left += len(chart.series) + 2
        left = 0
        for chart in charts:
            self._chart(chart, left, at)
            left += len(chart.series) + 2
            at += 16

    def _chart(self, chart: Chart, left: int, at: int) -> None:
        drawn: Any = self._book.add_chart(
            {"type": "column", "subtype": "stacked"} if chart.shape == "bars" else {"type": "line"}
        )
        end = len(chart.labels)
        for place, series in enumerate(chart.series, left + 1):
            drawn.add_series(
                {
                    "name": [_DATA, 0, place],
                    "categories": [_DATA, 1, left, end, left],
                    "values": [_DATA, 1, place, end, place],
                    "fill": {"color": _TONES[series.tone]},
                    "line": {"color": _TONES[series.tone], "width": 1.75},
                    "gap": 40,
                }
            )
        drawn.set_title({"name": chart.title, "name_font": {"size": 11}})
        drawn.set_legend({"position": "bottom"} if len(chart.series) > 1 else {"none": True})
        drawn.set_size({"width": 860, "height": 300})
        self._first.insert_chart(at, 0, drawn)
