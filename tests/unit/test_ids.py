"""Ids: their shape, their order, and the smallest one of a moment."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.clock import now_ms
from novapulse.core.ids import Prefix, floor_id, is_id, new_id

PREFIXES: tuple[Prefix, ...] = get_args(Prefix)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_new_id_has_the_shape_of_its_kind_and_of_no_other(prefix: Prefix) -> None:
    id_ = new_id(prefix)
    assert [other for other in PREFIXES if is_id(id_, other)] == [prefix]


def test_ids_of_one_process_sort_in_the_order_of_their_making() -> None:
    made = [new_id("evt") for _ in range(10_000)]
    assert sorted(set(made)) == made


@given(st.text() | st.from_regex(r"evt_[0-9a-fA-F]{30,34}\s?", fullmatch=True))
def test_only_a_prefix_and_32_small_hex_digits_are_an_id(text: str) -> None:
    digits = text.removeprefix("evt_")
    right = text.startswith("evt_") and len(digits) == 32 and set(digits) <= set("0123456789abcdef")
    assert is_id(text, "evt") is right


@pytest.mark.parametrize("wrong", ["", "evt_", "EVT_" + "0" * 32, "evt_" + "0" * 32 + "\n", "evt_" + "٠" * 32])
def test_what_only_looks_like_an_id_is_none(wrong: str) -> None:
    assert not is_id(wrong, "evt")


def test_an_id_lies_between_the_floors_of_the_moments_around_it() -> None:
    before = now_ms()
    id_ = new_id("dlv")
    after = now_ms()
    assert floor_id("dlv", before) <= id_ < floor_id("dlv", after + 1)


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1))
def test_floors_sort_as_their_moments_do(one: int, other: int) -> None:
    assert (floor_id("evt", one) < floor_id("evt", other)) is (one < other)
    assert is_id(floor_id("evt", one), "evt")


def test_a_moment_before_1970_has_the_floor_of_the_first() -> None:
    assert floor_id("evt", -1) == floor_id("evt", 0) == "evt_" + "0" * 32
