"""What the commands of an operator's shell share: a runtime, reading what is given, and printing what comes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from novapulse.core.runtime import Runtime

AsJson = Annotated[bool, typer.Option("--json", help="What the API answers, in place of a text for people.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="At most so many.")]
Cursor = Annotated[str | None, typer.Option(help="Go on from here: the `next_cursor` of the list before.")]
M = TypeVar("M", bound="BaseModel")
T = TypeVar("T")
_CELL_MAX = 90


def with_runtime(work: Callable[[Runtime], Awaitable[T]]) -> T:
    """Do some work on the stores of this machine's NovaPulse."""
    from novapulse.launch.local import local_runtime

    async def run() -> T:
        async with local_runtime(load_settings()) as rt:
            return await work(rt)

    return asyncio.run(run())


def show(answer: BaseModel, as_json: bool, told: Callable[[], None]) -> None:
    """Print an answer: as the API gives it, or as it is told to people."""
    if as_json:
        typer.echo(answer.model_dump_json(indent=2))
    else:
        told()


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows below their names, each column as wide as it has to be."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for row in (head, *cells):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print what is known of one thing, a line each; what is not known is left out."""
    for name, value in pairs:
        if value not in (None, "", [], {}):
            typer.echo(f"{name + ':':<16}{plain(value)}")


def more(next_cursor: str | None) -> None:
    """Say that a list goes on, where it does."""
    if next_cursor is not None:
        typer.echo(f"There are more: --cursor {next_cursor}", err=True)


def plain(value: Any) -> str:
    """A value as one line that does nothing to a terminal: what jobs hold is written by others."""
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else " " for char in str(value))


def read_object(option: str, text: str) -> dict[str, Any]:
    """The JSON object that an option was given.

    Raises:
        StartError: it is none.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StartError(f"{option} is no JSON: {error}.", 'Write it as {"name": "value"}.') from None
    if not isinstance(value, dict):
        raise StartError(f"{option} is no object.", 'Write it as {"name": "value"}.')
    return cast("dict[str, Any]", value)


def read_time(option: str, text: str | None) -> int | None:
    """The moment that an option was given, in ms.

    Raises:
        StartError: it is no RFC 3339 time.
    """
    from novapulse.core.clock import parse_rfc3339

    try:
        return None if text is None else parse_rfc3339(text)
    except (ValueError, OverflowError):
        raise StartError(f"{option} is no time.", "Write it as 2026-11-23T12:00:00Z.") from None


def one_of(option: str, value: str | None, known: Sequence[str]) -> None:
    """Refuse what an option cannot be.

    Raises:
        StartError: it is none of those.
    """
    if value is not None and value not in known:
        raise StartError(f"{option} '{value}' is none.", f"It is one of {', '.join(known)}.")


def valid(model: type[M], given: dict[str, Any]) -> M:
    """What the API would read from this body.

    Raises:
        InvalidError: with the places.
    """
    from pydantic import ValidationError

    from novapulse.core.problems import from_validation

    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise from_validation(error.errors()) from None


def _cell(value: Any) -> str:
    text = "-" if value in (None, "") else plain(value)
    return text if len(text) <= _CELL_MAX else text[: _CELL_MAX - 1] + "…"
