"""Writing a report to a file, row by row: what was written is not kept in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from novapulse.reports.content import Cell, Column, Format, Summary

MEDIA_TYPES: dict[Format, str] = {
    "pdf": "application/pdf",
    "csv": "text/csv; charset=utf-8; header=present",  # RFC 4180, 3
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Writer(Protocol):
    """Takes all rows, then what they come to."""

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Write rows."""
        ...

    def finish(self, summary: Summary) -> None:
        """Write what is left, and close the file."""
        ...


def writer_of(format_: Format, path: Path, title: str, subtitle: str, columns: Sequence[Column]) -> Writer:
    """A writer to a file that is not there yet."""
    if format_ == "csv":
        from novapulse.reports.writers.csv import CsvWriter

        return CsvWriter(path, columns)
    if format_ == "xlsx":
        from novapulse.reports.writers.xlsx import XlsxWriter

        return XlsxWriter(path, title, subtitle, columns)
    from novapulse.reports.writers.pdf import PdfWriter

    return PdfWriter(path, title, subtitle, columns)
