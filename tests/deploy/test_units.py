"""The units for systemd, looked at by systemd itself: sound, confined, and started by settings that load."""

from __future__ import annotations

import configparser
import shutil
from pathlib import Path

import pytest

from novapulse.launch.configuration import load_settings, unknown_settings
from tests.deploy.tools import DEPLOY, program, run

FOLDER = DEPLOY / "systemd"
INSTANCES = {
    "novapulse-web@.service": ("novapulse-web@8000.service", "novapulse-web@8001.service"),
    "novapulse-worker@.service": ("novapulse-worker@9401.service", "novapulse-worker@9402.service"),
}


def _options(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return dict(parser["Service"])


def _environment() -> dict[str, str]:
    lines = (FOLDER / "novapulse.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_systemd_finds_them_sound_and_confined(tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    for path in [*FOLDER.glob("*.service"), *FOLDER.glob("*.target")]:
        # The command is not installed here; whether it can be run is all that is not looked at.
        text = path.read_text().replace("/opt/novapulse/current/bin/novapulse", "/bin/true")
        for name in INSTANCES.get(path.name, (path.name,)):
            (tmp_path / name).write_text(text)
    for name in INSTANCES:
        shutil.copy(tmp_path / INSTANCES[name][0], tmp_path / name)
    units = sorted(str(path) for path in tmp_path.iterdir() if "@." not in path.name)
    assert run(analyze, "verify", "--man=no", *units, environment={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}) == ""
    for unit in units:
        if unit.endswith(".service"):
            run(analyze, "security", "--offline=yes", "--threshold=15", unit)  # 1.5 of 10


def test_each_is_told_what_it_needs_and_has_the_time_to_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = _environment()
    assert unknown_settings(environment) == []
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NOVAPULSE_SECRETS_DIR", str(tmp_path))
    settings = load_settings()
    for path in FOLDER.glob("*.service"):
        service = _options(path)
        role = path.name.removeprefix("novapulse-").removesuffix(".service").removesuffix("@")
        assert service["ExecStart"] == f"/opt/novapulse/current/bin/novapulse {role}"
        assert service["EnvironmentFile"] == "/etc/novapulse/novapulse.env"
        assert f"/var/lib/{service['StateDirectory']}" == str(settings.data_dir)
        if role == "prepare":
            continue
        assert (service["Type"], service["NotifyAccess"]) == ("notify", "main"), "it counts as started when it is ready"
        drain = settings.drain_s if role == "web" else 0
        assert int(service["TimeoutStopSec"].removesuffix("s")) > drain + settings.shutdown_timeout_s
        own = service["Environment"].split("=")
        assert unknown_settings(own[:1]) == []
        assert own[0] == ("NOVAPULSE_PORT" if role == "web" else "NOVAPULSE_PROBE_PORT")


def test_the_files_for_the_user_and_its_folders_are_taken(tmp_path: Path) -> None:
    sysusers, tmpfiles = program("systemd-sysusers", "systemd"), program("systemd-tmpfiles", "systemd")
    (tmp_path / "etc").mkdir()
    run(sysusers, f"--root={tmp_path}", FOLDER / "sysusers.conf")
    passwd = (tmp_path / "etc" / "passwd").read_text()
    assert passwd.startswith("novapulse:")
    assert ":/var/lib/novapulse:/usr/sbin/nologin" in passwd
    run(tmpfiles, "--create", f"--root={tmp_path}", FOLDER / "tmpfiles.conf")
    assert (tmp_path / "etc/novapulse/secrets").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "var/lib/novapulse").stat().st_mode & 0o777 == 0o700
