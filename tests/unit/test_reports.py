"""The rules of reports: ranges, steps of charts, what is said of numbers, and what a spreadsheet is given."""

from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from novapulse.reports.content import Chart, Column, Series, Steps, Summary, Table, percent
from novapulse.reports.ranges import RANGES, Range, resolve
from novapulse.reports.writers import writer_of

_NS = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("range_", "since", "until"),
    [
        ("today", "2026-03-30T00:00+02:00", "2026-03-30T09:00+02:00"),
        # The night to the 29th has 23 hours: clocks went forward.
        ("yesterday", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("last_24_hours", "2026-03-29T09:00+02:00", "2026-03-30T09:00+02:00"),
        ("last_7_days", "2026-03-23T00:00+01:00", "2026-03-30T09:00+02:00"),
        ("last_30_days", "2026-02-28T00:00+01:00", "2026-03-30T09:00+02:00"),
        ("this_month", "2026-03-01T00:00+01:00", "2026-03-30T09:00+02:00"),
        ("last_week", "2026-03-23T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("last_month", "2026-02-01T00:00+01:00", "2026-03-01T00:00+01:00"),
    ],
)
def test_a_named_range_is_made_of_the_days_of_its_time_zone(range_: Range, since: str, until: str) -> None:
    assert resolve(range_, ms("2026-03-30T09:00+02:00"), "Europe/Paris") == (ms(since), ms(until))


def test_every_range_begins_before_it_ends() -> None:
    for range_ in RANGES:
        since, until = resolve(range_, ms("2026-11-24T12:00+00:00"))
        assert since < until <= ms("2026-11-24T12:00+00:00")


@given(st.integers(0, 2**41), st.integers(1, 366 * 24 * 3_600_000), st.floats(0, 1, exclude_max=True))
def test_the_steps_of_a_chart_are_few_and_hold_the_whole_range(since: int, span: int, part: float) -> None:
    steps = Steps(since, since + span)
    assert 1 <= steps.count <= 64
    assert len(steps.labels()) == len(steps.zeros()) == steps.count
    assert steps.at(since) == 0
    assert steps.at(since + span - 1) == steps.count - 1
    assert 0 <= steps.at(since + int(span * part)) < steps.count


def test_only_all_is_said_to_be_all() -> None:
    assert [percent(v) for v in (None, 0, 0.00001, 0.5, 0.99999, 1)] == [
        "–",
        "0 %",
        "0.01 %",
        "50.00 %",
        "99.99 %",
        "100 %",
    ]


COLUMNS = [Column("at", "When", "time"), Column("name", "Name"), Column("n", "Count", "number")]
EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "https://evil.example/x", 'a,b"c\r\nd', "<b>&amp; \x01 Ünïcode 漢"]
ROWS = [(1_790_000_000_000 + n, text, -n) for n, text in enumerate(EVIL)]
SUMMARY = Summary(
    facts=[("Rows", "8")],
    charts=[
        Chart("Rows", "bars", ["a", "b"], [Series("good", "good", [1, 2]), Series("bad", "bad", [0, 4])]),
        Chart("Took", "lines", ["a", "b"], [Series("half", "plain", [None, 2.5])]),
    ],
    tables=[Table("Names", COLUMNS[1:], [("=evil", 3)])],
    notes=["A note."],
)


def test_csv_holds_every_row_and_nothing_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    import csv

    writer = writer_of("csv", tmp_path / "r", "", "", COLUMNS)
    writer.add(ROWS[:3])
    writer.add(ROWS[3:])
    writer.finish(SUMMARY)
    with (tmp_path / "r").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["at", "name", "n"]
    assert rows[0] == ["2026-09-21T14:13:20.000Z", "'=1+1", "0"]
    assert [row[1].removeprefix("'") for row in rows] == EVIL
    assert [row[1][0] == "'" for row in rows] == [text[0] in "=+-@\t" for text in EVIL]
    assert rows[2][2] == "-2", "a number stays a number"


def test_xlsx_holds_texts_as_texts_and_charts(tmp_path: Path) -> None:
    writer = writer_of("xlsx", tmp_path / "r.xlsx", "A title", "of a time", COLUMNS)
    writer.add(ROWS)
    writer.finish(SUMMARY)
    with zipfile.ZipFile(tmp_path / "r.xlsx") as book:
        names = book.namelist()
        sheets = {
            name: ElementTree.fromstring(book.read(name)) for name in names if "/sheet" in name and "rels" not in name
        }
    assert sum("charts/chart" in name for name in names) == 2
    assert not [name for name, sheet in sheets.items() if sheet.findall(".//x:f", _NS)], "a formula"
    assert not [name for name, sheet in sheets.items() if sheet.findall(".//x:hyperlink", _NS)], "a link"
    rows = sheets["xl/worksheets/sheet2.xml"].findall(".//x:row", _NS)
    assert len(rows) == 1 + len(ROWS)
    texts = [row.findall("x:c", _NS)[1].findtext(".//x:t", namespaces=_NS) for row in rows[1:]]
    assert texts[0] == "=1+1"
    assert texts[-1] is not None
    assert texts[-1].endswith("Ünïcode 漢")
    assert list(tmp_path.iterdir()) == [tmp_path / "r.xlsx"], "temporary files are left"


def test_a_pdf_says_how_many_rows_it_leaves_out(tmp_path: Path) -> None:
    writer = writer_of("pdf", tmp_path / "r.pdf", "A <title>", "of a time", COLUMNS)
    for _ in range(100):
        writer.add(ROWS)
    writer.finish(SUMMARY)
    reader = PdfReader(tmp_path / "r.pdf")
    text = "".join(page.extract_text() for page in reader.pages)
    assert "A <title>" in text
    assert "The first 500 of 800 rows." in text
    assert text.count("@SUM(A1)") in (62, 63)  # of the 500
    assert reader.metadata is not None
    assert reader.metadata.title == "A <title>"
