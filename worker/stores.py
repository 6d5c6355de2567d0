"""Waiting, at a start, for a database that answers and has this version's tables."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core.migrations import revision_of
from novapulse.core.runtime import Runtime

_WAIT_S = 1.0

log = structlog.get_logger(__name__)


async def wait_for_stores(rt: Runtime, stop: asyncio.Event) -> None:
    """Return when work can be done, or when it is no longer wanted. Migrations are somebody else's to run."""
    while not stop.is_set():
        try:
            revision = await asyncio.wait_for(revision_of(rt.database), 10.0)
            if not revision.behind:
                return
            log.warning("database_behind", at=revision.now, wanted=revision.head, run="novapulse db upgrade")
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("database_not_ready", error=str(error)[:200], retry_in_s=_WAIT_S)
        try:
            await asyncio.wait_for(stop.wait(), _WAIT_S)
        except TimeoutError:
            continue
