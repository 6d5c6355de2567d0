"""What a run does next: from the definition and the steps as they are recorded. Pure: the same rows, the same plan.

Each step of a run has a key, the way to it: `mail`, `check/mail`, `each/3/mail`. Whoever carries a plan out records it
in one transaction, with the jobs of the steps that it begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from novapulse.core import exact
from novapulse.core.clock import parse_rfc3339
from novapulse.workflows import expressions
from novapulse.workflows.definition import (
    ACT_TYPES,
    ITEMS_MAX,
    WAIT_MAX_S,
    ConditionStep,
    Definition,
    LoopStep,
    ParallelStep,
    Step,
    WaitStep,
    all_steps,
    needs_of,
)
from novapulse.workflows.expressions import ExpressionError

INPUT_MAX = 128 * 1024  # of a step, as JSON
OUTPUT_MAX = 64 * 1024
RUN_STEPS_MAX = 20_000  # of a run, each time that a loop does one counted
_BEGUN_MAX = 16 * 1024 * 1024  # of what the steps are given that begin at one look, as JSON
MASKED = "***"
_ACT_FIELDS = {"id", "name", "type", "needs", "on_error", "if_", "retries", "backoff_s", "timeout_s"}


class _RunawayError(Exception):
    """A run that becomes more than anybody meant; says why."""


class StepState(StrEnum):
    RUNNING = "running"  # its job is there, or steps inside of it are not over
    WAITING = "waiting"  # for a time
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"  # its `if` was false
    CANCELLED = "cancelled"


OPEN = (StepState.RUNNING, StepState.WAITING)
ACTS = ("webhook_event", "email", "report", "http")
CONTAINERS = ("condition", "parallel", "loop")


@dataclass(slots=True)
class StepRow:
    """One step of a run."""

    key: str
    step_id: str
    type: str
    state: StepState
    input: Any = None
    output: Any = None
    error: str | None = None
    wake_at: int | None = None
    job_id: str | None = None
    new: bool = False
    changed: bool = False

    def become(self, state: StepState, *, output: Any = None, error: str | None = None) -> None:
        """Change, and be written."""
        self.state, self.changed = state, True
        if output is not None:
            self.output = output
        if error is not None:
            self.error = error[:2_000]


@dataclass(slots=True)
class _Part:
    """How a list of steps stands."""

    open: bool = False
    error: str | None = None
    failed: str | None = None  # the key of the step that failed first
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Outcome:
    """How the run stands after its plan."""

    over: bool
    error: str | None
    step: str | None = None  # the key of the one that failed


class Plan:
    """One look at a run: changes and adds to `rows`."""

    def __init__(self, definition: Definition, names: Mapping[str, Any], rows: dict[str, StepRow], now: int) -> None:
        """`names`: input, event and run, for expressions."""
        self.rows = rows
        self.begun: list[tuple[StepRow, Step]] = []  # acts and waits that need a job
        self._definition = definition
        self._names = names
        self._now = now
        self._begun_size = 0

    def make(self) -> Outcome:
        """Go as far as one can without doing anything."""
        try:
            part = self._list(self._definition.steps, "", dict(self._names), {}, False)
        except _RunawayError as error:
            return self._stop(str(error))
        return Outcome(not part.open, part.error, self._culprit(part.failed))

    def _stop(self, why: str) -> Outcome:
        """End the run here and now: whatever its steps say of errors, it would go on for ever."""
        for row in self.rows.values():
            if row.state in OPEN:
                row.become(StepState.CANCELLED, error=why)
        return Outcome(True, why)

    def _list(
        self, steps: Sequence[Step], prefix: str, names: dict[str, Any], seen: dict[str, Any], stopping: bool
    ) -> _Part:
        part = _Part()
        over: dict[str, Any] = {}
        # A failure that is known already stops what stands before it in the list as well.
        stopping = stopping or any(self._has_failed(step, prefix) for step in steps)
        for number in _in_order(steps):
            step = steps[number]
            key = prefix + step.id
            visible = names | {"steps": seen | over}
            row = self.rows.get(key)
            if row is None:
                ready = all(name in over for name in needs_of(list(steps), number))
                if stopping or part.error is not None or not ready:
                    continue
                row = self._begin(step, key, visible)
            self._go_on(step, row, visible, stopping or part.error is not None)
            self._judge(step, row, part, over)
        if part.error is not None and part.open and not stopping:
            # What was looked at before the failure was found may wait for days: it is stopped as well.
            return self._list(steps, prefix, names, seen, True) if self._stop_needed(steps, prefix) else part
        return part

    def _judge(self, step: Step, row: StepRow, part: _Part, over: dict[str, Any]) -> None:
        if row.state in OPEN:
            part.open = True
        elif row.state == StepState.FAILED and step.on_error == "fail":
            if part.error is None:
                inside = row.type in CONTAINERS and row.input is not None
                part.error = row.error or "failed" if inside else f"{step.label}: {row.error}"
                part.failed = row.key
        elif row.state != StepState.CANCELLED or step.on_error == "continue":
            over[step.id] = {"output": row.output, "state": row.state.value, "error": row.error}
            if row.output is not None:
                part.outputs[step.id] = row.output

    def _has_failed(self, step: Step, prefix: str) -> bool:
        row = self.rows.get(prefix + step.id)
        return row is not None and row.state == StepState.FAILED and step.on_error == "fail"

    def _culprit(self, key: str | None) -> str | None:
        """The step that failed inside of the one that failed with it."""
        while key is not None:
            failed = (row.key for row in self.rows.values() if row.state == StepState.FAILED)
            inner = min((found for found in failed if found.startswith(f"{key}/")), key=len, default=None)
            if inner is None:
                break
            key = inner
        return key

    def _stop_needed(self, steps: Sequence[Step], prefix: str) -> bool:
        found = (self.rows.get(prefix + step.id) for step in steps)
        return any(row is not None and row.state in OPEN and not _is_act(row) for row in found)

    def _begin(self, step: Step, key: str, names: dict[str, Any]) -> StepRow:
        if len(self.rows) >= RUN_STEPS_MAX:
            raise _RunawayError(f"a run has at most {RUN_STEPS_MAX:,} steps, each round of a loop counted")
        row = self.rows[key] = StepRow(key, step.id, step.type, StepState.RUNNING, new=True)
        try:
            asked = None if isinstance(step, ConditionStep) else step.if_
            if asked is not None and not expressions.condition(asked, names):
                row.become(StepState.SKIPPED)
                return row
            row.input = self._input(step, names)
            size = len(exact.dumps(row.input))
            self._begun_size += size
            if self._begun_size > _BEGUN_MAX:
                raise _RunawayError(f"steps that begin together are given more than {_BEGUN_MAX // 1024 // 1024} MiB")
            if size > INPUT_MAX:
                raise ExpressionError(f"what it is given is larger than {INPUT_MAX // 1024} KiB")
        except ExpressionError as error:
            row.become(StepState.FAILED, error=str(error))
            return row
        if isinstance(step, WaitStep):
            row.wake_at = int(row.input["until_ms"])
            row.state = StepState.WAITING
            if row.wake_at > self._now:
                self.begun.append((row, step))
        elif isinstance(step, ACT_TYPES):
            self.begun.append((row, step))
        return row

    def _input(self, step: Step, names: dict[str, Any]) -> Any:
        if isinstance(step, ConditionStep):
            return {"matched": expressions.condition(step.if_, names)}
        if isinstance(step, ParallelStep):
            return {}
        if isinstance(step, LoopStep):
            return {"items": _items(step, names)}
        if isinstance(step, WaitStep):
            return {"until_ms": _wake_at(step, names, self._now)}
        return act_input(step, names | {"secrets": _Masked()})

    def _go_on(self, step: Step, row: StepRow, names: dict[str, Any], stopping: bool) -> None:
        if row.state == StepState.WAITING:
            if row.wake_at is not None and row.wake_at <= self._now:
                row.become(StepState.COMPLETED, output={"waited": True})
            elif stopping:
                row.become(StepState.CANCELLED, error="another step failed")
        elif row.state == StepState.RUNNING and not isinstance(step, ACT_TYPES):
            self._inside(step, row, names, stopping)

    def _inside(self, step: Step, row: StepRow, names: dict[str, Any], stopping: bool) -> None:
        parts = list(self._parts(step, row, names, stopping))
        error = next((part.error for part in parts if part.error is not None), None)
        if error is not None and not stopping:
            parts = list(self._parts(step, row, names, True))
        if any(part.open for part in parts):
            return
        if error is not None:
            row.become(StepState.FAILED, error=error)
        elif stopping:
            row.become(StepState.CANCELLED, error="another step failed")
        else:
            row.become(StepState.COMPLETED, output=_output(step, row, parts))

    def _parts(self, step: Step, row: StepRow, names: dict[str, Any], stopping: bool) -> Iterator[_Part]:
        seen: dict[str, Any] = names["steps"]
        if isinstance(step, ConditionStep):
            chosen = step.then if row.input["matched"] else step.else_
            yield self._list(chosen, f"{row.key}/", names, seen, stopping)
        elif isinstance(step, ParallelStep):
            for branch in step.branches:
                yield self._list(branch, f"{row.key}/", names, seen, stopping)
        elif isinstance(step, LoopStep):
            running = 0
            for index, item in enumerate(row.input["items"]):
                if running >= step.at_once:
                    yield _Part(open=True)
                    return
                prefix = f"{row.key}/{index}/"
                if stopping and not any(prefix + inner.id in self.rows for inner in step.steps):
                    return
                part = self._list(step.steps, prefix, names | {"item": item, "index": index}, seen, stopping)
                running += part.open
                stopping = stopping or part.error is not None
                yield part


def reopen(definition: Definition, rows: dict[str, StepRow]) -> list[str]:
    """Have what failed be done again: changes `rows`; the keys of those that are to be forgotten."""
    patient = {step.id for _, step in all_steps(definition.steps) if step.on_error == "continue"}
    forgiven = [f"{row.key}/" for row in rows.values() if row.state == StepState.FAILED and row.step_id in patient]
    forgotten: list[str] = []
    for row in list(rows.values()):
        if row.state not in (StepState.FAILED, StepState.CANCELLED) or any(row.key.startswith(p) for p in forgiven):
            continue
        if row.state == StepState.FAILED and row.step_id in patient:
            continue
        if row.input is None or row.type == "wait":
            forgotten.append(row.key)
            del rows[row.key]
        else:
            row.state, row.error, row.changed = StepState.RUNNING, None, True
    return forgotten


class _Masked(dict[str, str]):
    """In place of secrets, which are known only to who sends them."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> str:
        return MASKED


def act_input(step: Step, names: Mapping[str, Any]) -> dict[str, Any]:
    """What an act is given: its fields, rendered.

    Raises:
        ExpressionError: with what is wrong.
    """
    fields = step.model_dump(by_alias=True, exclude=_ACT_FIELDS, exclude_none=True)
    return {name: expressions.render(value, names) for name, value in fields.items()}


def _is_act(row: StepRow) -> bool:
    return row.type in ACTS


def _in_order(steps: Sequence[Step]) -> Iterator[int]:
    """Each step after those that it needs. The definition has no circles."""
    done: set[str] = set()
    left = list(range(len(steps)))
    while left:
        for number in list(left):
            if all(name in done for name in needs_of(list(steps), number)):
                left.remove(number)
                done.add(steps[number].id)
                yield number


def _items(step: LoopStep, names: Mapping[str, Any]) -> list[Any]:
    items = step.items
    if isinstance(items, str):
        items = expressions.evaluate(expressions.bare(items), names)
    else:
        items = expressions.render(items, names)
    if not isinstance(items, list):
        raise ExpressionError("what it goes through is not a list")
    if len(items) > ITEMS_MAX:
        raise ExpressionError(f"a loop goes through at most {ITEMS_MAX} items, not {len(items)}")
    return items


def _wake_at(step: WaitStep, names: Mapping[str, Any], now: int) -> int:
    given = expressions.render(step.seconds if step.until is None else step.until, names)
    if step.until is not None:
        try:
            at = parse_rfc3339(str(given))
        except (ValueError, OverflowError):
            raise ExpressionError(f"'{str(given)[:60]}' is no time such as 2026-11-23T12:00:00Z") from None
        if at - now > WAIT_MAX_S * 1000:
            raise ExpressionError("a wait is at most a year long")
        return at
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            raise ExpressionError(f"'{given[:60]}' is no number of seconds") from None
    if not isinstance(given, (int, float)) or isinstance(given, bool) or not 0 <= given <= WAIT_MAX_S:
        raise ExpressionError("a wait takes a number of seconds, up to a year")
    return now + round(given * 1000)


def _output(step: Step, row: StepRow, parts: Sequence[_Part]) -> dict[str, Any]:
    if isinstance(step, LoopStep):
        whole: dict[str, Any] = {"count": len(parts), "results": [part.outputs for part in parts]}
        return whole if _fits(whole) else {"count": len(parts)}
    found: dict[str, Any] = {"matched": row.input["matched"]} if isinstance(step, ConditionStep) else {}
    for part in parts:
        found |= part.outputs
    return found if _fits(found) else {name: found[name] for name in ("matched",) if name in found}


def _fits(value: Any) -> bool:
    return len(exact.dumps(value)) <= OUTPUT_MAX
