"""Rates: how they are written, that a burst is exact, and what is told of them (the draft's fields, RFC 9651)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.security.limits import source_of
from novapulse.security.rates import Limit, LocalLimiter, Rate, Standing, Verdict, parse_rates

NOW_US = 1_800_000_000_000_000


def limit(rate: str, name: str = "api", *, told: bool = True) -> Limit:
    return Limit(name, f"{name}:{rate}", parse_rates(rate)[0], told)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("600/60s", (Rate(600, 60),)),
        ("5/s", (Rate(5, 1),)),
        ("60/1m 600/h", (Rate(60, 60), Rate(600, 3600))),
        ("1/7d, 1000000/s", (Rate(1, 604_800), Rate(1_000_000, 1))),
        ("off", ()),
    ],
)
def test_a_rate_is_written_as_people_say_it(text: str, rates: tuple[Rate, ...]) -> None:
    assert parse_rates(text) == rates


@pytest.mark.parametrize(
    "text",
    ["", " ", "600", "600/60", "0/1s", "1/0s", "-1/1s", "1/8d", "2000000/s", "on", "1/s x", "1/60s 2/1m"],
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|keep"):
        parse_rates(text)


@given(st.integers(1, 2000), st.integers(1, 86_400))
def test_a_burst_passes_exactly_what_the_rate_says_with_a_clock_that_stands_still(amount: int, window_s: int) -> None:
    held, one = LocalLimiter(), Limit("x", "x", Rate(amount, window_s))
    assert sum(held.take([one], 1, NOW_US).allowed for _ in range(amount + 5)) == amount


@given(st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 12)), min_size=1, max_size=80))
def test_in_no_window_more_passes_than_a_burst_and_what_comes_back(calls: list[tuple[int, int]]) -> None:
    held, one, now, passed = LocalLimiter(), limit("10/5s"), NOW_US, list[tuple[int, int]]()
    for later, cost in calls:
        now += later
        cost = min(cost, 10)
        if held.take([one], cost, now).allowed:
            passed.append((now, cost))
    for i, (begin, _) in enumerate(passed):
        for j in range(i, len(passed)):
            within = sum(cost for _, cost in passed[i : j + 1])
            assert within <= 10 + (passed[j][0] - begin) // one.rate.step_us + 1


def test_waiting_as_long_as_one_is_told_is_enough_and_less_is_not() -> None:
    held, one = LocalLimiter(), limit("3/10s")
    for _ in range(3):
        assert held.take([one], 1, NOW_US).allowed
    refused = held.take([one], 1, NOW_US)
    wait = refused.standings[0].wait_us
    assert not refused.allowed
    assert not held.take([one], 1, NOW_US + wait - 1).allowed
    assert held.take([one], 1, NOW_US + wait).allowed


def test_what_one_limit_refuses_costs_nothing_of_the_others() -> None:
    held, small, large = LocalLimiter(), limit("1/60s", "small"), limit("10/60s", "large")
    held.take([small, large], 1, NOW_US)
    assert not held.take([small, large], 1, NOW_US).allowed
    assert held.take([large], 9, NOW_US).allowed


def test_what_costs_more_than_a_window_is_taken_when_nothing_is_owed_and_paid_off() -> None:
    held, one = LocalLimiter(), limit("10/10s")
    assert held.take([one], 25, NOW_US).allowed
    assert not held.take([one], 1, NOW_US + 15_000_000).allowed
    assert held.take([one], 1, NOW_US + 16_000_000).allowed
    assert not held.take([one], 25, NOW_US + 25_000_000).allowed
    assert held.take([one], 25, NOW_US + 26_000_000).allowed


def test_no_more_is_remembered_than_allowed_and_the_latest_stays() -> None:
    held = LocalLimiter(most=3)
    limits = [Limit("x", str(n), Rate(1, 60)) for n in range(5)]
    for each in limits:
        assert held.take([each], 1, NOW_US).allowed
    assert not held.take([limits[4]], 1, NOW_US).allowed
    assert held.take([limits[0]], 1, NOW_US).allowed


def test_the_fields_tell_of_each_limit_but_not_of_one_shared_with_others() -> None:
    standings = (
        Standing(limit("600/60s"), 599, 100_000),
        Standing(limit("9/1h", "all", told=False), 3, 1),
    )
    assert Verdict(standings).fields() == [
        (b"ratelimit-policy", b'"api";q=600;w=60'),
        (b"ratelimit", b'"api";r=599;t=1'),
    ]
    assert Verdict(standings[1:]).fields() == []


def test_of_a_refusal_the_field_and_retry_after_say_the_same() -> None:
    refused = Verdict((Standing(limit("2/60s"), 0, 60_000_000, 29_000_001), Standing(limit("9/9s", "b"), 4, 5_000_000)))
    assert not refused.allowed
    assert refused.retry_after_s == 30
    assert refused.violated == ["api"]
    assert refused.fields()[1] == (b"ratelimit", b'"api";r=0;t=30, "b";r=4;t=5')


@pytest.mark.parametrize(
    ("ip", "source"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("", "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_one_source_is_an_address_or_a_64_of_ipv6(ip: str, source: str) -> None:
    assert source_of(ip) == source
