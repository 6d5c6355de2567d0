"""Where the steps of a workflow stand in its picture: what follows is below, what is at once is beside. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from novapulse.workflows.definition import (
    CONTAINER_TYPES,
    ConditionStep,
    Definition,
    Step,
    lists_of,
    needs_of,
)

_W, _H = 208, 56  # of a step
_GAP_X, _GAP_Y = 24, 34
_HEAD, _PAD = 48, 14  # of a box around steps
_LABEL = 18  # over the branches of a condition


@dataclass(slots=True)
class Node:
    """A step in the picture."""

    id: str
    label: str
    type: str
    x: int
    y: int
    w: int
    h: int
    box: bool


@dataclass(slots=True)
class Picture:
    """All of it."""

    width: int = 0
    height: int = 0
    nodes: list[Node] = field(default_factory=list[Node])
    edges: list[tuple[int, int, int, int]] = field(default_factory=list[tuple[int, int, int, int]])
    words: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])

    def as_vars(self) -> dict[str, Any]:
        """For the page."""
        return {
            "width": self.width,
            "height": self.height,
            "nodes": [
                {name: getattr(node, name) for name in ("id", "label", "type", "x", "y", "w", "h", "box")}
                for node in self.nodes
            ],
            "edges": [list(edge) for edge in self.edges],
            "words": [{"x": x, "y": y, "text": text} for x, y, text in self.words],
        }


def picture_of(definition: Definition) -> Picture:
    """The picture of a workflow."""
    return _list(definition.steps)


def _list(steps: Sequence[Step]) -> Picture:
    """Rows of steps: each below all that it needs."""
    rows: list[list[int]] = []
    row_of: dict[str, int] = {}
    left = list(range(len(steps)))
    while left:
        for number in list(left):
            needs = needs_of(list(steps), number)
            if all(name in row_of for name in needs):
                row = 1 + max((row_of[name] for name in needs), default=-1)
                row_of[steps[number].id] = row
                rows += [[] for _ in range(row + 1 - len(rows))]
                rows[row].append(number)
                left.remove(number)
    parts = [_step(step) for step in steps]
    widths = [sum(parts[n].width for n in row) + _GAP_X * (len(row) - 1) for row in rows]
    whole = Picture(width=max(widths))
    at: dict[str, tuple[int, int, int]] = {}  # middle, top and bottom
    y = 0
    for row, width in zip(rows, widths, strict=True):
        x = (whole.width - width) // 2
        for number in sorted(row):
            part = parts[number]
            _place(whole, part, x, y)
            at[steps[number].id] = (x + part.width // 2, y, y + part.height)
            x += part.width + _GAP_X
        y += max(parts[n].height for n in row) + _GAP_Y
    whole.height = y - _GAP_Y
    for number, step in enumerate(steps):
        for name in needs_of(list(steps), number):
            whole.edges.append((at[name][0], at[name][2], at[step.id][0], at[step.id][1]))
    return whole


def _step(step: Step) -> Picture:
    if not isinstance(step, CONTAINER_TYPES):
        return Picture(_W, _H, [Node(step.id, step.label, step.type, 0, 0, _W, _H, False)])
    inner = [(_branch(step, place), _list(list_)) for place, list_ in lists_of(step) if list_]
    label = _LABEL if isinstance(step, ConditionStep) else 0
    width = max(_W, sum(part.width for _, part in inner) + _GAP_X * (len(inner) - 1) + 2 * _PAD)
    height = _HEAD + label + max(part.height for _, part in inner) + _PAD
    whole = Picture(width, height, [Node(step.id, step.label, step.type, 0, 0, width, height, True)])
    x = (width - sum(part.width for _, part in inner) - _GAP_X * (len(inner) - 1)) // 2
    for word, part in inner:
        if word:
            whole.words.append((x + part.width // 2, _HEAD + 8, word))
        _place(whole, part, x, _HEAD + label)
        x += part.width + _GAP_X
    return whole


def _branch(step: Step, place: str) -> str:
    if not isinstance(step, ConditionStep):
        return ""
    return "if so" if place == "/then" else "if not"


def _place(whole: Picture, part: Picture, x: int, y: int) -> None:
    for node in part.nodes:
        node.x, node.y = node.x + x, node.y + y
    whole.nodes += part.nodes
    whole.edges += [(a + x, b + y, c + x, d + y) for a, b, c, d in part.edges]
    whole.words += [(a + x, b + y, text) for a, b, text in part.words]
