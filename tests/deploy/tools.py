"""What checks the files of deployment: programs of the dependency group `deploy`, and of the system."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def _missing(what: str, remedy: str) -> None:
    """Skip, but for CI, which has to have it."""
    if os.environ.get("CI"):
        pytest.fail(f"there is no {what}: {remedy}")
    pytest.skip(f"there is no {what}: {remedy}")


def module(name: str) -> Any:
    """A module of the group `deploy`."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return _missing(name, "`make tools` installs it")


def tool(name: str) -> str:
    """Path of a program of the group `deploy`."""
    found = Path(sysconfig.get_path("scripts")) / name
    if not found.exists():
        _missing(name, "`make tools` installs it")
    return str(found)


def program(name: str, package: str) -> str:
    """Path of a program that a Debian package brings."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        _missing(name, f"the Debian package {package} brings it")
    return str(found)


def run(*command: str | Path, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    """Run it; returns what it said. Fails the test, with that, where it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | (environment or {}),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
