"""Workers that die once at each step of a workflow's run: when it is done, within the transaction that records it."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, text

from novapulse.workflows import store
from tests.chaos.tasks import LEDGER


def _die_once(at: str) -> None:
    with closing(sqlite3.connect(os.environ[LEDGER], isolation_level=None, timeout=30)) as ledger:
        if ledger.execute("INSERT OR IGNORE INTO kill VALUES (?)", (at,)).rowcount == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def _dying(record: Callable[..., Any]) -> Callable[..., Any]:
    """Of an act: `finish_on` and `note_on`."""

    def recorded(connection: Connection, run_id: str, key: str, *more: Any, **named: Any) -> Any:
        done = record(connection, run_id, key, *more, **named)
        _die_once(key.partition("/")[0])
        return done

    return recorded


def _dying_between(advance: Callable[..., Any]) -> Callable[..., Any]:
    """At the beginning of a run, and when a wait is over."""

    def advanced(connection: Connection, run_id: str, now: int) -> Any:
        steps = connection.execute(text("SELECT count(*) FROM workflow_step")).scalar()
        done = advance(connection, run_id, now)
        _die_once("wait" if steps else "start")
        return done

    return advanced


if LEDGER in os.environ and "worker" in sys.argv:
    store.finish_on, store.note_on = _dying(store.finish_on), _dying(store.note_on)
    store.advance_on = _dying_between(store.advance_on)
