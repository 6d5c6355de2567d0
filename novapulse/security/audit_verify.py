"""Verifying the audit log: every row, in order, against the seals.

What shows: a row that was changed, removed, inserted or moved; a cut end; a head that was set back to an older row.
What cannot show from the database alone: that all of it is an older copy. For that a head that was noted elsewhere is
given, as `SEQ:SEAL`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import func, select

from novapulse.core.actor import Actor
from novapulse.core.crypto import DecryptError
from novapulse.core.errors import InvalidError
from novapulse.core.runtime import Runtime
from novapulse.security.audit import AUDIT, HEAD
from novapulse.security.audit_log import require_reader
from novapulse.security.audit_seal import LogKeys, proof, seal

_BATCH = 500  # rows in memory at a time
_NOTED = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)


class Verdict(BaseModel):
    """What came out."""

    intact: bool
    rows: int = Field(description="How many rows were verified before the first that is wrong.")
    head: str | None = Field(description="Number and seal of the last row, to be noted elsewhere; null: no row.")
    bad_seq: int | None = Field(None, description="The first number at which something is wrong.")
    problem: str | None = None

    def __str__(self) -> str:
        if not self.intact:
            return f"broken at row {self.bad_seq}: {self.problem}"
        return f"intact: {self.rows} rows, head {self.head}" if self.head else "intact: the log is empty"


@dataclass(frozen=True, slots=True)
class Noted:
    """A head that somebody kept."""

    seq: int
    seal: str


def parse_noted(text: str) -> Noted:
    """Read `SEQ:SEAL`.

    Raises:
        InvalidError: it is not of this form.
    """
    match = _NOTED.fullmatch(text.strip())
    if match is None:
        raise InvalidError.at("/expect", "must be the number and the seal of a row, as SEQ:SEAL")
    return Noted(int(match[1]), match[2])


async def verify(rt: Runtime, actor: Actor, expect: str | None = None) -> Verdict:
    """Verify the whole log, a batch at a time; rows that are appended meanwhile are left out.

    Raises:
        InvalidError: what is expected is not `SEQ:SEAL`.
    """
    require_reader(actor)
    noted = None if expect is None else parse_noted(expect)
    async with rt.database.read() as session:
        # One statement, so that both are of one moment.
        last = select(func.max(AUDIT.c.seq)).scalar_subquery()
        head = (await session.execute(select(HEAD, last.label("last")))).one_or_none()
    if head is None:
        return Verdict(intact=False, rows=0, head=None, bad_seq=1, problem="the head of the log is gone")
    walk = _Walk(lambda seq: rt.part(LogKeys).at(head.keys, seq), noted)
    below = -(2**63)
    while walk.problem is None:
        async with rt.database.read() as session:
            rows = (
                await session.execute(
                    select(AUDIT)
                    .where(AUDIT.c.seq > below, AUDIT.c.seq <= head.seq)
                    .order_by(AUDIT.c.seq)
                    .limit(_BATCH)
                )
            ).all()
        if not rows:
            break
        walk.take(rows)
        below = rows[-1].seq
    walk.end(head)
    whole = walk.problem is None
    return Verdict(
        intact=whole,
        rows=walk.count,
        head=f"{head.seq}:{head.seal}" if whole and head.seq else None,
        bad_seq=None if whole else walk.count + 1,
        problem=walk.problem,
    )


class _Walk:
    """Goes through the rows in order, and stops at the first that does not follow."""

    def __init__(self, key_at: Callable[[int], bytes], noted: Noted | None) -> None:
        self._key_at = key_at
        self._noted = noted
        self._seal = ""
        self.count = 0
        self.problem: str | None = None

    def take(self, rows: Sequence[Any]) -> None:
        """The next rows."""
        for row in rows:
            self.problem = self._fault(row)
            if self.problem is not None:
                return
            self.count += 1
            self._seal = row.seal

    def end(self, head: Any) -> None:
        """All rows were taken: is the last one the one that the head names, and is the head itself sealed?"""
        if self.problem is not None:
            return
        if self.count < head.seq:
            self.problem = "it is missing, and so are all after it" if self.count + 1 < head.seq else "it is missing"
        elif head.last is not None and head.last > head.seq:
            self.problem = "it was inserted after the last row"
        elif head.seq and not self._is_head(head):
            self.problem = "the head of the log was changed: rows after it may have been cut off"
        elif self._noted is not None and self._noted.seq > self.count:
            self.problem = f"row {self._noted.seq}, which was noted, is not there: the log was cut, or is an older copy"

    def _is_head(self, head: Any) -> bool:
        try:
            key = self._key_at(head.seq)
        except DecryptError:
            return False
        return hmac.compare_digest(head.seal, self._seal) and hmac.compare_digest(
            head.proof, proof(key, head.seq, head.seal)
        )

    def _fault(self, row: Any) -> str | None:
        expected = self.count + 1
        if row.seq != expected:
            return "it is missing" if row.seq > expected else f"a row {row.seq} was inserted before it"
        try:
            right = seal(self._key_at(row.seq), row._mapping, self._seal)
        except DecryptError as error:
            return f"its key cannot be read ({error})"
        if not hmac.compare_digest(row.seal, right):
            return "it, or the row before it, is not as it was written"
        if self._noted is not None and self._noted.seq == row.seq and not hmac.compare_digest(self._noted.seal, right):
            return "it is not the row that was noted: the log was written anew from an older copy"
        return None
