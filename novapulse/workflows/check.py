"""Reading a definition, and refusing it where it could not run: with the exact place. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from novapulse.core.errors import FieldError, InvalidError
from novapulse.webhooks.schemas import is_credential
from novapulse.workflows import expressions
from novapulse.workflows.cron import check_cron
from novapulse.workflows.definition import (
    CONTAINER_TYPES,
    STEP_TYPES,
    STEPS_MAX,
    CronTrigger,
    Definition,
    EventTrigger,
    HttpStep,
    LoopStep,
    Step,
    all_steps,
    lists_of,
    needs_of,
)
from novapulse.workflows.expressions import ExpressionError
from novapulse.workflows.source import escaped

_DEPTH_MAX = 5
_ERRORS_MAX = 20
_OWN = {"id", "name", "type", "needs", "on_error", "if", "retries", "backoff_s", "timeout_s"}
_MAY_HOLD_SECRETS = ("url", "headers/", "json", "body")
# Headers that frame a request, say whom it is for, or open the metadata services of clouds.
_RESERVED_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_RESERVED_PREFIXES = ("metadata", "proxy-", "x-aws-ec2-", "x-google-")
_INNER = {"then", "else", "branches", "steps"}
_TAGS = {*STEP_TYPES, "EventTrigger", "CronTrigger", "str", "float", "list[any]"}


def read_definition(value: Any) -> Definition:
    """A definition that can run.

    Raises:
        InvalidError: it cannot, with each place where something is wrong.
    """
    if not isinstance(value, dict):
        raise InvalidError.at("", "a workflow is an object with a name and steps")
    try:
        definition = Definition.model_validate(value)
    except ValidationError as error:
        raise InvalidError(_places(value, error)) from None
    except RecursionError:
        raise InvalidError.at("/steps", "nested too deeply") from None
    errors = list(_wrong(definition))
    if errors:
        raise InvalidError(errors[:_ERRORS_MAX])
    return definition


def _places(value: Any, error: ValidationError) -> list[FieldError]:
    found: dict[str, FieldError] = {}
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        if each["type"] == "union_tag_not_found":
            place, detail = _pointer(value, (*each["loc"], "type")), f"is missing; one of {', '.join(STEP_TYPES)}"
        elif each["type"] == "union_tag_invalid":
            place, detail = _pointer(value, (*each["loc"], "type")), f"must be one of {', '.join(STEP_TYPES)}"
        else:
            place = _pointer(value, each["loc"])
            unknown = each["type"] == "extra_forbidden"
            detail = "there is no such field" if unknown else each["msg"].removeprefix("Value error, ")
        if _of_other_trigger(value, each["loc"]):
            continue
        found.setdefault(place, FieldError(place, detail))
    if not found:
        return [FieldError("/triggers", "a trigger has an 'event' or a 'cron'")]
    return list(found.values())[:_ERRORS_MAX]


def _of_other_trigger(value: Any, loc: tuple[Any, ...]) -> bool:
    # Pydantic tells of both kinds that a trigger could be; only what it means to be is of interest.
    if len(loc) < 3 or loc[0] != "triggers" or not isinstance(loc[1], int):
        return False
    trigger = value["triggers"][loc[1]]
    if not isinstance(trigger, dict):
        return loc[2] == "CronTrigger"
    return loc[2] == ("EventTrigger" if "cron" in trigger else "CronTrigger")


def _pointer(value: Any, loc: Iterable[Any]) -> str:
    """Where pydantic means, without the names of kinds that it puts between."""
    parts: list[str] = []
    for part in loc:
        if isinstance(value, dict) and isinstance(part, str):
            if part in value:
                value = value[part]
            elif part in _TAGS or part.startswith(("constrained-", "list[", "function-")):
                continue
            else:
                value = None
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif isinstance(part, str):
            if part not in ("type", "[key]"):
                continue
            value = None
        parts.append(escaped(str(part)))
    return "".join(f"/{part}" for part in parts)


def _wrong(definition: Definition) -> Iterator[FieldError]:
    for number, trigger in enumerate(definition.triggers):
        if isinstance(trigger, CronTrigger):
            yield from check_cron(f"/triggers/{number}", trigger.cron, trigger.timezone)
        else:
            yield from _wrong_trigger(f"/triggers/{number}", trigger)
    everything = list(all_steps(definition.steps))
    if len(everything) > STEPS_MAX:
        yield FieldError("/steps", f"a workflow has at most {STEPS_MAX} steps, with those inside of others")
        return
    first: dict[str, str] = {}
    for place, step in everything:
        if step.id in first:
            yield FieldError(f"{place}/id", f"there is a step '{step.id}' already, at {first[step.id]}")
        first.setdefault(step.id, place)
    yield from _wrong_list(definition.steps, "/steps", set(), False, first, 0)


def _wrong_trigger(place: str, trigger: EventTrigger) -> Iterator[FieldError]:
    if trigger.if_ is not None:
        yield from _wrong_expression(f"{place}/if", expressions.bare(trigger.if_), {"input", "event"}, set(), {})


def _wrong_list(
    steps: list[Step], pointer: str, before: set[str], in_loop: bool, everywhere: dict[str, str], depth: int
) -> Iterator[FieldError]:
    """What is wrong in one list of steps; `before`: those that are over when it begins."""
    if depth > _DEPTH_MAX:
        yield FieldError(pointer, f"steps are at most {_DEPTH_MAX} deep inside of each other")
        return
    here = {step.id: number for number, step in enumerate(steps)}
    missing = False
    for number, step in enumerate(steps):
        for index, name in enumerate(step.needs or []):
            if name not in here:
                missing = True
                where = f", only one in another list ({everywhere[name]})" if name in everywhere else ""
                place = f"{pointer}/{number}/needs/{index}"
                yield FieldError(place, f"there is no step '{name}' beside this one{where}")
    if missing or len(here) < len(steps):
        return
    order = _ancestors(steps)
    if isinstance(order, list):
        number = here[order[0]]
        circle = " -> ".join([*order, order[0]])
        yield FieldError(f"{pointer}/{number}/needs", f"these steps wait for each other: {circle}")
        return
    for number, step in enumerate(steps):
        place = f"{pointer}/{number}"
        known = before | order[step.id]
        yield from _wrong_step(place, step, known, in_loop, everywhere)
        for inner, list_ in lists_of(step):
            yield from _wrong_list(
                list_, place + inner, known, in_loop or isinstance(step, LoopStep), everywhere, depth + 1
            )


def _ancestors(steps: list[Step]) -> dict[str, set[str]] | list[str]:
    """Of each step, all that come before it; or steps that form a circle."""
    needs = {step.id: needs_of(steps, number) for number, step in enumerate(steps)}
    done: dict[str, set[str]] = {}
    while len(done) < len(needs):
        ready = [id_ for id_, of in needs.items() if id_ not in done and all(name in done for name in of)]
        if not ready:
            return _circle({id_: of for id_, of in needs.items() if id_ not in done})
        for id_ in ready:
            done[id_] = set(needs[id_]).union(*(done[name] for name in needs[id_]))
    return done


def _circle(needs: dict[str, list[str]]) -> list[str]:
    way: list[str] = []
    here = next(iter(needs))
    while here not in way:
        way.append(here)
        here = next(name for name in needs[here] if name in needs)
    return way[way.index(here) :]


def _wrong_step(
    place: str, step: Any, known: set[str], in_loop: bool, everywhere: dict[str, str]
) -> Iterator[FieldError]:
    roots = {"input", "event", "run", "steps"} | ({"item", "index"} if in_loop else set())
    if step.if_ is not None:
        yield from _wrong_expression(f"{place}/if", expressions.bare(step.if_), roots, known, everywhere)
    if isinstance(step, HttpStep):
        yield from _wrong_headers(place, step)
        roots |= {"secrets"}
    own = step.model_dump(by_alias=True, exclude_none=True)
    fields = {name: value for name, value in own.items() if name not in _OWN | _INNER}
    if isinstance(step, LoopStep) and isinstance(step.items, str) and "{{" not in step.items:
        fields["items"] = "{{" + step.items + "}}"
    try:
        for pointer, text in expressions.expressions_in(fields, place):
            sent = pointer.startswith(tuple(f"{place}/{name}" for name in _MAY_HOLD_SECRETS))
            allowed = roots if sent else roots - {"secrets"}
            yield from _wrong_expression(pointer, text, allowed, known, everywhere)
    except ExpressionError as error:
        pointer, _, detail = str(error).partition(": ")
        yield FieldError(pointer, detail)


def _wrong_headers(place: str, step: HttpStep) -> Iterator[FieldError]:
    for name, value in step.headers.items():
        if name.lower() in _RESERVED_HEADERS or name.lower().startswith(_RESERVED_PREFIXES):
            yield FieldError(f"{place}/headers/{escaped(name)}", "is set by NovaPulse or may not be sent")
        elif is_credential(name) and "secrets." not in value:
            yield FieldError(
                f"{place}/headers/{escaped(name)}",
                "looks like a credential, and a definition can be read by everybody who sees the workflow: "
                "store it as a secret of the workflow, and write {{ secrets.name }}",
            )


def _wrong_expression(
    place: str, text: str, roots: set[str], known: set[str], everywhere: dict[str, str]
) -> Iterator[FieldError]:
    try:
        used = list(expressions.uses(expressions.parse(text)))
    except ExpressionError as error:
        yield FieldError(place, str(error))
        return
    for use in used:
        if use.root in expressions.FUNCTIONS:
            yield FieldError(place, f"'{use.root}' is a function: {use.root}(...)")
        elif use.root not in roots:
            yield FieldError(place, _not_here(use.root))
        elif use.root == "steps" and use.name not in known:
            if use.name in everywhere:
                yield FieldError(place, f"the step '{use.name}' is not over for sure when this one begins")
            else:
                yield FieldError(place, f"there is no step '{use.name}'")


def _not_here(root: str) -> str:
    if root in ("item", "index"):
        return f"'{root}' is there only inside of a loop"
    if root == "secrets":
        return "secrets are for the url, headers and body of http steps only"
    return f"there is no '{root}' here"


def secrets_used(definition: Definition) -> set[str]:
    """The names of the secrets that its steps take."""
    return {
        use.name or ""
        for _, step in all_steps(definition.steps)
        if not isinstance(step, CONTAINER_TYPES)
        for _, text in expressions.expressions_in(step.model_dump(by_alias=True, exclude_none=True))
        for use in expressions.uses(expressions.parse(text))
        if use.root == "secrets"
    }
