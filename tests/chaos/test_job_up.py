"""`novapulse up` in the middle of jobs: its parent killed, all of it killed at once, and stopped as it should be."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from novapulse.core.runtime import open_runtime
from novapulse.jobs.enqueue import NewJob, add_jobs_on, kick
from novapulse.tasks import load_all_tasks
from tests.chaos.conftest import COUNTED_AND_FOUND, assert_counts_are_true, wait_until
from tests.chaos.fleet import MODULE, TTL_S, Ledger
from tests.chaos.tasks import CLOCK, LEDGER
from tests.conftest import make_settings
from tests.instance import Instance
from worker.enqueue import make_enqueue

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(240)]


async def add(data_dir: Path, count: int, **payload: Any) -> list[str]:
    """Make jobs, as a service would."""
    settings = make_settings(data_dir, task_modules=[MODULE])
    load_all_tasks(settings)
    enqueue = make_enqueue(settings)
    rt = open_runtime(settings, enqueue)
    try:
        jobs = [NewJob("chaos.work", payload) for _ in range(count)]
        ids = await rt.database.run_write(lambda connection: add_jobs_on(connection, jobs))
        await kick(rt, "workflow", ids)
        return ids
    finally:
        await enqueue.close()
        await rt.close()


def test_all_of_it_killed_or_stopped_in_the_middle_of_jobs(tmp_path: Path) -> None:
    ledger, clock = Ledger(tmp_path / "ledger.db"), tmp_path / "clock"
    clock.write_bytes(bytes(8))
    instance = Instance(tmp_path, task_modules=MODULE, heartbeat_ttl_s=str(TTL_S), shutdown_timeout_s="5")
    instance.environment |= {LEDGER: str(ledger.file), CLOCK: str(clock)}
    data = tmp_path / "data"

    def rows(query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(data / "novapulse.db", timeout=10)) as database:
            return database.execute(query).fetchall()

    def begun(ids: list[str], times: int) -> None:
        wait_until(lambda: all(ledger.runs()[job] == times for job in ids), 30, f"begun {times} times")

    instance.start()
    try:
        ids = asyncio.run(add(data, 3, seconds=2))
        begun(ids, 1)
        parts = [instance.process, *instance.process.children(recursive=True)]
        assert len(parts) >= 5
        instance.kill()
        wait_until(lambda: not any(map(_lives, parts)), 10, "its children are gone, too")
        instance.launch()
        begun(ids, 2)
        for part in [*instance.process.children(recursive=True), instance.process]:
            part.kill()
        instance.kill()
        instance.start()
        wait_until(lambda: rows("SELECT count(*) FROM job WHERE state = 'completed'") == [(3,)], 60, "all done")
        assert ledger.runs() == dict.fromkeys(ids, 3), "once, and once for each time that all were killed"
        assert rows("SELECT DISTINCT attempts, crashes FROM job") == [(3, 2)]
        # Asked to stop, it lets what runs finish.
        ids += asyncio.run(add(data, 1, seconds=1))
        begun(ids[3:], 1)
        instance.stop(signal.SIGTERM)
        assert instance.wait_end() == 0
        assert rows(f"SELECT state, attempts, crashes FROM job WHERE id = '{ids[3]}'") == [("completed", 1, 0)]
        assert sorted(ledger.rows("SELECT key FROM effect")) == sorted((job,) for job in ids)
        assert_counts_are_true(rows(COUNTED_AND_FOUND))
    finally:
        instance.kill()


def _lives(part: psutil.Process) -> bool:
    try:
        return part.is_running() and part.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
