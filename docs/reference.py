"""Writes the tables of settings in `configuration.md` from `novapulse/settings.py`: `python docs/reference.py`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from novapulse import settings

DOCUMENT = Path(__file__).parent / "configuration.md"
BEGIN, END = "<!-- settings: begin (made by docs/reference.py) -->", "<!-- settings: end -->"
_SECTION = re.compile(r"^    # (?P<title>[A-Z].*)$")
_FIELD = re.compile(r"^    (?P<name>[a-z_]+): ")


def sections() -> dict[str, list[str]]:
    """The settings by the comments that head them in the source."""
    found: dict[str, list[str]] = {}
    fields = settings.Settings.model_fields
    for line in Path(settings.__file__).read_text(encoding="utf-8").splitlines():
        if title := _SECTION.match(line):
            found[title["title"].partition(";")[0]] = []
        elif (field := _FIELD.match(line)) and field["name"] in fields and found:
            found[list(found)[-1]].append(field["name"])
    return {title: names for title, names in found.items() if names}


def tables() -> str:
    """All tables, as Markdown."""
    lines: list[str] = []
    for title, names in sections().items():
        lines += [f"### {title}", "", "| variable | default | meaning |", "|---|---|---|"]
        lines += [_row(name, settings.Settings.model_fields[name]) for name in names]
        lines.append("")
    return "\n".join(lines)


def _row(name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if isinstance(default, bool):
        shown = str(default).lower()
    elif default is None or default == "" or default == [] or default == {}:
        shown = ""
    elif name.startswith("limit_"):
        shown = " ".join(f"{rate}" for rate in default)
    else:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    choices = [str(item) for item in get_args(field.annotation) if isinstance(item, str)]
    meaning = (field.description or "").replace("|", "\\|")
    if choices:
        meaning += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    return f"| `NOVAPULSE_{name.upper()}` | {f'`{shown}`' if shown else ''} | {meaning} |"


def written(text: str) -> str:
    """The document with the tables of today."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
