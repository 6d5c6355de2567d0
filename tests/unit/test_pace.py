"""The pace of one webhook: slow failures shrink its share, a dead receiver is left alone for a while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from novapulse.webhooks.engine.pace import Pace
from novapulse.webhooks.outcome import ErrorCode, Outcome

OK = Outcome(0, 5.0, 200)
QUICK_FAILURE = Outcome(0, 5.0, 500, ErrorCode.STATUS)
TIMEOUT = Outcome(0, 15_000.0, None, ErrorCode.TIMEOUT)


def test_timeouts_halve_the_concurrency_and_successes_win_it_back() -> None:
    pace = Pace(32)
    pace.learn(TIMEOUT, 0)
    assert pace.limit == 16
    for _ in range(40):
        pace.learn(OK, 0)
    assert pace.limit == 32


def test_a_receiver_that_never_answers_keeps_one_slot_and_opens_the_circuit() -> None:
    pace = Pace(32)
    for _ in range(10):
        assert not pace.is_open(1_000)
        pace.learn(TIMEOUT, 1_000)
    assert int(pace.limit) == 1
    assert pace.is_open(1_001)
    assert not pace.is_open(2_000), "it is tried again after a second"


def test_openings_double_up_to_a_quarter_of_a_minute_and_one_success_ends_them() -> None:
    pace, now = Pace(4), 0
    for _ in range(10):
        pace.learn(TIMEOUT, now)
    lengths = [pace.open_for]
    for _ in range(6):
        now = pace.open_until
        pace.learn(TIMEOUT, now)
        lengths.append(pace.open_for)
    assert lengths == [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]
    now = pace.open_until
    pace.learn(OK, now)
    pace.learn(TIMEOUT, now)
    assert not pace.is_open(now)


def test_quick_refusals_do_not_open_the_circuit() -> None:
    """A receiver that answers 500 at once holds no slots: each delivery must get its attempts on time."""
    pace = Pace(32)
    for _ in range(1_000):
        pace.learn(QUICK_FAILURE, 0)
    assert not pace.is_open(1)
    assert pace.limit == 32


@given(st.lists(st.sampled_from([OK, QUICK_FAILURE, TIMEOUT]), max_size=200), st.integers(1, 64))
def test_whatever_happens_something_may_always_be_sent(outcomes: list[Outcome], most: int) -> None:
    pace = Pace(most)
    for now, outcome in enumerate(outcomes):
        pace.learn(outcome, now)
        assert 1 <= pace.limit <= most
        assert pace.may_start()


@given(st.lists(st.integers(0, 1_000), min_size=1, max_size=300))
def test_deliveries_are_put_off_into_the_future_but_never_far(steps: list[int]) -> None:
    pace, now = Pace(8), 1_000_000
    for step in steps:
        now += step
        at = pace.put_off(now)
        assert now + 250 <= at <= now + 15_250
