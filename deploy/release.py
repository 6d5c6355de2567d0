"""What a release has to agree on: `release.py check [TAG]`, `release.py notes`, `release.py set VERSION`.

The version is that of `pyproject.toml`; the chart, Compose and the changelog follow it. Standard library only.
"""

from __future__ import annotations

import re
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

_VERSION = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?"  # semver.org, without build metadata
# Where it is written besides, each once: file and what is around it.
_ELSEWHERE = {
    "deploy/helm/novapulse/Chart.yaml": (r"^version: ({v})$", r"^appVersion: ({v})$"),
    "deploy/compose/compose.yaml": (r"novapulse/novapulse:({v})\}}$",),
    "deploy/compose/env.example": (r"novapulse/novapulse:({v})$",),
}
_PROJECT = (r'^version = "({v})"$',)
_UNRELEASED = "## [Unreleased]"


def version(root: Path) -> str:
    """The version of this source tree."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def faults(root: Path, tag: str = "") -> list[str]:
    """What does not agree, in words; with a tag, also what that release lacks."""
    wanted = version(root)
    found: list[str] = []
    for name, patterns in _ELSEWHERE.items():
        for pattern in patterns:
            matches = _pattern(pattern).findall((root / name).read_text())
            if matches != [wanted]:
                found.append(f"{name} says {', '.join(matches) or 'nothing'} where pyproject.toml says {wanted}")
    changes = (root / "CHANGELOG.md").read_text()
    if changes.count(f"{_UNRELEASED}\n") != 1:
        found.append(f"CHANGELOG.md has to have one section {_UNRELEASED}")
    if tag and tag != f"v{wanted}":
        found.append(f"the tag is {tag}, the version {wanted}")
    if tag and not section(changes, wanted):
        found.append(f"CHANGELOG.md says nothing of {wanted}")
    return found


def section(changes: str, wanted: str) -> str:
    """What the changelog says of a version, without its heading; empty: nothing."""
    found = re.search(
        rf"^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |^\[|\Z)", changes, re.MULTILINE | re.DOTALL
    )
    return found[1].strip() if found else ""


def write(root: Path, to: str) -> None:
    """Make `to` the version everywhere, and what is unreleased in the changelog that version's section."""
    for name, patterns in {"pyproject.toml": _PROJECT, **_ELSEWHERE}.items():
        text = (root / name).read_text()
        for pattern in patterns:
            text = _pattern(pattern).sub(lambda match: match[0].replace(match[1], to), text, count=1)
        (root / name).write_text(text)
    path = root / "CHANGELOG.md"
    heading = f"{_UNRELEASED}\n\n## [{to}] - {datetime.now(UTC):%Y-%m-%d}\n"
    path.write_text(path.read_text().replace(f"{_UNRELEASED}\n", heading, 1))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.format(v=_VERSION), re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Entry point; returns the exit code."""
    root = Path(__file__).resolve().parents[1]
    match arguments:
        case ["check", *tags] if len(tags) <= 1:
            found = faults(root, "".join(tags))
            print("\n".join(found) or f"{version(root)} everywhere")  # noqa: T201
            return 1 if found else 0
        case ["notes"]:
            print(section((root / "CHANGELOG.md").read_text(), version(root)))  # noqa: T201
            return 0
        case ["set", to] if re.fullmatch(_VERSION, to):
            write(root, to)
            return 0
    print(__doc__, file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
