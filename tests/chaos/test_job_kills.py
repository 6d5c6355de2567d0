"""Jobs while processes are killed and Valkey is robbed, on each database: each ends once, and soon runs elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.conftest import wait_until
from tests.chaos.fleet import SLOTS, TTL_S, Fleet
from tests.conftest import fresh_postgres
from worker import keys
from worker.enqueue import message

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(240)]

STREAM, GROUP = "{np}:q:{workflow}", "workers"
UNRECORDED = 100  # results that a worker gathers for one transaction


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("kills") / "np"
    if request.param == "postgres":
        template = request.getfixturevalue("postgres_template")
        url = asyncio.run(fresh_postgres(request.getfixturevalue("postgres_url"), template))
        fleet = Fleet(folder, database_url=url)
    else:
        fleet = Fleet(folder, database=request.getfixturevalue("sqlite_template"))
    yield fleet
    fleet.close()


@pytest.fixture
def fleet(made: Fleet) -> Fleet:
    made.fresh()
    return made


def test_whatever_is_killed_or_lost_each_job_ends_once(fleet: Fleet) -> None:
    client = fleet.valkey()
    (long,) = fleet.add(1, seconds=3 * TTL_S)
    wait_until(lambda: fleet.ledger.runs()[long], 20, "the long one is under way")
    ids = [long, *fleet.add(1_500, seconds=0.02)]
    victim = fleet.holder(long)
    killed: list[float] = []

    def kill_the_holder() -> None:
        victim.kill()
        killed.append(time.time())

    harms: list[Callable[[], object]] = [
        kill_the_holder,
        client.flushall,
        lambda: client.xadd(STREAM, {"data": b"\xff\x00 no job at all"}),
        lambda: client.xadd(STREAM, {"data": message("of.another.version", ["a"]), "n": 1}),
        lambda: client.xgroup_destroy(STREAM, keys.GROUP),
        fleet.leader().kill,
        lambda: client.delete(STREAM),
    ]
    with fleet.tended():
        for part, harm in enumerate(harms, start=1):
            wait_until(lambda part=part: fleet.ledger.done() > part * 150, 60, "some done")
            harm()
        runs = fleet.check(ids)
    assert client.xlen(keys.parked("workflow")) == 2, "what nobody can work on is put aside"
    began = fleet.ledger.rows(f"SELECT began FROM run WHERE job = '{long}' ORDER BY began")
    assert len(began) == 2 and began[1][0] - killed[0] < 15, "it ran elsewhere within 15 s, and no third time"
    assert fleet.ledger.pids(long)[0] == victim.pid
    # What the killed one ran, or had not recorded yet, ran again; nothing else did, whatever Valkey lost.
    again = {job for job, count in runs.items() if count > 1}
    assert again <= {job for job in ids if victim.pid in fleet.ledger.pids(job)[:-1]}
    assert len(again) <= SLOTS + UNRECORDED and max(runs.values()) == 2
    assert fleet.rows("SELECT max(crashes), sum(attempts) > 0 FROM job") == [(1, True)]
    assert fleet.rows(f"SELECT attempts, crashes FROM job WHERE id = '{long}'") == [(2, 1)]


def test_poison_ends_dead_and_takes_nothing_with_it(fleet: Fleet) -> None:
    others = fleet.add(5, seconds=1)
    (poison,) = fleet.add(1, kill=True)
    with fleet.tended():
        runs = fleet.check([*others, poison], completed=5, dead=1)
    ((error, crashes),) = fleet.rows(f"SELECT error, crashes FROM job WHERE id = '{poison}'")
    assert f"died {crashes} times while it ran" in error
    assert runs[poison] == crashes and 2 <= crashes <= 3


def test_a_database_that_goes_away_while_jobs_finish_repeats_none(fleet: Fleet) -> None:
    """What was done is remembered until it can be recorded, whether the database was locked or hung up."""
    ids = [*fleet.add(12, seconds=1), *fleet.add(400, seconds=0.01)]
    wait_until(lambda: fleet.ledger.done() > 50, 20, "under way")
    if fleet.is_sqlite:
        with contextlib.closing(sqlite3.connect(fleet.folder / "novapulse.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            logs = fleet.living("worker")
            wait_until(lambda: all("jobs_not_recorded" in part.log for part in logs), 20, "both were refused")
            other.execute("ROLLBACK")
    else:
        everybody = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        for cut in range(12):
            wait_until(lambda cut=cut: fleet.ledger.done() >= min(60 + cut * 10, len(ids)), 20, "more done")
            fleet.rows(f"{everybody} AND pid <> pg_backend_pid()")
    assert set(fleet.check(ids).values()) == {1}
    assert fleet.rows("SELECT DISTINCT attempts, crashes FROM job") == [(1, 0)]
