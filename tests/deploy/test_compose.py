"""Compose: valid by the specification, hardened, and wired to what exists."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from novapulse.launch.configuration import load_settings, unknown_settings
from tests.deploy.tools import DEPLOY, program, run, tool

FOLDER = DEPLOY / "compose"
FILE = FOLDER / "compose.yaml"
OURS = ("migrate", "web-a", "web-b", "worker", "scheduler")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def test_it_is_valid() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", FILE)


def test_everything_is_hardened_limited_and_watched(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        assert "test" in service["healthcheck"] or name == "migrate", name
        assert "privileged" not in service, name
        assert service.get("cap_add", ["NET_BIND_SERVICE"]) == ["NET_BIND_SERVICE"], name
        tag = re.sub(r"^\$\{.*:-(.*)\}$", r"\1", service["image"]).rpartition(":")[2]
        assert tag[0].isdigit() or tag.startswith("v"), f"{name} has no version"
    assert {name for name, each in compose["services"].items() if "ports" in each} == {"caddy", "grafana"}
    assert compose["networks"]["data"]["internal"]
    for store in ("postgres", "valkey"):
        assert compose["services"][store]["networks"] == ["data"]
        assert compose["services"][store]["user"] not in ("", "root", "0")


def test_two_of_everything(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["web-a"] == services["web-b"]
    assert services["caddy"]["environment"]["NOVAPULSE_UPSTREAMS"] == "web-a:8000 web-b:8000"
    for name in ("worker", "scheduler"):
        assert services[name]["deploy"]["replicas"] == 2
    for name in OURS[1:]:
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        settings = services[name]["environment"]
        grace = int(services[name]["stop_grace_period"].removesuffix("s"))
        assert grace > float(settings["NOVAPULSE_DRAIN_S"]) + float(settings["NOVAPULSE_SHUTDOWN_TIMEOUT_S"])


def test_what_is_named_is_there(compose: dict[str, Any], tmp_path: Path) -> None:
    shutil.copy(FOLDER / "secrets.sh", tmp_path)
    run("sh", tmp_path / "secrets.sh")
    used: set[str] = set()
    for name, service in compose["services"].items():
        used |= set(service.get("secrets", []))
        assert set(service["networks"]) <= set(compose["networks"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            there = (FOLDER / source).exists() if source.startswith(".") else source in compose["volumes"]
            assert there, f"{name}: {source}"
        for other in service.get("depends_on", {}):
            assert other in compose["services"], name
    assert used == set(compose["secrets"])
    for secret in compose["secrets"].values():
        assert (tmp_path / secret["file"]).exists(), secret


def test_prometheus_finds_the_processes(compose: dict[str, Any]) -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    web, *others = scraped["scrape_configs"]
    assert web["static_configs"] == [{"targets": ["web-a:8000", "web-b:8000"]}]
    assert web["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
    port = int(compose["services"]["worker"]["environment"]["NOVAPULSE_PROBE_PORT"])
    found = {(config["names"][0], config["port"]) for each in others for config in each["dns_sd_configs"]}
    assert found == {("worker", port), ("scheduler", port)}
    for name in ("web-a", "worker", "scheduler"):
        assert "watch" in compose["services"][name]["networks"]
    # As it is checked where it is mounted, but for the key, which is a file of the container.
    assert all(each["job_name"].startswith("novapulse") for each in scraped["scrape_configs"])
    run(program("promtool", "prometheus"), "check", "config", "--syntax-only", FOLDER / "prometheus.yml")


def test_the_secrets_and_the_environment_are_settings_that_start(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "secrets"
    run("sh", FOLDER / "secrets.sh", folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    run("sh", FOLDER / "secrets.sh", folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before, "a second time changes nothing"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    environment = {
        name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
        for name, value in compose["services"]["worker"]["environment"].items()
    }
    assert unknown_settings(environment) == []
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NOVAPULSE_SECRETS_DIR", str(folder))
    settings = load_settings()
    assert settings.public_url == "https://localhost"
    assert settings.database.startswith("postgresql+asyncpg://novapulse:")
    assert settings.database.endswith("@postgres:5432/novapulse")
    assert before["postgres_password"] in settings.database_url
    assert before["valkey_conf"].split()[1] in settings.redis_url
    assert len(settings.secret_key.get_secret_value()) == 44
    names = set(compose["services"]["worker"]["secrets"])
    assert unknown_settings(name.upper() for name in names) == []
