"""Definitions as they are given: read from fields or a text, with each error at its place or line."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import orjson

from novapulse.core.errors import FieldError, InvalidError
from novapulse.core.runtime import Runtime
from novapulse.workflows import acts
from novapulse.workflows.check import read_definition
from novapulse.workflows.definition import Definition
from novapulse.workflows.schemas import (
    DefinitionIn,
    ErrorView,
)
from novapulse.workflows.source import Source, read_source

_FIELDS = ("name", "description", "triggers", "steps")


def value_of(given: DefinitionIn) -> tuple[Source | None, Any]:
    """What was given, and the text that it was given as, if it was one.

    Raises:
        InvalidError: a text that cannot be read, or both.
    """
    fields = {name: getattr(given, name) for name in _FIELDS if name in given.model_fields_set}
    if given.source is None:
        return None, fields
    if fields:
        raise InvalidError.at("/source", "give the source, or the fields of a definition, not both")
    source = read_source(given.source)
    return source, source.value


def whole(rt: Runtime, value: Any) -> Definition:
    """A definition that can run, and whose acts no service refuses.

    Raises:
        InvalidError: with each place.
    """
    definition = read_definition(value)
    errors = list(acts.wrong_in(rt, definition))
    if errors:
        raise InvalidError(errors)
    return definition


def read(rt: Runtime, given: DefinitionIn) -> tuple[str, Definition]:
    """The text to keep, and what it says; errors name the line of a text.

    Raises:
        InvalidError: with each place.
    """
    source, value = value_of(given)
    try:
        definition = whole(rt, value)
    except InvalidError as error:
        if source is None:
            raise
        raise InvalidError([_in_source(each, source) for each in error.errors]) from None
    return given.source or orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), definition


def _in_source(error: FieldError, source: Source) -> FieldError:
    return FieldError("/source", f"line {source.line_of(error.pointer)}, {error.pointer or '/'}: {error.detail}")


def placed(error: FieldError, source: Source | None) -> ErrorView:
    """An error with its line, if there are lines."""
    line = None if source is None else source.line_of(error.pointer)
    found = error.detail.partition(",")[0].partition(":")[0]
    if line is None and error.pointer == "/source" and found.startswith("line "):
        line = int(found.removeprefix("line "))
    return ErrorView(pointer=error.pointer, line=line, detail=error.detail)
