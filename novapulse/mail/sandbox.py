"""The language of stored templates: Jinja's values, filters, conditions and loops, and nothing that could run away.

Whoever may write a template is trusted with words, not with the process: there are no calls, no attributes of Python
objects, no assignments that could double a text over and over, and a loop ends. What a template may not say is refused
when it is made, at its line. Jinja's sandbox alone promises nothing about time and memory.
"""

from __future__ import annotations

import contextlib
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any, NoReturn, cast

from jinja2 import (
    StrictUndefined,
    TemplateSyntaxError,
    Undefined,
    UndefinedError,
    meta,
    nodes,
    pass_context,
    pass_eval_context,
)
from jinja2.filters import do_round, sync_do_join
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape

from novapulse.core.errors import InvalidError

OUTPUT_MAX = 1024 * 1024
STEPS_MAX = 20_000  # rounds of all loops of one part together
_TEXT_MAX = 256 * 1024
_VALUE_MAX = 1024 * 1024  # characters of a value that is worked on, with all that is in it
_WORK_MAX = 128 * 1024 * 1024  # of all values that the filters of one part take and make
_CPU_MAX_S = 0.5  # of the thread, for one part; looked at between steps, of which each takes 0.2 s at most
_BITS_MAX = 1_024
_DIGITS_MAX = 15
_STEPS = "__steps"
_BOUNDED = "bounded__"
_CONCAT = "concat__"
_SEEN = "seen__"

_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "filesizeformat", "first", "float",
    "int", "items", "join", "last", "length", "list", "lower", "max", "min", "reject", "rejectattr", "replace",
    "reverse", "round", "select", "selectattr", "map", "sort", "string", "striptags", "sum", "title", "trim",
    "truncate", "unique", "upper", "urlencode", "wordcount", "wordwrap",
)  # fmt: skip
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.CondExpr, nodes.For, nodes.If, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Concat,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos,
)  # fmt: skip
_OF_LOOPS = ("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem")
_SAYING: Mapping[type[nodes.Node], str] = {
    nodes.Call: "calls are not allowed; use a filter, such as name | upper",
    nodes.Include: "a template cannot include another",
    nodes.Import: "a template cannot import another",
    nodes.FromImport: "a template cannot import another",
    nodes.Extends: "a template cannot extend another",
    nodes.Block: "blocks are for templates that extend others, which these cannot",
    nodes.Pow: "** is not allowed",
}
_ALLOWED = "values, filters, if and for are"


class _Runaway(Exception):  # noqa: N818 - it is one
    """A template that does more than it may."""


class _Budget:
    """What is left of what one part may do."""

    __slots__ = ("_until", "work")

    def __init__(self) -> None:
        self.work = _WORK_MAX
        self._until = time.thread_time() + _CPU_MAX_S  # by the thread's own clock: a busy machine is not its fault

    def look(self) -> None:
        if time.thread_time() > self._until:
            raise _Runaway("takes longer than a message needs")


_LEFT: ContextVar[_Budget | None] = ContextVar("left", default=None)


class _Measured(NodeTransformer):
    """Has `a ~ b` done by a filter, which is measured; and what is compared too: `in` looks through all of it."""

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 - as Jinja names it
        self.generic_visit(node)
        for operand in node.ops:
            operand.expr = nodes.Filter(operand.expr, _SEEN, [], [], None, None, lineno=node.lineno)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.args = [nodes.Filter(each, _SEEN, [], [], None, None, lineno=node.lineno) for each in node.args]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - as Jinja names it
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, _CONCAT, [], [], None, None, lineno=node.lineno)


class _Language(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "%", "+"})

    def __init__(self, *, html: bool) -> None:
        super().__init__(autoescape=html, undefined=StrictUndefined, finalize=_sized)
        ours: dict[str, Any] = {"replace": _replace, "join": _join, "round": _round, "wordwrap": _wordwrap}
        known: dict[str, Any] = self.filters | ours | {_CONCAT: _concat, _SEEN: _seen}
        self.filters: dict[str, Any] = {name: _measured(known[name]) for name in (*_FILTERS, _CONCAT, _SEEN)}
        self.filters[_BOUNDED] = _bounded
        self.globals: dict[str, Any] = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        # Jinja looks for Python's attributes first: `order.items` would be a method of the dictionary.
        if isinstance(obj, LoopContext) and attribute in _OF_LOOPS:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: object) -> Any:
        if isinstance(obj, Undefined):
            return obj  # says what is missing, once it is used
        if isinstance(obj, Mapping) or (isinstance(obj, (list, tuple, str)) and not isinstance(argument, str)):
            with contextlib.suppress(LookupError, TypeError):
                return cast(Any, obj)[argument]
        return self.undefined(obj=obj, name=str(argument))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        # 'x' * 1_000_000_000, '%1000000000d' % 1, and lists alike.
        if operator != "+" and not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise _Runaway(f"{operator} is for numbers")
        if operator == "+" and not isinstance(left, (int, float)):
            _spend(_size(left) + _size(right))
        made = super().call_binop(context, operator, left, right)
        if isinstance(made, int) and made.bit_length() > _BITS_MAX:
            raise _Runaway("a number is too large")
        return made


@cache
def _language(*, html: bool) -> _Language:
    return _Language(html=html)


class Part:
    """A part of a message (its subject, text or HTML) that can be filled in."""

    def __init__(self, name: str, source: str) -> None:
        """`name` is where the source was given, e.g. `html`; what goes into HTML is escaped.

        Raises:
            InvalidError: a mistake in the source, with its line.
        """
        self._name = name
        self._language = _language(html=name == "html")
        try:
            tree = self._language.parse(source)
            self._check(tree)
            self.variables: frozenset[str] = frozenset(meta.find_undeclared_variables(tree))
            for loop in list(tree.find_all(nodes.For)):
                loop.iter = nodes.Filter(loop.iter, _BOUNDED, [], [], None, None, lineno=loop.lineno)
            _Measured().visit(tree)
            # Its file name is what errors at run time are found by.
            code = self._language.compile(tree, name, f"<{name}>")
            self._template = self._language.template_class.from_code(self._language, code, {})
        except TemplateSyntaxError as error:
            self._refuse(error.message or "cannot be read", error.lineno)
        except (RecursionError, SyntaxError):  # Python's own parser has a limit as well
            self._refuse("nested too deeply")

    def fill(self, values: Mapping[str, Any]) -> str:
        """The part with these values.

        Raises:
            InvalidError: a value is missing or of the wrong kind, with the line that wants it.
        """
        made: list[str] = []
        size = 0
        before = _LEFT.set(_Budget())
        try:
            for piece in self._template.generate({**values, _STEPS: [STEPS_MAX]}):
                size += len(piece)
                if size > OUTPUT_MAX:
                    raise _Runaway(f"makes more than {OUTPUT_MAX // 1024} KiB")
                made.append(piece)
        except UndefinedError as error:
            line = self._line_of(error)
            raise InvalidError.at("/context", f"{self._name}, line {line}: {error.message}") from None
        except RecursionError:
            self._refuse("nested too deeply")
        except Exception as error:  # whatever the values make Python say
            self._refuse(str(error)[:300] or type(error).__name__, self._line_of(error))
        finally:
            _LEFT.reset(before)
        return "".join(made)

    def _check(self, tree: nodes.Template) -> None:
        for node in _walk(tree):
            if not isinstance(node, _NODES):
                said = _SAYING.get(type(node), f"{type(node).__name__.lower()} is not allowed; {_ALLOWED}")
                self._refuse(said, node.lineno)
            if isinstance(node, nodes.For) and node.recursive:
                self._refuse("recursive loops are not allowed", node.lineno)
            if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
                self._refuse(f"there is no filter '{node.name}'; there are {', '.join(_FILTERS)}", node.lineno)
            if isinstance(node, nodes.Name) and node.name.startswith("__"):
                self._refuse("names do not begin with __", node.lineno)

    def _line_of(self, error: BaseException) -> int:
        line, trace = 1, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == f"<{self._name}>":
                line = trace.tb_lineno
            trace = trace.tb_next
        return line

    def _refuse(self, why: str, line: int | None = None) -> NoReturn:
        raise InvalidError.at(f"/{self._name}", why if line is None else f"line {line}: {why}") from None


def _walk(tree: nodes.Node) -> Iterator[nodes.Node]:
    open_ = [tree]
    while open_:
        node = open_.pop()
        yield node
        open_.extend(node.iter_child_nodes())


def _measured(work: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that takes and makes no more than it may."""

    @wraps(work)  # with what Jinja has noted about it
    def measured(*given: Any, **named: Any) -> Any:
        for value in (*given, *named.values()):
            _spend(_size(value))
        made = work(*given, **named)
        if isinstance(made, Iterator):
            return _counted(cast("Iterator[Any]", made))
        _spend(_size(made))
        return made

    return measured


def _counted(items: Iterator[Any]) -> Iterator[Any]:
    total = 0
    left = _LEFT.get()
    for item in items:
        if left is not None:
            left.look()
        total += _size(item)
        if total > _VALUE_MAX:
            raise _too_large()
        yield item


def _sized(value: Any) -> Any:
    """A value that is written out: a list of one long text many times is short until then."""
    _spend(_size(value))
    return value


def _size(value: Any) -> int:
    """About how many characters a value has once it is written out; counted no further than it matters."""
    size, open_ = 0, [value]
    while open_ and size <= _VALUE_MAX:
        each = open_.pop()
        size += len(cast("list[Any]", each)) if isinstance(each, (str, list, tuple, dict)) else 8
        if size > _VALUE_MAX:
            break
        if isinstance(each, dict):
            open_.extend(cast("dict[Any, Any]", each).items())
        elif isinstance(each, (list, tuple)):
            open_.extend(cast("list[Any]", each))
    return size


def _spend(size: int) -> None:
    if size > _VALUE_MAX:
        raise _too_large()
    left = _LEFT.get()
    if left is not None:
        left.work -= size
        if left.work < 0:
            raise _Runaway("does more work than a message needs")
        left.look()


def _too_large() -> _Runaway:
    return _Runaway(f"makes more than {_VALUE_MAX // 1024} KiB")


def _seen(value: Any) -> Any:
    return value


@pass_eval_context
def _concat(eval_context: EvalContext, parts: list[Any]) -> str:
    return markup_join(parts) if eval_context.autoescape else str_join(parts)


def _round(value: Any, precision: int = 0, method: Any = "common") -> float:
    if not -_DIGITS_MAX <= precision <= _DIGITS_MAX:  # Python computes the power of ten first, however large
        raise _Runaway(f"round takes at most {_DIGITS_MAX} digits")
    return do_round(value, precision, method)


@pass_context
def _bounded(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    left: list[int] = context[_STEPS]
    budget = _LEFT.get()
    for item in items:
        if budget is not None:
            budget.look()
        left[0] -= 1
        if left[0] < 0:
            raise _Runaway(f"its loops go round more than {STEPS_MAX:,} times")
        yield item


def _replace(text: object, old: object, new: object) -> str:
    # As Jinja's own: within HTML, what is put in is escaped unless it is HTML.
    plain = not isinstance(text, Markup) and not isinstance(new, Markup)
    where, what, by = (str(text), str(old), str(new)) if plain else (escape(text), escape(old), escape(new))
    _limit(where.count(what) * max(0, len(by) - len(what)) + len(where), "replace")
    return where.replace(what, by)


@pass_eval_context
def _join(eval_context: EvalContext, items: Iterable[Any], between: object = "") -> str:
    parts = list(items)
    _limit(len(parts) * len(str(between)), "join")
    return sync_do_join(eval_context, parts, str(between) if not isinstance(between, Markup) else between)


def _wordwrap(text: object, width: int = 78) -> str:
    return "\n".join(textwrap.fill(line, max(10, int(width))) for line in str(text).splitlines())


def _limit(size: int, name: str) -> None:
    if size > _TEXT_MAX:
        raise _Runaway(f"{name} makes more than {_TEXT_MAX // 1024} KiB")
