"""The text of a definition, YAML or JSON, and where in it each value stands. Pure.

YAML as JSON means it (the core schema of YAML 1.2): `on`, `yes` and dates are texts. No anchors: a few lines of them
can be gigabytes. A key that is there twice is an error.
"""
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from novapulse.core.errors import FieldError, InvalidError

SOURCE_MAX = 64 * 1024
_DEPTH_MAX = 40
_DIGITS_MAX = 19  # more is an id that should be quoted


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML wants it


for _tag, _rule, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_rule})\Z"), _first)


@dataclass(frozen=True, slots=True)
class Source:
    """A text that was read."""

    value: Any
    lines: Mapping[str, int]  # JSON pointer -> line, the first is 1

    def line_of(self, pointer: str) -> int:
        """The line of a value, or of the nearest one around it that is there."""
        while pointer not in self.lines and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 1)


def read_source(text: str) -> Source:
    """Read a definition.

    Raises:
        InvalidError: at `/source`, with line and column.
    """
    if len(text) > SOURCE_MAX:
        raise InvalidError.at("/source", f"a definition has at most {SOURCE_MAX // 1024} KiB")
    if "\0" in text:
        raise InvalidError.at("/source", "must not hold the character NUL")
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(str(error.problem or error.context), mark.line + 1 if mark else 1, mark) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidError.at("/source", f"cannot be read: {str(error)[:200]}") from None
    if root is None:
        raise InvalidError.at("/source", "is empty")
    lines: dict[str, int] = {}
    value = _value(root, "", lines, set(), 0)
    if text.lstrip().startswith("{"):
        # Where both can read it, JSON's own reader is the one to trust with JSON.
        try:
            value = json.loads(text)
        except ValueError:
            return Source(value, lines)
    return Source(value, lines)


def _wrong(what: str, line: int, mark: Any = None) -> InvalidError:
    place = f"line {line}" + (f", column {mark.column + 1}" if mark is not None else "")
    return InvalidError([FieldError("/source", f"{place}: {what}")])


def _value(node: yaml.Node, pointer: str, lines: dict[str, int], above: set[int], depth: int) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(pointer, line)
    if depth > _DEPTH_MAX:
        raise _wrong("nested too deeply", line, node.start_mark)
    if id(node) in above:
        # PyYAML gives the same node again for each use of an anchor.
        raise _wrong("anchors (&) and aliases (*) are not read; write it out", line, node.start_mark)
    above.add(id(node))
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong("a key is a text", key.start_mark.line + 1, key.start_mark)
            if key.value in found:
                raise _wrong(f"'{key.value[:60]}' is there twice", key.start_mark.line + 1, key.start_mark)
            inner = f"{pointer}/{escaped(key.value)}"
            lines[inner] = key.start_mark.line + 1
            found[key.value] = _value(item, inner, lines, above, depth + 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{pointer}/{index}", lines, above, depth + 1) for index, item in enumerate(node.value)]
    return _scalar(node, line)


def _scalar(node: yaml.Node, line: int) -> Any:
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind == "null":
        return None
    if kind == "bool":
        return node.value == "true"
    if kind == "int":
        if len(node.value) > _DIGITS_MAX:
            raise _wrong("a number this long has to be in quotes", line, node.start_mark)
        return int(node.value)
    if kind == "float":
        return float(node.value)
    if kind != "str":
        raise _wrong(f"the tag '{node.tag[:60]}' is not read", line, node.start_mark)
    return node.value


def escaped(key: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
