"""The `data-testid`s of the product, as its sources write them: `python -m tests.testids` renews docs/testing.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "testing.md"
_START, _END = "<!-- test ids: begin -->\n", "<!-- test ids: end -->\n"
_FOLDERS = ("overview", "webhooks", "security", "ui", "live", "jobs", "mail", "reports")
_PATTERNS = (
    re.compile(r'"data-testid": (?P<text>f?"[^"]+")'),  # Python: attributes
    re.compile(r'\btestid=(?P<text>f?"[^"]+")'),  # Python and JSX: passed on
    re.compile(r'data-testid=(?P<text>"[^"]+")'),  # JSX and HTML
    re.compile(r"data-testid=\{(?P<text>`[^`]+`)\}"),  # JSX: computed
)
_COMPUTED = re.compile(r"\$?\{[^{}]*(\{[^{}]*\}[^{}]*)*\}")


def found() -> dict[str, set[str]]:
    """The ids by feature; what is computed stands as `…`."""
    ids: dict[str, set[str]] = {}
    for folder in _FOLDERS:
        for file in sorted((ROOT / "novapulse" / folder).rglob("*")):
            if file.suffix not in (".py", ".jsx", ".html", ".js"):
                continue
            text = file.read_text()
            for pattern in _PATTERNS:
                for match in pattern.finditer(text):
                    plain = _COMPUTED.sub("…", match["text"].lstrip("f").strip('"`'))
                    plain += "…" if plain.endswith("-") else ""
                    ids.setdefault(folder, set()).add(plain)
    return ids


def table() -> str:
    """The ids as the document shows them."""
    rows = [f"| {folder} | {', '.join(f'`{each}`' for each in sorted(ids))} |" for folder, ids in found().items()]
    return "\n".join(["| part | test ids |", "|---|---|", *rows]) + "\n"


def documented() -> str:
    """What the document lists now."""
    return DOCUMENT.read_text().partition(_START)[2].partition(_END)[0]


def main() -> None:
    """Write the list into the document."""
    before, _, rest = DOCUMENT.read_text().partition(_START)
    DOCUMENT.write_text(before + _START + table() + _END + rest.partition(_END)[2])


if __name__ == "__main__":
    main()
