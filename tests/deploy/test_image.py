"""The Dockerfile: what a linter says, and what is promised of the image. No engine runs here; docs/deploy.md says how
to build it."""

from __future__ import annotations

import fnmatch
import json
import re

from tests.deploy.tools import DEPLOY, ROOT, run, tool

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"


def _instructions(stage: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", stage, flags=re.MULTILINE))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in joined.splitlines() if line.strip()]


def test_the_linter_finds_nothing() -> None:
    assert run(tool("hadolint"), DOCKERFILE) == ""


def test_what_runs_has_no_rights_and_nothing_it_does_not_need() -> None:
    _, build, final = re.split(r"^FROM .*\n", DOCKERFILE.read_text(), flags=re.MULTILINE)
    instructions = _instructions(final)
    given = dict(instructions)
    assert given["USER"] == "10001:10001"
    assert given["STOPSIGNAL"] == "SIGTERM"
    assert given["ENTRYPOINT"] == '["novapulse"]'
    assert given["HEALTHCHECK"].endswith('CMD ["novapulse", "health"]')
    assert given["VOLUME"] == '["/data"]'
    copied = [value for name, value in instructions if name == "COPY"]
    assert copied[:2] == ["--from=build /opt/novapulse /opt/novapulse", "--from=build /sbom /usr/share/sbom"]
    assert not re.search(r"apt-get|curl|wget|ADD|node", final)
    assert "org.opencontainers.image.version" in given["LABEL"]
    # Nothing is resolved anew: the locks say what is installed.
    assert build.count("uv sync --quiet --frozen") == 2
    assert "--no-build-isolation" in build
    assert "--no-deps --no-index" in build


def test_all_that_is_copied_reaches_the_builder_and_nothing_else() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    def sent(name: str) -> bool:
        ignored = False
        for rule in rules:
            pattern = rule.removeprefix("!").removeprefix("**/")
            if fnmatch.fnmatch(name, pattern) or name.startswith(f"{pattern}/"):
                ignored = not rule.startswith("!")
        return not ignored

    for name in (
        "pyproject.toml",
        "uv.lock",
        "reflex.lock/package-lock.json",
        "LICENSE",
        "README.md",
        "hatch_build.py",
    ):
        assert sent(name), name
        assert (ROOT / name).is_file(), name
    assert sent("novapulse/cli.py")
    assert sent("deploy/docker/sbom_javascript.py")
    for name in (".git/config", ".venv/bin/python", ".env", "deploy/compose/secrets/x", ".novapulse/secret.key"):
        assert not sent(name), name
    assert not sent("novapulse/_frontend/stamp.json")


def test_the_list_of_javascript_has_every_package_with_its_hash() -> None:
    lock = ROOT / "reflex.lock" / "package-lock.json"
    bill = json.loads(run("python3", DEPLOY / "docker" / "sbom_javascript.py", lock))
    packages = json.loads(lock.read_text())["packages"]
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert len(bill["components"]) == len([path for path in packages if path]) > 100
    assert len({each["bom-ref"] for each in bill["components"]}) == len(bill["components"])
    react = next(each for each in bill["components"] if each["purl"].startswith("pkg:npm/react@"))
    assert len(react["hashes"][0]["content"]) == 128
    assert react["licenses"] == [{"expression": "MIT"}]
