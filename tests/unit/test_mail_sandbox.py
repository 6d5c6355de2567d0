"""The language of templates: what it says, and that nothing written in it runs away with the process."""

from __future__ import annotations

from typing import Any

import pytest

from novapulse.core.errors import InvalidError
from novapulse.mail.sandbox import STEPS_MAX, Part


def made(source: str, name: str = "html", **values: Any) -> str:
    return Part(name, source).fill(values)


def refused(source: str, **values: Any) -> tuple[str, str]:
    with pytest.raises(InvalidError) as caught:
        made(source, **values)
    (error,) = caught.value.errors
    return error.pointer, error.detail


def test_values_filters_conditions_and_loops_say_what_they_mean() -> None:
    source = (
        "{% for item in order.items if item.n > 0 %}{{ loop.index }}. {{ item.what | title }} x{{ item.n * 2 }}"
        "{% if not loop.last %}, {% endif %}{% else %}nothing{% endfor %} {{ note | default('-') }}"
    )
    items = [{"what": "desk lamp", "n": 1}, {"what": "void", "n": 0}, {"what": "bulb", "n": 3}]
    assert made(source, order={"items": items}) == "1. Desk Lamp x2, 2. Bulb x6 -"
    assert made(source, order={"items": []}, note="ok") == "nothing ok"
    assert Part("text", source).variables == {"order", "note"}


def test_html_is_escaped_and_text_is_not() -> None:
    assert made("{{ a }}{{ [a, a] | join('<') }}", a="<b>") == "&lt;b&gt;&lt;b&gt;&lt;&lt;b&gt;"
    assert made("{{ a }}{{ [a, a] | join('<') }}", "text", a="<b>") == "<b><b><<b>"
    assert made("{{ a | replace('x', '<') }}", a="x&") == "&lt;&amp;"


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\n{{ b", 2, "expected"),
        ("a\n\n{{ b | frobnicate }}", 3, "no filter 'frobnicate'"),
        ("{{ a.upper() }}", 1, "calls are not allowed"),
        ("\n{% include 'x' %}", 2, "include"),
        ("{% extends 'x' %}", 1, "extend"),
        ("{% import 'x' as x %}", 1, "import"),
        ("{% macro m() %}{% endmacro %}", 1, "macro"),
        ("{% set a = b ~ b %}", 1, "assign"),
        ("{% set a %}x{% endset %}", 1, "assignblock"),
        ("{{ 9 ** 9 ** 9 }}", 1, "**"),
        ("{{ a | center(1000000000) }}", 1, "no filter 'center'"),
        ("{{ a | attr('x') }}", 1, "no filter 'attr'"),
        ("{{ a | safe }}", 1, "no filter 'safe'"),
        ("{% for a in b recursive %}{% endfor %}", 1, "recursive"),
        ("{{ __steps }}", 1, "__"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", None, "too deeply"),
        ("{{ " + " + ".join(["a"] * 300) + " }}", None, "too deeply"),
    ],
)
def test_what_may_not_be_said_is_refused_at_its_line(source: str, line: int | None, words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        Part("html", source)
    (error,) = caught.value.errors
    assert error.pointer == "/html"
    assert words in error.detail
    assert line is None or error.detail.startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("source", "values", "words"),
    [
        ("{{ 'x' * 1000000000 }}", {}, "for numbers"),
        ("{{ '%1000000000d' % 1 }}", {}, "for numbers"),
        ("{% for a in n %}{% for b in n %}{% endfor %}{% endfor %}", {"n": [0] * 1000}, f"{STEPS_MAX:,} times"),
        ("{% for a in n %}{{ t }}{% endfor %}", {"n": [0] * 10_000, "t": "x" * 1000}, "makes more than"),
        ("{{ t | replace('x', t) }}", {"t": "x" * 10_000}, "makes more than"),
        ("{{ n | join(t) }}", {"n": [0] * 10_000, "t": "x" * 1000}, "makes more than"),
        ("{{ 1 | round(99999999, 'ceil') }}", {}, "digits"),
        ("{{ n[0] | round(-99999999) }}", {"n": [1]}, "digits"),
        ("{{ t | " + "list | string | " * 12 + "upper }}", {"t": "x" * 10}, "makes more than"),
        ("{{ " + "[" * 24 + "t" + "] | string" * 24 + " }}", {"t": "\\"}, "makes more than"),
        ("{{ " + " ~ ".join(["t"] * 2_000) + " }}", {"t": "x" * 10_000}, "makes more than"),
        ("{{ " + " + ".join(["t"] * 150) + " }}", {"t": "x" * 10_000}, "makes more than"),
        ("{{ [" + "t, " * 2_000 + "] }}", {"t": "x" * 10_000}, "makes more than"),
        ("{{ [" + "t, " * 2_000 + "] | join }}", {"t": "x" * 10_000}, "makes more than"),
        ("{{ t | map('replace', 'x', u) | list | length }}", {"t": "x" * 9_000, "u": "y" * 9_000}, "makes more"),
        ("{% for a in n %}{{ (t | upper | lower)[:1] }}{% endfor %}", {"n": [0] * 9_000, "t": "x" * 90_000}, "work"),
        ("{{ " + " * ".join(["n"] * 60) + " }}", {"n": 2**62}, "too large"),
        ("{{ t | wordwrap(10, wrapstring=t) }}", {"t": "x"}, "wrapstring"),
        ("a\n{{ 1 / n }}", {"n": 0}, "line 2: division by zero"),
        # What each take milliseconds: seconds in all, within the limits of work and rounds.
        (
            "{% for a in n %}{% if 'x' in b %}{% endif %}{% endfor %}",
            {"n": [0] * 19_000, "b": ["y"] * 60_000},
            "message needs",
        ),
        ("{% if 'x' in b %}{% endif %}" * 2_000, {"b": ["y"] * 60_000}, "message needs"),
        ("{{ b | select('in', b) | list | length }}", {"b": [str(n) for n in range(40_000)]}, "message needs"),
        (
            "{% for a in n %}{{ b | sort | first }}{% endfor %}",
            {"n": [0] * 99, "b": [str(n) for n in range(70_000)]},
            "message needs",
        ),
    ],
)
def test_what_runs_away_is_stopped(source: str, values: dict[str, Any], words: str) -> None:
    pointer, detail = refused(source, **values)
    assert pointer == "/html"
    assert words in detail


@pytest.mark.parametrize(
    "source",
    ["{{ a.__class__ }}", "{{ a['__class__'] }}", "{{ ''.__class__.__mro__ }}", "{{ a.upper }}", "{{ loop.cycle }}"],
)
def test_python_itself_is_out_of_reach(source: str) -> None:
    pointer, detail = refused(source, a="x")
    assert pointer == "/context"
    assert "undefined" in detail or "no attribute" in detail
    assert "<" not in made("{{ a | map(attribute='__class__') | list }}", "text", a=["x"])


def test_a_value_that_is_missing_is_named_with_its_line() -> None:
    assert refused("a\nb {{ order.number }}", order={}) == (
        "/context",
        "html, line 2: 'dict object' has no attribute 'number'",
    )
    assert refused("{{ a.b.c }}", a={}) == ("/context", "html, line 1: 'dict object' has no attribute 'b'")
