"""The workflows of GitHub: valid, with the least rights, of no use to others; YAML in good form."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.deploy.tools import DEPLOY, ROOT, run, tool

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
_STYLE = """
extends: default
rules:
  line-length: {max: 140}
  document-start: disable
  truthy: {check-keys: false}
  braces: {max-spaces-inside: 1}
  comments: {min-spaces-from-content: 1}
  comments-indentation: disable
  indentation: {indent-sequences: consistent}
"""


def test_they_are_what_github_takes() -> None:
    check = tool("check-jsonschema")
    run(check, "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    run(check, "--builtin-schema", "vendor.dependabot", FOLDER / "dependabot.yml")


def test_nobody_can_use_them_against_us() -> None:
    run(tool("zizmor"), "--offline", "--no-progress", "--config", FOLDER / "zizmor.yml", FOLDER)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_rights_but_those_its_jobs_ask_for_and_ends(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name
        writes = {right for right, level in job["permissions"].items() if level == "write"}
        assert writes <= {"packages", "id-token", "attestations", "security-events", "contents"}, name
        assert "contents" not in writes or path.name == "release.yml"
        for step in job["steps"]:
            assert "@main" not in step.get("uses", "") and "@master" not in step.get("uses", ""), name
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}, name


def test_ci_does_what_is_done_at_home() -> None:
    steps = yaml.safe_load((FOLDER / "workflows" / "ci.yml").read_text())["jobs"]["all"]["steps"]
    assert steps[-1] == {"run": "bash .ci/run"}


def test_yaml_is_in_good_form() -> None:
    chart = DEPLOY / "helm" / "novapulse"
    files = [*FOLDER.rglob("*.yml"), *(DEPLOY / "compose").glob("*.y*ml"), *chart.glob("*.yaml"), *chart.glob("ci/*")]
    run(tool("yamllint"), "--strict", "--config-data", _STYLE, *files)
