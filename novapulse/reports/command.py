"""`novapulse report make`: a report made here and now, without a worker, into a file of the caller's choice."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from pydantic import ValidationError

from novapulse.core.actor import SYSTEM
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.errors import BadRequestError
from novapulse.core.problems import from_validation
from novapulse.core.runtime import Runtime
from novapulse.reports.asked import about, range_of, require_maker
from novapulse.reports.child import ReportFailedError, make_in_child, work_dir
from novapulse.reports.content import TITLES, Spec
from novapulse.reports.make import Made, Order, Tell
from novapulse.reports.ranges import words
from novapulse.reports.schemas import ReportIn
from novapulse.security import audit


async def make_here(rt: Runtime, given: dict[str, object], out: Path, tell: Tell) -> Made:
    """Make the report that `POST /reports` would make of `given`, and put it where `out` says.

    Raises:
        InvalidError: there can be no such report.
        BadRequestError: it could not be made, or its place is taken.
    """
    try:
        asked = ReportIn.model_validate(given)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
    if await asyncio.to_thread(out.exists):
        raise BadRequestError(f"{out} is there already; choose another place.")
    require_maker(SYSTEM, asked.kind, [])
    now = now_ms()
    since, until = range_of(asked.params, now)
    async with rt.database.write() as session:
        of = await about(session, SYSTEM, asked.kind, asked.params.webhook_id, asked.params.tenant, "/params")
        detail = {"since": rfc3339(since), "until": rfc3339(until)}
        target = ("report", "", f"{asked.kind} as {asked.format}")
        await audit.append(rt, session, SYSTEM, "report.made", target=target, detail=detail)
    folder = await asyncio.to_thread(work_dir, out.parent, "rpt_of_command")
    order = Order(
        database=rt.settings.database,
        path=str(folder / out.name),
        title=TITLES[asked.kind],
        subtitle=f"{words(since, until)} · made {rfc3339(now)[:16].replace('T', ' ')} UTC",
        spec=Spec(asked.kind, asked.format, since, until, of.webhook_id, of.tenant),
    )
    try:
        made = await make_in_child(order, tell)
        await asyncio.to_thread((folder / out.name).replace, out)
    except ReportFailedError as error:
        raise BadRequestError(f"The report could not be made: {error}") from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return made
