"""What a workflow may say, and what a run does next: the pure part."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.errors import InvalidError
from novapulse.workflows.check import read_definition
from novapulse.workflows.expressions import ExpressionError, condition, evaluate, render
from novapulse.workflows.plan import OPEN, Plan, StepRow, StepState, reopen
from novapulse.workflows.source import read_source

NAMES = {
    "input": {"total": 120, "lines": [{"sku": "a"}, {"sku": "b"}], "items": "a member, no method", "none": None},
    "event": None,
    "run": {"id": "run_1"},
    "steps": {"first": {"output": {"ok": True}, "state": "completed", "error": None}},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("input.total > 100 and steps.first.output.ok", True),
        ("input.items", "a member, no method"),
        ("input.lines[1].sku + '!'", "b!"),
        ("len(input.lines) * 2 - 1", 3),
        ("get(input, 'lines.0.sku')", "a"),
        ("get(input, 'nothing.here', 'x')", "x"),
        ("'a' in ['a', 'b'] and not 'z' in 'abc'", True),
        ("input.none == null and true != false", True),
        ("[1, input.total]", [1, 120]),
        ("upper('x') if input.total else 'y'", "X"),
        ("join(split('a,b', ','), ' / ')", "a / b"),
        ("default(input.none, 5)", 5),
    ],
)
def test_expressions(text: str, value: Any) -> None:
    assert evaluate(text, NAMES) == value


@pytest.mark.parametrize(
    "text",
    [
        "9 ** 9 ** 9", "1 << 9999", "'a' * 10", "'%99999999d' % 1", "f'{1:999999}'", "[x for x in input.lines]",
        "input.__class__", "''.join(input.lines)", "(lambda: 1)()", "open('/etc/passwd')", "input.lines.append(1)",
        "input['__class__']", "steps", "1; 2", "x := 1", "input.missing", "1 / 0", "input.total + 'a'", "len(5)",
        "__import__('os')", "input.total.real", "-input.items", "unknown.x", "",
    ],
)  # fmt: skip
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, {name: value for name, value in NAMES.items() if name != "steps"})


@given(st.text(alphabet="input.total()[]'\"+-*/%<>=!,:{}0123456789 andorifelse_x", max_size=60))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        json.dumps(evaluate(text, NAMES), default=str)


@pytest.mark.parametrize(
    "text",
    [
        "round(1, -99999999)",
        "join(input.gaps, input.long)",
        "+".join(["input.gaps"] * 45),
        "text([" * 30 + "'a'" + "])" * 30,
        "upper(" * 3 + "[input.long, input.long, input.long]" + ")" * 3,
    ],
    ids=["digits", "join", "lists", "escapes", "texts"],
)
def test_an_expression_cannot_run_away(text: str) -> None:
    names = {"input": {"gaps": [""] * 3_000, "long": "x" * 30_000}}
    with pytest.raises(ExpressionError, match=r"more than|digits"):
        evaluate(text, names)


def test_a_value_that_is_filled_in_is_bounded_while_it_is_made() -> None:
    names = {"input": {"long": "x" * 60_000}}
    with pytest.raises(ExpressionError, match="more than"):
        render("{{ input.long }} " * 1_000, names)
    with pytest.raises(ExpressionError, match="more than"):
        render(["{{ input.long }}!"] * 1_000, names)
    with pytest.raises(ExpressionError, match="more than"):
        render({"deep": [["{{ input }}"]] * 1_000}, names)
    assert render(["{{ 1 }}"] * 1_000, names) == [1] * 1_000


def test_templates_keep_kinds_and_join_texts() -> None:
    value = {
        "n": "{{ input.total }}",
        "text": "Order of {{ input.total }} ({{ input.none }})",
        "list": ["{{ input.lines }}"],
    }
    assert render(value, NAMES) == {"n": 120, "text": "Order of 120 ()", "list": [NAMES["input"]["lines"]]}
    # What comes out of the data is data: it is not read once more.
    assert render("{{ input.x }}", {"input": {"x": "{{ input.y }}"}}) == "{{ input.y }}"
    assert condition("{{ input.total == 120 }}", NAMES) and condition("input.total == 120", NAMES)


def step(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "webhook_event", "event_type": "a.b"} | more


def workflow(*steps: Any, **more: Any) -> dict[str, Any]:
    return {"name": "Test", "steps": list(steps)} | more


@pytest.mark.parametrize(
    ("definition", "pointer", "words"),
    [
        (workflow(step("a", needs=["b"]), step("b", needs=["a"])), "/steps/0/needs", "a -> b -> a"),
        (workflow(step("a", needs=["a"])), "/steps/0/needs", "wait for each other"),
        (workflow(step("a", needs=["nobody"])), "/steps/0/needs/0", "no step 'nobody'"),
        (workflow(step("a"), step("a")), "/steps/1/id", "already, at /steps/0"),
        (workflow(step("A b")), "/steps/0/id", "pattern"),
        (workflow({"id": "a", "type": "sing"}), "/steps/0/type", "one of webhook_event"),
        (workflow({"id": "a"}), "/steps/0/type", "missing"),
        (workflow({"id": "a", "type": "http"}), "/steps/0/url", "required"),
        (
            workflow({"id": "a", "type": "http", "url": "https://example.com", "headers": {"Transfer-Encoding": "x"}}),
            "/steps/0/headers/Transfer-Encoding",
            "may not be sent",
        ),
        (workflow(step("a", tiemout_s=4)), "/steps/0/tiemout_s", "no such field"),
        (workflow(step("a", data={"x": ["{{ input.( }}"]})), "/steps/0/data/x/0", "cannot be read"),
        (workflow(step("a", data="{{ input.a")), "/steps/0/data", "not closed"),
        (workflow(step("a", data="{{ steps.b.output }}"), step("b")), "/steps/0/data", "not over for sure"),
        (workflow(step("a"), step("b", needs=[], data="{{ steps.a.output }}")), "/steps/1/data", "not over for sure"),
        (workflow(step("a", data="{{ steps.z.output }}")), "/steps/0/data", "no step 'z'"),
        (workflow(step("a", data="{{ item }}")), "/steps/0/data", "only inside of a loop"),
        (workflow(step("a", data="{{ secrets.x }}")), "/steps/0/data", "secrets are for"),
        (workflow(step("a", **{"if": "1 +"})), "/steps/0/if", "cannot be read"),
        (workflow({"id": "w", "type": "wait"}), "/steps/0", "seconds or until"),
        (workflow({"id": "w", "type": "wait", "seconds": -1}), "/steps/0/seconds", "from 0"),
        (workflow({"id": "c", "type": "condition", "if": "true", "then": [step("x", needs=["c"])]}),
         "/steps/0/then/0/needs/0", "in another list"),
        (workflow({"id": "p", "type": "parallel", "branches": [[step("x")]]}), "/steps/0/branches", "at least 2"),
        (workflow({"id": "h", "type": "http", "url": "https://x.example", "headers": {"Authorization": "Bearer abc"}}),
         "/steps/0/headers/Authorization", "store it as a secret"),
        (workflow({"id": "m", "type": "email", "to": "a@example.com"}), "/steps/0", "a subject"),
        (workflow({"id": "r", "type": "report", "kind": "poems"}), "/steps/0/kind", "should be"),
        (workflow(), "/steps", "at least 1"),
        (workflow(step("a"), triggers=[{"cron": "61 * * * *"}]), "/triggers/0/cron", "cannot be read"),
        (workflow(step("a"), triggers=[{"cron": "0 0 30 2 *"}]), "/triggers/0/cron", "Bad day-of-month"),
        (workflow(step("a"), triggers=[{"cron": "0 0 * * *", "timezone": "Mars/Base"}]),
         "/triggers/0/timezone", "time zone"),
        (workflow(step("a"), triggers=[{"event": "in voice"}]), "/triggers/0/event", "an event type is"),
        (workflow(step("a"), triggers=[{"evnt": "x"}]), "/triggers/0/event", "required"),
        (workflow(step("a"), triggers=[{"event": "a.b", "if": "steps.a.output"}]), "/triggers/0/if", "no 'steps' here"),
        ([], "", "an object"),
    ],
)  # fmt: skip
def test_a_definition_that_could_not_run_is_refused_at_its_place(definition: Any, pointer: str, words: str) -> None:
    with pytest.raises(InvalidError) as refused:
        read_definition(definition)
    found = {error.pointer: error.detail for error in refused.value.errors}
    assert pointer in found, found
    assert words in found[pointer]


def test_source_says_lines_and_reads_yaml_as_json_means_it() -> None:
    source = read_source(
        "name: Test\nsteps:\n  - id: a\n    type: wait\n    seconds: 1.5\n    on: yes\n    at: 2026-01-01\n"
    )
    assert source.value["steps"][0] == {"id": "a", "type": "wait", "seconds": 1.5, "on": "yes", "at": "2026-01-01"}
    assert source.line_of("/steps/0/seconds") == 5
    assert source.line_of("/steps/0/needs/3") == 3
    assert read_source('{"a": "\\ud83d\\ude00", "b": [1, null, true]}').value == {"a": "😀", "b": [1, None, True]}
    for text, words in (
        ("a: 1\na: 2", "line 2, column 1: 'a' is there twice"),
        ("a: &x [1]\nb: *x", "anchors"),
        ("a: !!python/object:os.system x", "tag"),
        ("a: [1,", "line 1"),
        ("", "empty"),
        ("a: 123456789012345678901234567890", "quotes"),
    ):
        with pytest.raises(InvalidError, match="/source") as refused:
            read_source(text)
        assert words in refused.value.errors[0].detail


# --- plans ---


def outcome(
    definition: Any, answers: Any, rows: dict[str, StepRow] | None = None, now: int = 1_000
) -> tuple[Any, list[str]]:
    """Carry a run out: `answers(key)` gives the output of an act, or an error. What was done, in order."""
    read = read_definition(definition)
    rows = {} if rows is None else rows
    done: list[str] = []
    for _ in range(500):
        plan = Plan(read, {"input": {"n": 3, "list": [1, 2, 3], "yes": True}, "event": None, "run": {}}, rows, now)
        result = plan.make()
        if result.over:
            assert not any(row.state in OPEN for row in rows.values())
            return result, done
        open_acts = [r for r in rows.values() if r.state == StepState.RUNNING and r.type == "webhook_event"]
        if not open_acts:
            now = min(row.wake_at or 0 for row in rows.values() if row.state == StepState.WAITING)
            continue
        row = open_acts[-1]
        done.append(row.key)
        answer = answers(row.key)
        if isinstance(answer, Exception):
            row.become(StepState.FAILED, error=str(answer))
        else:
            row.become(StepState.COMPLETED, output=answer)
    raise AssertionError("it does not end")


EVERYTHING = workflow(
    step("first"),
    {"id": "nap", "type": "wait", "seconds": 60},
    {"id": "check", "type": "condition", "if": "input.yes", "then": [step("yes")], "else": [step("no")]},
    {
        "id": "both",
        "type": "parallel",
        "branches": [[step("left"), step("left2")], [step("right", **{"if": "input.n > 5"})]],
    },
    {
        "id": "each",
        "type": "loop",
        "items": "input.list",
        "at_once": 2,
        "steps": [step("one", data="{{ item }}"), step("two", data="{{ steps.one.output.x + index }}")],
    },
    step("last", data={"all": "{{ steps.each.output.count }}", "check": "{{ steps.check.output.matched }}"}),
)


def test_a_run_does_everything_once_and_in_order() -> None:
    rows: dict[str, StepRow] = {}
    result, done = outcome(EVERYTHING, lambda key: {"x": 10}, rows)
    assert result.error is None
    bodies = [f"each/{n}/{body}" for n in range(3) for body in ("one", "two")]
    assert sorted(done) == sorted(["first", "check/yes", "both/left", "both/left2", "last", *bodies])
    assert done[0] == "first" and done[-1] == "last"
    assert rows["both/right"].state == StepState.SKIPPED and "check/no" not in rows
    assert rows["each/1/two"].input["data"] == 11
    assert rows["last"].input["data"] == {"all": 3, "check": True}


def test_a_failure_stops_what_waits_and_is_done_again_alone() -> None:
    definition = workflow(
        {
            "id": "both",
            "type": "parallel",
            "branches": [
                [{"id": "nap", "type": "wait", "seconds": 9_000}, step("after")],
                [step("bad"), step("never")],
            ],
        },
        step("end"),
    )
    rows: dict[str, StepRow] = {}
    result, done = outcome(definition, lambda key: ValueError("no"), rows)
    assert (result.error, result.step, done) == ("bad: no", "both/bad", ["both/bad"])
    assert {key: row.state.value for key, row in rows.items()} == {
        "both": "failed", "both/nap": "cancelled", "both/bad": "failed"
    }  # fmt: skip
    assert reopen(read_definition(definition), rows) == ["both/nap"]
    result, done = outcome(definition, lambda key: {}, rows)
    assert (result.error, done) == (None, ["both/bad", "both/never", "both/after", "end"])


def test_a_failure_stops_what_stands_before_it_for_good() -> None:
    nap = {"id": "nap", "type": "wait", "seconds": 1}
    branches = [[step("left")], [step("right"), {"id": "each", "type": "loop", "items": [1], "steps": [nap]}]]
    both = {"id": "both", "type": "parallel", "branches": branches}
    check = {"id": "check", "type": "condition", "if": "true", "then": [both, step("after")]}
    definition = workflow(check, step("beside", needs=[]))
    rows: dict[str, StepRow] = {}
    result, done = outcome(definition, lambda key: ValueError("x") if key == "beside" else {}, rows)
    assert result.step == "beside"
    assert "check/after" not in done
    reopen(read_definition(definition), rows)
    result, again = outcome(definition, lambda key: {}, rows)
    assert result.error is None
    assert sorted(again) == ["beside", "check/after"]


def test_loops_within_loops_come_to_an_end() -> None:
    nap = {"id": "nap", "type": "wait", "seconds": 0}
    inner = {"id": "inner", "type": "loop", "items": "input.list", "steps": [nap], "on_error": "continue"}
    definition = workflow({"id": "outer", "type": "loop", "items": "input.list", "steps": [inner]})
    rows: dict[str, StepRow] = {}
    names = {"input": {"list": [0] * 1_000}, "event": None, "run": {}}
    result = Plan(read_definition(definition), names, rows, 0).make()
    assert result.over
    assert "at most 20,000 steps" in (result.error or "")
    assert len(rows) <= 20_000
    assert not any(row.state in OPEN for row in rows.values())


def test_on_error_continue_goes_on() -> None:
    definition = workflow(
        step("a", on_error="continue"),
        {"id": "each", "type": "loop", "items": [1, 2], "on_error": "continue", "steps": [step("b")]},
        step("c", data="{{ steps.a.error }}", **{"if": "steps.each.state == 'failed'"}),
    )
    rows: dict[str, StepRow] = {}
    result, done = outcome(definition, lambda key: {} if key == "c" else ValueError("broken"), rows)
    assert (result.error, result.step, done) == (None, None, ["a", "each/0/b", "c"])
    assert rows["c"].input["data"] == "broken"


def test_an_expression_that_fails_names_its_step() -> None:
    result, done = outcome(workflow(step("a", data="{{ input.nothing }}")), lambda key: {})
    assert done == [] and result.step == "a"
    assert "a: 'input.nothing': there is no 'nothing' here; there is n, list, yes" in result.error


@st.composite
def _lists(draw: Any, ids: Any, depth: int = 0) -> list[Any]:
    steps: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        id_ = next(ids)
        kind = draw(st.sampled_from(["act", "act", "wait"] + (["condition", "parallel", "loop"] if depth < 3 else [])))
        made: dict[str, Any] = {"id": id_, "type": kind}
        if kind == "act":
            made = step(id_)
        elif kind == "wait":
            made["seconds"] = draw(st.integers(0, 100))
        elif kind == "condition":
            made |= {"if": draw(st.sampled_from(["true", "false"]))}
            made |= {"then": draw(_lists(ids, depth + 1)), "else": draw(_lists(ids, depth + 1))}
        elif kind == "parallel":
            made["branches"] = [draw(_lists(ids, depth + 1)) for _ in range(2)]
        else:
            made |= {"items": [1] * draw(st.integers(0, 3)), "at_once": draw(st.integers(1, 3))}
            made["steps"] = draw(_lists(ids, depth + 1))
        if steps and draw(st.booleans()):
            made["needs"] = draw(st.lists(st.sampled_from([s["id"] for s in steps]), unique=True))
        made["on_error"] = draw(st.sampled_from(["fail", "continue"]))
        steps.append(made)
    return steps


@given(st.data())
def test_every_run_ends_and_does_nothing_twice(data: Any) -> None:
    ids = (f"s{n}" for n in range(10_000))
    definition = workflow(*data.draw(_lists(ids)))
    try:
        read_definition(definition)
    except InvalidError as error:  # only too many steps may be wrong with these
        assert "at most" in error.detail
        return
    fails = data.draw(st.sets(st.integers(0, 30)))
    count = iter(range(10_000))
    rows: dict[str, StepRow] = {}
    result, done = outcome(definition, lambda key: ValueError("x") if next(count) in fails else {}, rows)
    assert len(done) == len(set(done))
    # What failed is done again, what was done is not, and then it ends well.
    if result.error is not None:
        before = {key for key, row in rows.items() if row.state == StepState.COMPLETED and row.type == "webhook_event"}
        reopen(read_definition(definition), rows)
        result, again = outcome(definition, lambda key: {}, rows)
        assert result.error is None
        assert not before & set(again)
