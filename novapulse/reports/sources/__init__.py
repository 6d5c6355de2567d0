"""Where the rows of each kind of report come from: batch by batch, each in a transaction of its own.

A reader that kept one open would have SQLite's log grow for as long as the report takes. No statement is about more
than a few thousand rows, however many there are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from novapulse.core.database import Database
from novapulse.reports.content import Cell, Column, Spec, Summary


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows, and how far this is, from 0 to 1."""

    done: float
    rows: Sequence[Sequence[Cell]]


class Source(Protocol):
    """The rows of one report; what they come to is known once all were read."""

    @property
    def columns(self) -> Sequence[Column]:
        """What each row has."""
        ...

    def batches(self) -> AsyncIterator[Batch]:
        """All rows."""
        ...

    def summary(self) -> Summary:
        """What the rows that were read come to."""
        ...


def source_of(database: Database, spec: Spec) -> Source:
    """The source of what is asked for."""
    if spec.kind == "deliveries":
        from novapulse.reports.sources.deliveries import Deliveries

        return Deliveries(database, spec)
    if spec.kind == "endpoints":
        from novapulse.reports.sources.endpoints import Endpoints

        return Endpoints(database, spec)
    if spec.kind == "queues":
        from novapulse.reports.sources.queues import Queues

        return Queues(database, spec)
    from novapulse.reports.sources.audit import Audit

    return Audit(database, spec)
