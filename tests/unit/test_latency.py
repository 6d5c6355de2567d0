"""Percentiles from logarithmic buckets: never below the exact one, and above it by less than a tenth."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.webhooks.latency import BUCKET_MAX, bucket_of, percentile, upper_bound_ms

durations = st.floats(0, 1_000_000)
counted = st.lists(durations, min_size=1, max_size=200)
shares = st.floats(0.01, 1)


def buckets_of(values: list[float]) -> dict[str, int]:
    return dict(Counter(str(bucket_of(value)) for value in values))


def exact(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


@given(counted, shares)
def test_a_percentile_is_at_most_nine_percent_above_the_exact_one(values: list[float], share: float) -> None:
    found = percentile(buckets_of(values), share)
    assert found is not None
    wanted = max(exact(values, share), 1.0)  # the first bucket takes everything up to 1 ms
    assert wanted - 0.06 <= found <= wanted * 2 ** (1 / 8) + 0.06  # rounded to a tenth


@given(durations)
def test_a_duration_lies_within_its_bucket(ms: float) -> None:
    bucket = bucket_of(ms)
    assert ms <= upper_bound_ms(bucket) * (1 + 1e-12)
    assert bucket == 0 or ms > upper_bound_ms(bucket - 1) * (1 - 1e-12)


@given(durations, durations)
def test_a_longer_duration_is_never_in_a_lower_bucket(one: float, other: float) -> None:
    assert (bucket_of(one) <= bucket_of(other)) or one > other


@given(counted, shares, shares)
def test_a_larger_share_never_has_a_smaller_percentile(values: list[float], one: float, other: float) -> None:
    low, high = (percentile(buckets_of(values), share) for share in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert low <= high


@given(counted, counted, shares)
def test_the_buckets_of_two_spans_add_up_to_those_of_both(one: list[float], other: list[float], share: float) -> None:
    summed = dict(Counter(buckets_of(one)) + Counter(buckets_of(other)))
    assert percentile(summed, share) == percentile(buckets_of(one + other), share)


@pytest.mark.parametrize("buckets", [{}, {"5": 0}])
def test_nothing_counted_has_no_percentile(buckets: dict[str, int]) -> None:
    assert percentile(buckets, 0.95) is None


def test_buckets_are_ordered_as_numbers_not_as_text() -> None:
    assert percentile({"10": 1, "9": 1}, 0.5) == round(upper_bound_ms(9), 1)


def test_endless_durations_share_the_last_bucket() -> None:
    assert bucket_of(1e30) == bucket_of(2e9) == BUCKET_MAX


def test_a_clock_that_ran_backwards_counts_as_nothing() -> None:
    assert bucket_of(-5) == 0
