"""One place for the version, and what a release has to agree on."""

from __future__ import annotations

import importlib.util
import shutil
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.deploy.tools import DEPLOY, ROOT


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("novapulse_release", DEPLOY / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_has_the_version_of_the_project(release: ModuleType) -> None:
    assert release.faults(ROOT) == []
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    assert [each["version"] for each in locked if each["name"] == "novapulse"] == [release.version(ROOT)]


def test_a_release_is_set_checked_and_told_of(release: ModuleType, tmp_path: Path) -> None:
    files = ["pyproject.toml", "CHANGELOG.md", "deploy/helm/novapulse/Chart.yaml"]
    for name in [*files, "deploy/compose/compose.yaml", "deploy/compose/env.example"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    release.write(tmp_path, "7.8.9")
    assert release.version(tmp_path) == "7.8.9"
    assert release.faults(tmp_path, "v7.8.9") == []
    told = release.section((tmp_path / "CHANGELOG.md").read_text(), "7.8.9")
    assert told.startswith("### Added")
    assert "7.8.9" not in told
    # What does not agree is named.
    assert release.faults(tmp_path, "v7.8.10") == ["the tag is v7.8.10, the version 7.8.9"]
    chart = tmp_path / "deploy/helm/novapulse/Chart.yaml"
    chart.write_text(chart.read_text().replace("appVersion: 7.8.9", "appVersion: 7.8.8"))
    changes = tmp_path / "CHANGELOG.md"
    changes.write_text(changes.read_text().replace("## [7.8.9]", "## [7.8.7]"))
    assert release.faults(tmp_path, "v7.8.9") == [
        "deploy/helm/novapulse/Chart.yaml says 7.8.8 where pyproject.toml says 7.8.9",
        "CHANGELOG.md says nothing of 7.8.9",
    ]
