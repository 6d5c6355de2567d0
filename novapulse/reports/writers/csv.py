"""CSV (RFC 4180): the rows and nothing else, for programs and spreadsheets alike."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from novapulse.core.clock import rfc3339
from novapulse.reports.content import Cell, Column, Summary
from novapulse.security.audit_export import cell


class CsvWriter:
    """See `Writer`."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._file = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._file, lineterminator="\r\n")
        self._csv.writerow([column.name for column in columns])

    def add(self, rows: Sequence[Sequence[Cell]]) -> None:
        """See `Writer`."""
        types = [column.type for column in self._columns]
        self._csv.writerows([[_cell(value, type_) for value, type_ in zip(row, types, strict=True)] for row in rows])

    def finish(self, summary: Summary) -> None:  # noqa: ARG002 - programs want one table
        """See `Writer`."""
        self._file.close()


def _cell(value: Cell, type_: str) -> Cell:
    if isinstance(value, str):
        return cell(value)
    if type_ == "time" and value is not None:
        return rfc3339(int(value))
    if type_ == "share" and value is not None:
        return round(float(value), 6)
    return value
