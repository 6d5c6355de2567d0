"""The documents as a site: every link leads somewhere, and what is made from the code is that of the code."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.commands import ROOT


@pytest.mark.slow
def test_every_link_leads_somewhere_and_no_page_loads_from_elsewhere(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr + built.stdout
    pages = {page.relative_to(tmp_path): page.read_text() for page in tmp_path.rglob("*.html")}
    assert len(pages) > 15
    loaded = ('<script src="http', '<link rel="stylesheet" href="http', '<img src="http', '@import "http')
    assert [(name, tag) for name, text in pages.items() for tag in loaded if tag in text] == []
    assert b"mermaid" in (tmp_path / "assets" / "mermaid.min.js").read_bytes()


def test_the_tables_of_settings_are_those_of_the_code() -> None:
    reference = runpy.run_path(str(ROOT / "docs" / "reference.py"))
    document = (ROOT / "docs" / "configuration.md").read_text()
    assert reference["written"](document) == document, "run `make docs`"
