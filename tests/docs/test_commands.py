"""Every command of the documents works: those for a shell are run, of the others what is ours is parsed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer

from novapulse.cli import app
from tests.docs.commands import ROOT, Block, blocks
from tests.instance import Instance, running
from tests.receiver import Receiver, receiving

DOCUMENTS = {document: list(of) for document, of in groupby(blocks("sh"), key=lambda block: block.document)}
_OURS = re.compile(r"(?<![\w./-])(?:\.venv/bin/|uv run )?novapulse (?P<rest>[^|;&)<>#]*)")
_SUBSTITUTED = ("http://127.0.0.1:8000", "https://hooks.example.com")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("docs"), allow_private_networks="127.0.0.1/32") as found:
        found.environment["KEY"] = found.api_key("*")
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_to_be_typed_works(document: str, instance: Instance, receiver: Receiver, tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "novapulse"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m novapulse.cli "$@"\n')
    command.chmod(0o755)
    script = "\n".join(f"echo '@{block.line}' >&2\n{_here(block, instance, receiver)}" for block in DOCUMENTS[document])
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=tmp_path,
        env=instance.environment | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    at = re.findall(r"^@(\d+)$", done.stderr, re.MULTILINE)
    assert done.returncode == 0, (
        f"{document}, the block at line {at[-1]}:\n{done.stderr[-2000:]}\n{done.stdout[-2000:]}"
    )


def _here(block: Block, instance: Instance, receiver: Receiver) -> str:
    text = block.body.replace(".venv/bin/novapulse", "novapulse")
    for address in _SUBSTITUTED:
        text = text.replace(address, instance.url)
    return text.replace("http://127.0.0.1:9000/", receiver.url())


@pytest.mark.parametrize(
    "block", [*blocks("sh"), *blocks("console")], ids=lambda block: f"{block.document}:{block.line}"
)
def test_what_is_ours_in_it_exists(block: Block) -> None:
    for words in _commands(block.body):
        _parse(words)
    for path in re.findall(r"(?<![\w/.-])((?:deploy|docs|tests)/[\w./-]*\w)", block.body):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"^make ([a-z]+)", block.body, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def _commands(text: str) -> Iterator[list[str]]:
    """What is given to `novapulse`, wherever it stands in a line."""
    for line in text.replace("\\\n", " ").splitlines():
        for found in re.finditer(
            r"(?<![\w./-])(?:\.venv/bin/|uv run )?novapulse (?P<rest>[^|;&)<>#]*)", line.partition(" #")[0]
        ):
            try:
                words = shlex.split(re.sub(r"\$\{?\w+\}?", "1", found["rest"]))
            except ValueError:
                words = found["rest"].split()
            yield words


def _parse(words: list[str]) -> None:
    """Let the command line take the words, without doing anything."""
    command: Any = typer.main.get_command(app)
    rest = words
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    alone = not getattr(command, "commands", None) or getattr(command, "invoke_without_command", False)
    assert alone or "--help" in rest, f"there is no command `novapulse {' '.join(words)}`"
    if "--help" not in rest:
        command.make_context(command.name or "", list(rest))
