"""Jobs while processes are killed, stopped and robbed of Valkey: each ends once, none is lost, none runs for ever."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from novapulse.core.clock import now_ms
from novapulse.core.runtime import open_runtime
from novapulse.jobs.enqueue import NewJob, add_jobs_on, kick
from novapulse.settings import Settings
from novapulse.tasks import load_all_tasks
from tests.chaos.conftest import House, wait_until
from worker.enqueue import make_enqueue

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]

MODULE = "tests.chaos.tasks"
AHEAD = 16 + 160  # what a worker may have claimed of jobs that take 5 ms


class Ledger:
    """What the jobs wrote about themselves."""

    def __init__(self, house: House) -> None:
        self._path = Path(f"{house.folder}.ledger")
        self._path.touch()
        self._settings = Settings(data_dir=house.folder, redis_url="", task_modules=[MODULE])
        self._next = 0

    def add(self, count: int, **payload: object) -> list[str]:
        """Make jobs, as a service would; their ids."""
        numbers = range(self._next, self._next + count)
        self._next += count
        jobs = [NewJob("chaos.note", {"n": n, "ledger": str(self._path), **payload}) for n in numbers]
        return asyncio.run(self._add(jobs))

    async def _add(self, jobs: list[NewJob]) -> list[str]:
        load_all_tasks(self._settings)
        enqueue = make_enqueue(self._settings)
        rt = open_runtime(self._settings, enqueue)
        try:
            ids = await rt.database.run_write(lambda connection: add_jobs_on(connection, jobs))
            await kick(rt, "workflow", ids)
            return ids
        finally:
            await enqueue.close()
            await rt.close()

    def of(self, word: str) -> Counter[str]:
        """How often each job wrote this word."""
        lines = [line.split() for line in self._path.read_text().splitlines()]
        return Counter(words[2] for words in lines if words[0] == word)


def states(house: House) -> dict[str, int]:
    return dict(house.rows("SELECT state, count(*) FROM job GROUP BY state"))  # type: ignore[arg-type]


def held_by(house: House, job_id: str) -> str:
    return house.rows(f"SELECT coalesce(claimed_by, '') FROM job WHERE id = '{job_id}'")[0][0]


def test_whatever_is_killed_each_job_ends_once_and_long_ones_run_elsewhere_soon(
    make_house: Callable[..., House],
) -> None:
    house = make_house(NOVAPULSE_TASK_MODULES=MODULE)
    ledger = Ledger(house)
    others = [house.spawn("worker"), house.spawn("scheduler")]
    try:
        (long,) = ledger.add(1, seconds=12)  # four times as long as a worker may be silent
        wait_until(lambda: ledger.of("begin")[long], 20, "the long one is under way")
        ids = [long, *ledger.add(4_000, seconds=0.005)]
        harms: list[Callable[[], None]] = [
            house.flush_valkey,
            lambda: house.kill("worker"),
            lambda: house.kill("valkey"),
            lambda: house.kill("scheduler"),
            lambda: others[0].send_signal(signal.SIGSTOP),
        ]
        for part, harm in enumerate(harms, start=1):
            wait_until(lambda part=part: len(ledger.of("end")) > part * 400, 60, "some done")
            harm()
        time.sleep(7)  # more than twice the heartbeat's time of 3 s: what the stopped one holds runs elsewhere
        others[0].send_signal(signal.SIGCONT)
        wait_until(lambda: states(house) == {"completed": len(ids)}, 90, "all completed")
        ends = ledger.of("end")
        assert set(ends) == set(ids)
        # Two workers were taken for dead in the middle of work; what they had claimed may have run twice.
        repeats = ends.total() - len(ids)
        print(f"{repeats} repeats of {len(ids)}")
        assert repeats <= 2 * AHEAD
        assert ledger.of("begin")[long] <= 3, "once, and once more for each worker that was taken for dead"

        # A worker that is killed: what it ran runs elsewhere within 15 s.
        (again,) = ledger.add(1, seconds=6)
        wait_until(lambda: ledger.of("begin")[again], 20, "under way")
        own = str(others[0].pid)
        victim = others[0] if f"-{own}-" in held_by(house, again) else house.part("worker")
        victim.kill()
        killed = now_ms()
        wait_until(lambda: ledger.of("begin")[again] == 2, 20, "begun again")
        assert now_ms() - killed < 15_000
        wait_until(lambda: states(house) == {"completed": len(ids) + 1}, 30, "completed")
        house.counts_are_true()
    finally:
        for process in others:
            process.kill()
            process.wait()


def test_poison_ends_dead_and_a_stop_hands_back_without_an_attempt(make_house: Callable[..., House]) -> None:
    house = make_house(NOVAPULSE_TASK_MODULES=MODULE, NOVAPULSE_SHUTDOWN_TIMEOUT_S="4")
    ledger = Ledger(house)
    innocent = ledger.add(5, seconds=2)
    (poison,) = ledger.add(1, kill=True)
    wait_until(lambda: states(house) == {"completed": 5, "dead": 1}, 90, "the poison dead, the others completed")
    house.counts_are_true()
    ((id_, error, crashes),) = house.rows("SELECT id, error, crashes FROM job WHERE state = 'dead'")
    # Twice with nothing beside it, and once more if others ran at the time: those may have been the cause as well.
    assert (id_, crashes) == (poison, ledger.of("begin")[poison])
    assert crashes <= 3
    assert f"died {crashes} times while it ran" in error
    assert set(ledger.of("end")) == set(innocent)

    # A stop lets a short job finish, and hands back a long one at once: that was no attempt, no crash.
    (short,) = ledger.add(1, seconds=1)
    (long,) = ledger.add(1, seconds=6)
    wait_until(lambda: ledger.of("begin")[long] and ledger.of("begin")[short], 30, "both under way")
    house.kill("worker", signal.SIGTERM)
    wait_until(lambda: states(house) == {"completed": 7, "dead": 1}, 60, "both completed")
    house.counts_are_true()
    assert house.rows(f"SELECT attempts, crashes FROM job WHERE id IN ('{short}', '{long}')") == [(1, 0), (1, 0)]
    assert ledger.of("begin")[short] == 1
    assert ledger.of("begin")[long] == 2
    log = Path(f"{house.folder}.log").read_text()
    assert any("jobs_handed_back" in line and long in line for line in log.splitlines())

    # Nothing of it is left behind, in the numbers neither.
    counts = dict(house.rows("SELECT state, n FROM queue_count WHERE queue = 'workflow' AND n <> 0"))  # type: ignore[arg-type]
    assert counts == {"enqueued": 8, "completed": 7, "dead": 1, "failed": 1}
    wait_until(lambda: house.valkey().xlen("np:q:{workflow}") == 0, 20, "no entry is left")
