"""The rows of the audit log of the time range, newest first, as `/audit` shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from novapulse.core.database import Database
from novapulse.reports.content import Cell, Chart, Column, Series, Spec, Steps, Summary, Table
from novapulse.reports.sources import Batch
from novapulse.security.audit_log import AuditFilter, read_page

_BATCH = 2_000
_ALL = 2**63 - 1
_TOP = 20


class Audit:
    """See the module."""

    columns = (
        Column("seq", "No.", "number", 8),
        Column("at", "When (UTC)", "time", 20),
        Column("actor_name", "Who", width=26),
        Column("action", "What", width=24),
        Column("target_name", "On what", width=26),
        Column("result", "Result", width=9),
        Column("ip", "From", width=16),
        Column("id", "Id", width=36, in_pdf=False),
        Column("actor_kind", "Kind of actor", width=12, in_pdf=False),
        Column("actor_id", "Actor's id", width=36, in_pdf=False),
        Column("target_kind", "Kind of target", width=14, in_pdf=False),
        Column("target_id", "Target's id", width=36, in_pdf=False),
        Column("request_id", "Request", width=36, in_pdf=False),
        Column("detail", "Detail", width=40, in_pdf=False),
        Column("seal", "Seal", width=40, in_pdf=False),
    )

    def __init__(self, database: Database, spec: Spec) -> None:
        self._database = database
        self._spec = spec
        self._steps = Steps(spec.since, spec.until)
        self._ok, self._bad = self._steps.zeros(), self._steps.zeros()
        self._actions: Counter[str] = Counter()
        self._actors: Counter[str] = Counter()
        self._results: Counter[str] = Counter()

    async def batches(self) -> AsyncIterator[Batch]:
        """See `Source`."""
        wanted = AuditFilter(since=self._spec.since, until=self._spec.until)
        below: int | None = _ALL
        first: int | None = None
        while below is not None:
            async with self._database.read() as session:
                rows, below = await read_page(session, wanted, below, _BATCH)
            if rows and first is None:
                first = rows[0].seq
            done = 1.0 if below is None or not first else 1 - below / (first + 1)
            yield Batch(done, [self._row(row) for row in rows])

    def _row(self, row: Any) -> tuple[Cell, ...]:
        (self._ok if row.result == "ok" else self._bad)[self._steps.at(row.at)] += 1
        self._actions[row.action] += 1
        self._actors[row.actor_name] += 1
        self._results[row.result] += 1
        return tuple(getattr(row, column.name) for column in self.columns)

    def summary(self) -> Summary:
        """See `Source`."""
        count = Column("count", "Rows", "number")
        return Summary(
            facts=[
                ("Rows", f"{self._results.total():,}"),
                ("Done", f"{self._results['ok']:,}"),
                ("Denied", f"{self._results['denied']:,}"),
                ("Failed", f"{self._results['failed']:,}"),
                ("Different actors", f"{len(self._actors):,}"),
            ],
            charts=[
                Chart(
                    "Acts",
                    "bars",
                    self._steps.labels(),
                    [Series("Done", "plain", self._ok), Series("Denied or failed", "bad", self._bad)],
                )
            ],
            tables=[
                Table("What was done", [Column("action", "Action", width=40), count], self._actions.most_common(_TOP)),
                Table("Who did it", [Column("actor", "Actor", width=40), count], self._actors.most_common(_TOP)),
            ],
            notes=["Whether the log is whole is told by `novapulse audit verify`: each row seals the one before it."],
        )
