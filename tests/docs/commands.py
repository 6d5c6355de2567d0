"""The commands that the documents tell people to type.

A block marked `sh` is run as it stands by `test_commands.py`; one marked `console` needs what a test has not (a
container engine, a cluster, another machine, an hour): of it, what is NovaPulse's is parsed and not run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>sh|console)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines for a shell."""

    document: str
    line: int
    kind: str
    body: str


def blocks(kind: str) -> list[Block]:
    """All blocks of this kind, in the order in which they are read."""
    found: list[Block] = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match["kind"] == kind:
                line = text.count("\n", 0, match.start()) + 1
                body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
                found.append(Block(str(path.relative_to(ROOT)), line, kind, body))
    return found
