"""Recovery codes: how they look, how they may be typed, and that only their hashes are needed to know them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.security import recovery


def test_a_set_is_ten_codes_of_eighty_bits_without_letters_that_are_mistaken() -> None:
    codes = recovery.new_codes()
    assert len(set(codes)) == 10
    for code in codes:
        assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){3}", code), code
    seen = set("".join("".join(recovery.new_codes()) for _ in range(50)))
    assert len(seen - {"-"}) == 32, "16 characters of 32: 80 bits"


@pytest.mark.parametrize(
    "typed",
    [
        "abcd-efgh-jkmn-pqrs",
        "ABCD-EFGH-JKMN-PQRS",
        "abcdefghjkmnpqrs",
        " abcd efgh\tjkmn\npqrs ",
        "ab-cd-ef-gh-jk-mn-pq-rs",
        "abcd–efgh—jkmn−pqrs",
        "Abcd\u2011Efgh\u00a0Jkmn Pqrs",
    ],
)
def test_case_spaces_and_dashes_make_no_difference(typed: str) -> None:
    assert recovery.clean_code(typed) == "abcdefghjkmnpqrs"


def test_letters_that_no_code_has_are_read_as_what_they_look_like() -> None:
    assert recovery.clean_code("OoIi-Ll00-1111-2222") == "0011110011112222"


@pytest.mark.parametrize(
    "typed", ["", "abcd-efgh-jkmn-pqr", "abcd-efgh-jkmn-pqrst", "abcd-efgh-jkmn-pqru", "123456", "é" * 16, "\0" * 16]
)
def test_what_cannot_be_a_code_is_none(typed: str) -> None:
    assert recovery.clean_code(typed) is None


@given(st.text(max_size=400))
def test_nothing_that_is_typed_makes_it_fail(typed: str) -> None:
    cleaned = recovery.clean_code(typed)
    assert cleaned is None or recovery.clean_code(cleaned) == cleaned


def test_each_code_matches_its_own_hash_whatever_the_order() -> None:
    codes = recovery.new_codes()
    hashes = recovery.hash_codes(codes)
    assert all(each.startswith("$argon2id$") for each in hashes)
    assert len(set(hashes)) == 10, "salted"
    for index in (9, 0, 5):
        assert recovery.matching(hashes, codes[index].replace("-", "")) == index
    assert recovery.matching(hashes, recovery.new_codes()[0].replace("-", "")) is None
    assert recovery.matching([], codes[0].replace("-", "")) is None
    assert recovery.matching(["not a hash", hashes[3]], codes[3].replace("-", "")) == 1
