"""Killing each process in the middle of work: no accepted event is lost, hardly any arrives twice."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from tests.chaos.conftest import House, wait_until
from tests.receiver import Answer, receiving

# A scheduler's death holds nothing up but retries: fewer events show as much.
EVENTS = {"worker": 20_000, "web": 20_000, "valkey": 20_000, "flushall": 20_000, "scheduler": 5_000}


def _in_the_middle(house: House, events: int, act: Callable[[], None]) -> None:
    """Do `act` once while deliveries are being made."""
    wait_until(lambda: house.rows("SELECT count(*) FROM attempt")[0][0] > events // 20, 60, "work under way")
    act()


@pytest.mark.parametrize("victim", EVENTS)
def test_all_events_survive_hardly_any_arrives_twice(house: House, victim: str) -> None:
    events = EVENTS[victim]
    with receiving() as receiver:
        house.webhook(receiver.url())

        def harm() -> None:
            if victim == "flushall":
                house.flush_valkey()
            else:
                house.kill(victim)

        trouble = threading.Thread(target=_in_the_middle, args=(house, events, harm))
        trouble.start()
        ids = house.send(events)
        trouble.join()
        house.wait_delivered(events, 150)
        counts = receiver.counts()
        assert set(counts) == set(ids), "exactly what was accepted arrived"
        duplicates = counts.total() - events
        print(f"{victim}: {duplicates} duplicates of {events}")
        assert duplicates < events // 100
        assert house.rows("SELECT count(*), count(DISTINCT delivery_id) FROM attempt WHERE ok") == [(events, events)]


def test_the_parent_killed_takes_its_children_along_and_a_new_start_goes_on(house: House) -> None:
    with receiving() as receiver:
        house.webhook(receiver.url())
        ids = house.send(3_000)
        parts = [house.part(kind) for kind in ("web", "worker", "scheduler", "valkey")]
        house.process.kill()
        house.process.wait()
        wait_until(
            lambda: not any(part.is_running() and part.status() != "zombie" for part in parts), 10, "orphans ended"
        )
        house.start()
        house.wait_delivered(3_000)
        assert set(receiver.counts()) == set(ids)


def test_sigterm_in_the_middle_of_work_finishes_or_hands_back(house: House) -> None:
    with receiving(lambda _: Answer(delay_s=0.5)) as receiver:
        house.webhook(receiver.url())
        ids = house.send(500)
        wait_until(lambda: len(receiver.arrivals) > 20, 30, "work under way")
        house.kill("worker", signal.SIGTERM)
        house.wait_delivered(500)
        assert set(receiver.counts()) == set(ids)
        assert receiver.counts().total() == 500, "a graceful stop sends nothing twice"


def test_a_second_sigterm_stops_at_once_and_nothing_is_lost(house: House) -> None:
    with receiving(lambda _: Answer(delay_s=2.0)) as receiver:
        house.webhook(receiver.url())
        ids = house.send(100)
        wait_until(lambda: len(receiver.arrivals) > 10, 30, "work under way")
        worker = house.part("worker")
        worker.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        worker.send_signal(signal.SIGTERM)
        house.wait_delivered(100)
        assert set(receiver.counts()) == set(ids)


def test_a_worker_stopped_past_its_lease_loses_to_its_successor(make_house: Callable[..., House]) -> None:
    """SIGSTOP, wait until another took over, SIGCONT: the zombie's late results must not count."""
    house = make_house()
    with receiving(lambda _: Answer(delay_s=1.0)) as receiver:
        house.webhook(receiver.url())
        second = house.spawn("worker")
        ids = house.send(400)
        wait_until(lambda: len(receiver.arrivals) > 40, 30, "work under way")
        stopped = house.part("worker")
        stopped.suspend()
        time.sleep(8)  # more than twice the heartbeat's time of 3 s
        stopped.resume()
        house.wait_delivered(400)
        second.terminate()
        assert set(receiver.counts()) == set(ids)
        assert house.rows("SELECT count(*), count(DISTINCT delivery_id) FROM attempt WHERE ok") == [(400, 400)]


def test_a_crash_on_a_quiet_stream_is_taken_over_without_new_traffic(house: House) -> None:
    first = threading.Event()

    def rule(_: object) -> Answer:
        if not first.is_set():
            first.set()
            return Answer(silent=True)
        return Answer()

    with receiving(rule) as receiver:
        house.webhook(receiver.url())
        (id_,) = house.send(1)
        assert first.wait(20)
        house.kill("worker")
        house.wait_delivered(1, 30)
        assert receiver.counts() == {id_: 2}, "sent again with the same webhook-id"


def test_an_undecodable_entry_is_parked_and_stops_nobody(house: House) -> None:
    with receiving() as receiver:
        house.webhook(receiver.url())
        valkey = house.valkey()
        valkey.xadd("{np}:q:{webhook}", {"data": b"\xff\x00 not a job"})
        ids = house.send(50)
        house.wait_delivered(50)
        assert set(receiver.counts()) == set(ids)
        wait_until(lambda: valkey.xlen("{np}:q:{webhook}:parked") == 1, 20, "parked")
        wait_until(lambda: valkey.xlen("{np}:q:{webhook}") == 0, 20, "nothing left behind")
