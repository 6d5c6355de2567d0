"""Which event types a pattern takes, and that many patterns at once say the same as each alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.webhooks.matching import TYPE_MAX, Matcher, check_event_type, check_pattern, matches

segments = st.sampled_from(["a", "b", "invoice", "paid", "in-voice", "in_voice"])
event_types = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.one_of(st.just("*"), event_types, event_types.map(lambda name: name + ".*"))


@pytest.mark.parametrize(
    ("pattern", "event_type", "taken"),
    [
        ("*", "invoice.paid", True),
        ("invoice.paid", "invoice.paid", True),
        ("invoice.paid", "invoice.paid.late", False),
        ("invoice.paid", "invoice", False),
        ("invoice.paid", "Invoice.paid", False),
        ("invoice.*", "invoice.paid", True),
        ("invoice.*", "invoice.paid.late", True),
        ("invoice.*", "invoice", False),
        ("invoice.*", "invoices.paid", False),
        ("invoice.paid.*", "invoice.paid", False),
    ],
)
def test_a_pattern_takes_its_type_or_all_below_it(pattern: str, event_type: str, taken: bool) -> None:
    assert matches(pattern, event_type) is taken
    assert Matcher({"wh": [pattern]}).match(event_type) == (["wh"] if taken else [])


@given(st.dictionaries(st.uuids().map(str), st.lists(patterns, max_size=5), max_size=8), event_types)
def test_many_patterns_at_once_find_what_each_alone_would(by_id: dict[str, list[str]], event_type: str) -> None:
    found = Matcher(by_id).match(event_type)
    assert sorted(found) == sorted(id_ for id_, own in by_id.items() if any(matches(p, event_type) for p in own))


def test_a_webhook_with_several_fitting_patterns_is_found_once() -> None:
    assert Matcher({"wh": ["*", "a.*", "a.b", "a.b"]}).match("a.b") == ["wh"]


@given(patterns)
def test_what_is_a_pattern_is_accepted(pattern: str) -> None:
    check_pattern(pattern)


@given(event_types)
def test_what_is_a_type_is_accepted(event_type: str) -> None:
    check_event_type(event_type)


NOT_TYPES = ["", ".", "a.", ".a", "a..b", "a b", "a\n", "\na", "a\0", "é", "a/b", "a*", "a.b.", "١", "a\ud800"]


@pytest.mark.parametrize("name", [*NOT_TYPES, "*", "a.*"])
def test_what_is_no_type_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"invoice\.paid"):
        check_event_type(name)


@pytest.mark.parametrize("pattern", [*NOT_TYPES, "**", "*.a", "*.*", ".*", "a.*.b", "a.*.*", "a*.b", "a.b*"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="a pattern is a type"):
        check_pattern(pattern)


def test_the_longest_type_is_taken_and_one_character_more_is_not() -> None:
    check_event_type("a" * TYPE_MAX)
    check_pattern("a" * TYPE_MAX + ".*")
    for check in (check_event_type, check_pattern):
        with pytest.raises(ValueError, match="at most 128 characters"):
            check("a" * (TYPE_MAX + 1))
