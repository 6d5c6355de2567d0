"""Jobs while workers stop and hang, while versions mix, clocks jump and Valkey is away: one end each, no repeats."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import tests.chaos.newer  # noqa: F401 - the task that only this process and new workers know
from novapulse.core.actor import SYSTEM
from novapulse.core.clock import now_ms
from novapulse.core.errors import InvalidError, ProblemError
from novapulse.jobs import service
from novapulse.jobs.enqueue import NewJob
from novapulse.jobs.retention import finish_discards
from novapulse.jobs.schedules import add_schedule
from novapulse.jobs.schemas import ScheduleIn
from tests.chaos.conftest import wait_until
from tests.chaos.fleet import SLOTS, TTL_S, Fleet
from worker import keys

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("jobs") / "np", database=request.getfixturevalue("sqlite_template"))
    yield fleet
    fleet.close()


@pytest.fixture
def fleet(made: Fleet) -> Fleet:
    made.fresh()
    return made


def begun(fleet: Fleet, ids: list[str], times: int = 1) -> None:
    wait_until(lambda: all(fleet.ledger.runs()[job] >= times for job in ids), 30, f"all begun {times} times")


def test_a_stop_finishes_what_it_can_and_hands_back_the_rest(fleet: Fleet) -> None:
    first, idle = fleet.living("worker")
    assert idle.end() == 0, "idle"
    short, long = fleet.add(4, seconds=0.8), fleet.add(SLOTS - 4, seconds=3)
    begun(fleet, short + long)
    backlog = fleet.add(200, seconds=0.005)
    assert first.end() == 0, "in the middle of work, with more waiting"
    assert fleet.states() == {"completed": 4, "waiting": len(long) + 200}
    assert fleet.ledger.runs().keys() == {*short, *long}, "nothing was begun once it was told to stop"
    assert all("jobs_handed_back" in first.log and job in first.log for job in long)
    assert fleet.rows("SELECT sum(attempts), sum(crashes) FROM job WHERE state = 'waiting'") == [(0, 0)]
    # Told twice, it ends at once, and what it had runs elsewhere.
    second = fleet.worker()
    begun(fleet, long, 2)
    second.send(signal.SIGTERM)
    wait_until(lambda: "worker_stopping" in second.log, 10, "it stops")
    second.send(signal.SIGTERM)
    assert second.process.wait(10) == 128 + signal.SIGTERM
    fleet.man()
    runs = fleet.check([*short, *long, *backlog])
    assert {runs[job] for job in short} == {1}
    assert {runs[job] for job in long} == {3}
    assert fleet.rows(f"SELECT DISTINCT attempts, crashes FROM job WHERE id IN {tuple(long)}") == [(2, 1)]


def test_who_was_taken_for_dead_loses_and_one_scheduler_works_at_a_time(fleet: Fleet) -> None:
    """SIGSTOP longer than the heartbeat lives, and SIGCONT: of a worker, and of the scheduler that is elected."""
    (long,) = fleet.add(1, seconds=4 * TTL_S)  # twice its lease, too, which is scaled down
    other = fleet.holder(long)
    (zombie,) = [part for part in fleet.living("worker") if part is not other]
    ids = [long]
    while zombie.pid not in {pid for (pid,) in fleet.ledger.rows("SELECT pid FROM run")}:
        ids += fleet.add(1, seconds=2)
    leader = fleet.leader()
    fleet.freeze(leader)
    fleet.freeze(zombie)
    held = [job for (job,) in fleet.ledger.rows(f"SELECT job FROM run WHERE pid = {zombie.pid} AND ended IS NULL")]
    assert held
    schedules = [fleet.do(schedule(fleet, n)) for n in range(5)]
    fleet.write("UPDATE schedule SET next_run_at = 1000")  # once: a time that was missed is made up for
    ids += fleet.do(fleet.make([NewJob("chaos.work", {}, run_at=now_ms() + wait) for wait in range(0, 1000, 50)]))
    wait_until(lambda: all(other.pid in fleet.ledger.pids(job) for job in held), 30, "its jobs are begun elsewhere")
    # It comes to while they run there, ends what it began, asks for the effect under the same key, and may not record.
    zombie.send(signal.SIGCONT)
    unfinished = f"SELECT count(*) FROM run WHERE pid = {zombie.pid} AND ended IS NULL"
    wait_until(lambda: fleet.ledger.rows(unfinished) == [(0,)], 30, "the zombie has ended its jobs")
    wait_until(lambda: all(f'"{job}"' in zombie.log for job in held), 20, "and found that it has lost them")
    assert zombie.log.count("claim_lost") == len(held)
    wait_until(lambda: fleet.states().keys() == {"completed"}, 60, "all is done, by the other scheduler")
    leader.send(signal.SIGCONT)
    fleet.write("UPDATE schedule SET next_run_at = 2000")
    wait_until(lambda: fleet.rows("SELECT count(*) FROM job WHERE schedule_id IS NOT NULL") == [(10,)], 20, "both made")
    ticks = [id_ for (id_,) in fleet.rows("SELECT id FROM job WHERE schedule_id IS NOT NULL")]
    runs = fleet.check([*ids, *ticks])
    assert {job for job, count in runs.items() if count > 1} == set(held)
    assert {fleet.result(job)["pid"] for job in held} == {other.pid}
    assert runs[long] == 1, "it ran longer than heartbeat and lease, and was not started twice"
    assert fleet.rows("SELECT schedule_id, count(*) FROM job WHERE schedule_id IS NOT NULL GROUP BY 1 ORDER BY 1") == [
        (id_, 2) for id_ in sorted(schedules)
    ]


async def schedule(fleet: Fleet, n: int) -> str:
    """Something that is made once a year."""
    given = ScheduleIn(name=f"Yearly {n}", task="chaos.work", cron="0 0 1 1 *")
    async with fleet.rt.database.write() as session:
        return await add_schedule(session, SYSTEM, given)


def test_valkey_that_hangs_or_forgets_holds_up_nothing_and_repeats_nothing(fleet: Fleet) -> None:
    long = fleet.add(4, seconds=8)
    ids = fleet.add(300, seconds=0.01)
    begun(fleet, long)

    def go_on(what: str) -> None:
        ids.extend(fleet.add(50, seconds=0.01))
        wait_until(lambda: fleet.ledger.rows(ended) >= [(len(ids),)], 30, f"all is done, {what}")

    ended = "SELECT count(*) FROM run WHERE ended - began < 5"

    wait_until(lambda: fleet.ledger.done() > 50, 20, "under way")
    fleet.valkey_process.send_signal(signal.SIGSTOP)
    hung_at = time.monotonic()
    go_on("although Valkey hangs")
    time.sleep(max(0.0, hung_at + 5 - time.monotonic()))
    fleet.valkey_process.send_signal(signal.SIGCONT)
    go_on("when it is back")
    for empty in (False, True):
        fleet.kill_valkey()
        go_on("although it is away")
        fleet.start_valkey(empty=empty)
        go_on("after a new start")
    assert set(fleet.check([*long, *ids]).values()) == {1}, "nobody died, so nothing is repeated"
    assert fleet.rows("SELECT max(crashes), max(attempts) FROM job") == [(0, 1)]
    wait_until(lambda: len(fleet.valkey().keys(keys.worker("*"))) == 2, 20, "both workers are seen again")


def test_what_no_worker_can_run_is_said_so(fleet: Fleet) -> None:
    for given, place in (
        (NewJob("chaos.gone"), "/task"),
        (NewJob("chaos.work", {"seconds": "long"}), "/payload/seconds"),
        (NewJob("chaos.work", {"padding": "x" * 2**20}), "/payload"),
    ):
        with pytest.raises(InvalidError) as refused:
            fleet.do(fleet.make([given]))
        assert refused.value.errors[0].pointer == place
    # In the queue all the same: of another version, of another program, or changed by hand.
    large = fleet.add(1, padding="x" * 250_000)
    later = now_ms() + 3_600_000
    unknown, old, misfit, broken, huge = fleet.do(fleet.make([NewJob("chaos.work", run_at=later) for _ in range(5)]))
    fleet.write(
        f"UPDATE job SET task = 'chaos.gone' WHERE id IN ('{unknown}', '{old}')",
        f"UPDATE job SET created_at = created_at - 700000 WHERE id = '{old}'",
        f"""UPDATE job SET payload = '{{"seconds": "long"}}' WHERE id = '{misfit}'""",
        f"UPDATE job SET payload = 'no JSON' WHERE id = '{broken}'",
        f"""UPDATE job SET payload = '{{"padding": "{"x" * 2**20}"}}' WHERE id = '{huge}'""",
        "UPDATE job SET run_at = 0 WHERE state = 'delayed'",
    )
    wait_until(lambda: fleet.states() == {"completed": 2, "dead": 3, "delayed": 1}, 30, lambda: str(fleet.states()))
    said = dict(fleet.rows("SELECT id, coalesce(error, progress_text) FROM job WHERE state <> 'completed'"))  # type: ignore[arg-type]
    words = "No worker knows the task 'chaos.gone'."
    assert said[unknown] == f"{words} Tried again shortly."
    assert said[old] == words
    assert "does not fit this version of the task" in said[misfit] and "does not fit" in said[broken]
    assert fleet.rows(f"SELECT attempts FROM job WHERE id = '{unknown}'") == [(0,)]
    fleet.do(service.cancel_job(fleet.rt, SYSTEM, unknown))
    fleet.check([*large, unknown, old, misfit, broken, huge], completed=2, dead=3, cancelled=1)


def test_ten_thousand_at_once_on_one_slot(fleet: Fleet) -> None:
    worker = fleet.worker(queues="report")
    ids = fleet.add(10_000, task="chaos.narrow")
    assert set(fleet.check(ids).values()) == {1}
    rows = fleet.ledger.rows("SELECT began, ended, pid FROM run ORDER BY began")
    assert {pid for *_, pid in rows} == {worker.pid}
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(rows)), "one at a time"
    assert worker.end() == 0


def test_an_old_and_a_new_version_side_by_side(fleet: Fleet) -> None:
    old, gone = fleet.living("worker")
    gone.kill()
    new = fleet.worker(task_modules="tests.chaos.tasks,tests.chaos.newer")
    fleet.started(new)
    ids = fleet.do(fleet.make([NewJob(f"chaos.{('newer', 'work')[n % 2]}", {"seconds": 0.02}) for n in range(200)]))
    wait_until(lambda: fleet.ledger.done() > 150, 60, "most is done")
    ids += fleet.add(300, seconds=0.02)
    assert old.end() == 0, "the old one goes in the middle of it"
    assert set(fleet.check(ids).values()) == {1}
    of_new = {job for (job,) in fleet.rows("SELECT id FROM job WHERE task = 'chaos.newer'")}
    assert {pid for job in of_new for pid in fleet.ledger.pids(job)} == {new.pid}
    assert fleet.rows("SELECT max(claims) > 1, max(attempts) FROM job WHERE task = 'chaos.newer'") == [(1, 1)]
    assert old.pid in {pid for (pid,) in fleet.ledger.rows("SELECT DISTINCT pid FROM run")}


def test_a_clock_that_jumps_starts_nothing_twice_and_holds_nothing_up(fleet: Fleet) -> None:
    (long,) = fleet.add(1, seconds=5)
    ids = [long, *fleet.add(1_000, seconds=0.02)]
    for hours in (1, -1, 0):
        wait_until(lambda: fleet.ledger.done() > 100, 30, "under way")
        fleet.turn_clock(hours * 3600)
        due = fleet.do(fleet.make([NewJob("chaos.work", {}, run_at=now_ms() + 300 + hours * 3_600_000)]))
        ids += [*due, *fleet.add(20)]
        begun(fleet, due)
    assert set(fleet.check(ids).values()) == {1}
    assert fleet.rows("SELECT max(crashes), max(attempts) FROM job") == [(0, 1)]


ACTS = (service.cancel_job, service.retry_job, service.discard_job, service.undo_job)


def test_whoever_cancels_retries_or_deletes_at_any_moment_leaves_no_job_in_two_states(fleet: Fleet) -> None:
    chance = random.Random(4711)
    ids = fleet.add(600, seconds=0.05)
    done: Counter[str] = Counter()
    touched: list[str] = []

    async def meddle() -> None:
        while fleet.ledger.done() < 400:
            act = chance.choices(ACTS, (4, 2, 1, 2))[0]
            job = chance.choice(ids if act is service.cancel_job or not touched else touched[-40:])
            with contextlib.suppress(ProblemError):
                await act(fleet.rt, SYSTEM, job)
                done[act.__name__] += 1
                touched.append(job)
            await asyncio.sleep(0)

    async def all_at_once() -> None:
        await asyncio.gather(*(meddle() for _ in range(4)))

    fleet.do(all_at_once())
    assert set(done) == {act.__name__ for act in ACTS}
    wait_until(lambda: not fleet.states().keys() & {"waiting", "active", "delayed"}, 60, lambda: str(fleet.states()))
    # Ten seconds later, what was to be deleted is.
    fleet.write("UPDATE job_undo SET until = 1")
    fleet.do(finish_discards(fleet.rt))
    wait_until(lambda: fleet.rows("SELECT count(*) FROM job_undo WHERE act = 'discard'") == [(0,)], 20, "deleted")
    fleet.counts_are_true()
    assert fleet.ledger.overlaps() == [], "no job ran twice at a time"
    moves = Counter(fleet.rows("SELECT was, state FROM chaos_end"))
    ended = {"completed", "dead", "cancelled"}
    assert not [move for move in moves if set(move) <= ended], "who has ended stays so, unless somebody retries it"
    assert {state for was, state in moves if was in ended} <= {"waiting", "delayed"}, "and then it begins anew"
    # Who was completed did what it was for, once for each time; who did not, did it not, or was stopped right after.
    completions = Counter(id_ for (id_,) in fleet.rows("SELECT job_id FROM chaos_end WHERE state = 'completed'"))
    stopped = Counter(id_ for (id_,) in fleet.rows("SELECT job_id FROM chaos_end WHERE state = 'cancelled'"))
    asked: dict[str, Any] = dict(fleet.ledger.rows("SELECT key, asked FROM effect"))  # type: ignore[arg-type]
    for job in ids:
        assert completions[job] <= asked.get(job, 0) <= completions[job] + stopped[job]
