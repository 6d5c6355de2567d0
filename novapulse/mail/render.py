"""Making a message's two parts from one template: its words are written once, and each layout dresses them.

A template extends `layout` and fills the blocks `subject`, `said` (what happened), `action` (the words on the button
that opens `target`) and `advice` (what to do). In the HTML part everything put in is escaped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_LAYOUTS = Path(__file__).parent / "templates"
_WIDTH = 76  # RFC 5322, 2.1.1: lines of at most 78 characters
_SUBJECT_MAX = 200


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message without an address."""

    subject: str
    text: str
    html: str


def render(
    folder: Path,
    template: str,
    facts: Mapping[str, str],
    *,
    details: Sequence[tuple[str, str]],
    target: str,
    home: str,
) -> Rendered:
    """The message of a template in `folder`: `facts` are its variables, `details` the lines of its table.

    Raises:
        jinja2.TemplateError: there is no such template, or it uses a fact that was not given.
    """
    values: dict[str, object] = {**facts, "details": details, "target": target, "home": home}
    plain = _environment(folder, html=False).get_template(f"{template}.j2")
    context = plain.new_context({**values, "layout": "layout.txt"})
    subject = " ".join("".join(plain.blocks["subject"](context)).split())[:_SUBJECT_MAX]
    values["subject"] = subject
    rich = _environment(folder, html=True).get_template(f"{template}.j2")
    return Rendered(
        subject,
        plain.render({**values, "layout": "layout.txt"}).strip() + "\n",
        rich.render({**values, "layout": "layout.html"}),
    )


@cache
def _environment(folder: Path, *, html: bool) -> Environment:
    # Imported when the first message is made: a process that makes none does without.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([folder, _LAYOUTS])
    # The plain part is text: there is nothing in it that an escape would protect.
    made = Environment(loader=loader, autoescape=html, undefined=StrictUndefined)  # noqa: S701
    made.filters["paragraph"] = _paragraph  # pyright: ignore[reportUnknownMemberType]
    return made


def _paragraph(text: str) -> str:
    """Words as lines that any mail reader shows whole; an address is never broken."""
    return textwrap.fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)
