"""Expressions in workflows: `{{ input.total > 100 }}`. Pure.

They are read by simpleeval, which walks Python's syntax tree and evaluates nothing by itself. What it could still be
made to waste time or memory with (powers, shifts, formats, methods, comprehensions) is left out here. Values are JSON:
`a.b` is the member `b` of an object, and never an attribute.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportMissingTypeStubs=false, reportUnknownParameterType=false
# simpleeval has no types.

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import simpleeval

from novapulse.core import exact

EXPRESSION_MAX = 500  # characters
TEXT_MAX = 64 * 1024  # of one rendered value
RENDERED_MAX = 256 * 1024  # of all that is filled in for one step, in characters of JSON
LIST_MAX = 20_000  # items of a list that an expression makes
ROOTS = ("input", "event", "run", "steps", "item", "index", "secrets")
_PIECE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NUMBERS = (int, float)
_BITS_MAX = 256
_DIGITS_MAX = 15


class ExpressionError(Exception):
    """An expression that cannot be read or evaluated; says why."""


def _number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def _bounded(work: Callable[[Any, Any], Any], sign: str) -> Callable[[Any, Any], Any]:
    def apply(left: Any, right: Any) -> Any:
        if not (_number(left) and _number(right)):
            raise ExpressionError(f"'{sign}' takes two numbers, not {_kind(left)} and {_kind(right)}")
        result = work(left, right)
        if isinstance(result, int) and result.bit_length() > _BITS_MAX:
            raise ExpressionError("that number is too large")
        return result

    return apply


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return _short(left + right)
    if isinstance(left, list) and isinstance(right, list):
        if len(left) + len(right) > LIST_MAX:
            raise ExpressionError(f"a list of more than {LIST_MAX} items")
        return left + right
    return _bounded(operator.add, "+")(left, right)


def _short(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise _too_long()
    return text


def _too_long() -> ExpressionError:
    return ExpressionError(f"a text of more than {TEXT_MAX} characters")


def _has(left: Any, right: Any) -> bool:
    if isinstance(right, str) and not isinstance(left, str):
        raise ExpressionError("'in' a text takes a text")
    if not isinstance(right, (str, list, dict, tuple)):
        raise ExpressionError(f"'in' takes a text, a list or an object, not {_kind(right)}")
    return left in right


def _get(value: Any, path: Any, otherwise: Any = None) -> Any:
    for part in str(path).split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return otherwise
    return value


def _join(values: Any, between: Any = ", ") -> str:
    if not isinstance(values, list):
        raise ExpressionError("'join' takes a list")
    made, size, gap = list[str](), 0, as_text(between)
    for value in values:  # refused before it is made: a gap that is long, many times, is gigabytes
        made.append(as_text(value))
        size += len(made[-1]) + len(gap)
        if size - len(gap) > TEXT_MAX:
            raise _too_long()
    return gap.join(made)


def _split(text: Any, at: Any) -> list[str]:
    if not (isinstance(text, str) and isinstance(at, str) and at):
        raise ExpressionError("'split' takes a text and what to split at")
    return text.split(at)


def _len(value: Any) -> int:
    if not isinstance(value, (str, list, dict)):
        raise ExpressionError(f"'len' takes a text, a list or an object, not {_kind(value)}")
    return len(value)


def _to_number(value: Any) -> int | float:
    if _number(value):
        return value
    try:
        text = str(value)[:40]
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        raise ExpressionError(f"'{str(value)[:40]}' is no number") from None


def as_text(value: Any) -> str:
    """A value as it stands within a text.

    Raises:
        ExpressionError: it is too long: each JSON text within a JSON text doubles what escapes the one inside.
    """
    if isinstance(value, str):
        return value
    return "" if value is None else _short(exact.dumps(value))


def _round(value: Any, digits: Any = 0) -> int | float:
    places = _to_number(digits)
    if not -_DIGITS_MAX <= places <= _DIGITS_MAX:  # Python computes the power of ten first, however large
        raise ExpressionError(f"'round' takes at most {_DIGITS_MAX} digits")
    return round(_to_number(value), int(places) or None)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "get": _get,
    "join": _join,
    "split": _split,
    "len": _len,
    "number": _to_number,
    "text": as_text,
    "lower": lambda value: as_text(value).lower(),
    "upper": lambda value: as_text(value).upper(),
    "trim": lambda value: as_text(value).strip(),
    "starts_with": lambda value, start: as_text(value).startswith(as_text(start)),
    "ends_with": lambda value, end: as_text(value).endswith(as_text(end)),
    "round": _round,
    "default": lambda value, otherwise: otherwise if value is None or value == "" else value,
}
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _add,
    ast.Sub: _bounded(operator.sub, "-"),
    ast.Mult: _bounded(operator.mul, "*"),
    ast.Div: _bounded(operator.truediv, "/"),
    ast.FloorDiv: _bounded(operator.floordiv, "//"),
    ast.Mod: _bounded(operator.mod, "%"),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.In: _has,
    ast.NotIn: lambda left, right: not _has(left, right),
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
}
_JSON_WORDS = {"true": True, "false": False, "null": None}
_SHAPES = (
    ast.Expression, ast.Expr, ast.Name, ast.Load, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.And, ast.Or, ast.Compare,
    ast.IfExp, ast.Call, ast.Subscript, ast.Attribute, ast.Constant, ast.List, ast.Tuple, ast.Dict,
)  # fmt: skip


class _Evaluator(simpleeval.EvalWithCompoundTypes):
    def __init__(self, names: Mapping[str, Any]) -> None:
        super().__init__(operators=dict(_OPERATORS), functions={}, names={**_JSON_WORDS, **names})
        self.functions = FUNCTIONS

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        return _member(self._eval(node.value), node.attr)

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        return _member(self._eval(node.value), self._eval(node.slice))

    def _check_disallowed_items(self, item: Any) -> None:
        """Nothing but JSON is within reach; looking through all of it at every node would cost a lot."""


def _member(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(key, str) and key in value:
            return value[key]
        raise ExpressionError(f"there is no '{str(key)[:60]}' here; there is {_some(value)}")
    if isinstance(value, list) and isinstance(key, int):
        if -len(value) <= key < len(value):
            return value[key]
        raise ExpressionError(f"the list has {len(value)} items, there is no {key}")
    raise ExpressionError(f"{_kind(value)} has no '{str(key)[:60]}'")


def _some(value: Mapping[str, Any]) -> str:
    names = [str(name)[:40] for name in list(value)[:8]]
    return ", ".join(names) + (", ..." if len(value) > len(names) else "") if names else "nothing"


def _kind(value: Any) -> str:
    kinds = {
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return "nothing" if value is None else kinds.get(type(value), "that")


def parse(expression: str) -> ast.expr:
    """The tree of an expression that holds only what is allowed.

    Raises:
        ExpressionError: with what is wrong.
    """
    text = expression.strip()
    if not text:
        raise ExpressionError("an expression is empty")
    if len(text) > EXPRESSION_MAX:
        raise ExpressionError(f"an expression has at most {EXPRESSION_MAX} characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"cannot be read: '{text[:80]}'") from None
    for node in ast.walk(tree):
        if isinstance(node, (ast.operator, ast.unaryop, ast.cmpop)):
            if type(node) not in _OPERATORS:
                raise ExpressionError(f"'{type(node).__name__}' is not available in '{text[:80]}'")
        elif not isinstance(node, _SHAPES):
            raise ExpressionError(f"'{type(node).__name__}' is not available in '{text[:80]}'")
        elif isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS or node.keywords:
                raise ExpressionError(f"there is no such function in '{text[:80]}'; there are {', '.join(FUNCTIONS)}")
        elif isinstance(node, ast.Name) and node.id not in (*ROOTS, *FUNCTIONS, *_JSON_WORDS):
            raise ExpressionError(f"there is no '{node.id[:60]}'; there are {', '.join(ROOTS)}")
    return tree


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression.

    Raises:
        ExpressionError: with what is wrong.
    """
    tree = parse(expression)
    try:
        value = _Evaluator(names).eval(expression, previously_parsed=tree)
    except ExpressionError as error:
        raise ExpressionError(f"'{expression.strip()[:80]}': {error}") from None
    except simpleeval.NameNotDefined as error:
        raise ExpressionError(f"'{expression.strip()[:80]}': there is no '{error.name}' here") from None
    except Exception as error:  # of Python's operators: types that do not fit, a division by zero
        raise ExpressionError(f"'{expression.strip()[:80]}': {error}"[:300]) from None
    return list(value) if isinstance(value, tuple) else value


def condition(expression: str, names: Mapping[str, Any]) -> bool:
    """Whether an expression holds; it may stand in `{{ }}` or alone."""
    return bool(evaluate(bare(expression), names))


def bare(expression: str) -> str:
    """An expression without the braces around it."""
    text = expression.strip()
    whole = _PIECE.fullmatch(text)
    return whole[1].strip() if whole and "{{" not in whole[1] else text


def render(value: Any, names: Mapping[str, Any]) -> Any:
    """A value with every `{{ }}` in it replaced. One that is nothing else keeps its kind: a number, a list.

    Raises:
        ExpressionError: with what is wrong.
    """
    return _Filling(names).render(value)


class _Filling:
    """Fills in one value, and stops as soon as it is more than any step may be given."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names
        self._left = RENDERED_MAX

    def render(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {name: self.render(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.render(item) for item in value]
        return value

    def _text(self, text: str) -> Any:
        if "{{" not in text:
            return text
        whole = _PIECE.fullmatch(text.strip())
        if whole and "{{" not in whole[1]:
            return self._counted(evaluate(whole[1], self._names))
        return _short(_PIECE.sub(lambda piece: as_text(self._counted(evaluate(piece[1], self._names))), text))

    def _counted(self, value: Any) -> Any:
        if isinstance(value, (str, list, dict)):
            self._left -= len(value) if isinstance(value, str) else len(exact.dumps(value))
            if self._left < 0:
                raise ExpressionError(f"what is filled in is more than {RENDERED_MAX} characters")
        return value


@dataclass(frozen=True, slots=True)
class Use:
    """What an expression reads: the name it begins with, and of `steps` and `secrets` which one."""

    root: str
    name: str | None


def expressions_in(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every expression in `{{ }}` of a value, with the JSON pointer of where it stands.

    Raises:
        ExpressionError: braces that are not closed; says where.
    """
    if isinstance(value, str):
        if "{{" in _PIECE.sub("", value):
            raise ExpressionError(f"{pointer}: '{{{{' is not closed by '}}}}'")
        for piece in _PIECE.finditer(value):
            yield pointer, piece[1]
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from expressions_in(item, f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from expressions_in(item, f"{pointer}/{index}")


def uses(tree: ast.expr) -> Iterator[Use]:
    """What a parsed expression reads.

    Raises:
        ExpressionError: `steps` or `secrets` without saying which.
    """
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    named: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.value, ast.Name):
            root = node.value.id
            if root in ("steps", "secrets"):
                key = node.attr if isinstance(node, ast.Attribute) else getattr(node.slice, "value", None)
                if not isinstance(key, str):
                    raise ExpressionError(f"'{root}' takes the name of one: {root}.name")
                named.add(id(node.value))
                yield Use(root, key)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in called | named and node.id not in _JSON_WORDS:
            if node.id in ("steps", "secrets"):
                raise ExpressionError(f"'{node.id}' takes the name of one: {node.id}.name")
            yield Use(node.id, None)
