"""Each way in which a set-up is commonly broken, broken for real: the doctor names it and says what to do."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from novapulse.core.migrations import upgrade
from novapulse.core.runtime import Runtime
from novapulse.launch import doctor, doctor_stores
from novapulse.launch.doctor import examine_with
from novapulse.launch.findings import Finding
from novapulse.settings import Settings
from tests.conftest import fresh_postgres, make_settings
from tests.fleet import valkey_server
from tests.instance import free_port
from worker import keys

Told = dict[str, list[Finding]]


async def told(settings: Settings) -> Told:
    """What the doctor says, by subject."""
    found: Told = {}
    async for finding in examine_with(settings):
        assert finding.level == "ok" or finding.remedy, f"{finding.detail} - and then?"
        found.setdefault(finding.subject, []).append(finding)
    return found


def bad(found: Told, subject: str, level: str = "problem") -> str:
    """The one thing that is wrong there, with what to do."""
    (finding,) = [each for each in found[subject] if each.level != "ok"]
    assert finding.level == level, finding
    return f"{finding.detail} {finding.remedy}"


@pytest.fixture
def settings_of(rt: Runtime) -> Callable[..., Settings]:
    """Settings on good stores, but for what is given."""
    rt.settings.data_dir.chmod(0o700)

    def make(**given: Any) -> Settings:
        return make_settings(
            rt.settings.data_dir, **({"redis_url": rt.settings.redis_url, "port": free_port()} | given)
        )

    return make


async def test_a_sound_set_up_has_no_problem(settings_of: Callable[..., Settings]) -> None:
    found = await told(settings_of())
    for subject in ("data folder", "disk", "database", "key", "Valkey", "clock (Valkey)", "proxy", "mail"):
        assert [each.level for each in found[subject]] == ["ok"], found[subject]
    assert "NOVAPULSE" not in found["processes"][0].detail
    assert bad(found, "processes", "warning").startswith("No scheduler and no worker runs")
    assert bad(found, "server", "warning").startswith("Nothing listens on port")


@contextmanager
def _asking_for_passwords(rules: Path, role: str) -> Iterator[None]:
    """Postgres trusts everybody on this machine, but for this role."""
    before = rules.read_text()
    rules.write_text(f"local all {role} scram-sha-256\n{before}")
    try:
        yield
    finally:
        rules.write_text(before)


async def test_databases_that_cannot_be_used(
    settings_of: Callable[..., Settings], postgres_url: str, tmp_path: Path
) -> None:
    async def of(url: str) -> str:
        return bad(await told(settings_of(database_url=url)), "database")

    assert "NOVAPULSE_DATABASE_URL cannot be used" in await of("postgres")
    away = await of("postgresql://np:s3cret@127.0.0.1:1/np")  # pragma: allowlist secret
    assert "Start it, or correct NOVAPULSE_DATABASE_URL" in away
    assert "s3cret" not in away

    head, _, query = postgres_url.partition("?")
    missing = await of(f"{head.rsplit('/', 1)[0]}/nowhere?{query}")
    assert '"nowhere" does not exist' in missing
    assert "Make that database" in missing

    connection = await asyncpg.connect(postgres_url)
    rules = Path(await connection.fetchval("SHOW hba_file"))
    await connection.execute("DROP ROLE IF EXISTS np_doctor")
    await connection.execute("CREATE ROLE np_doctor LOGIN PASSWORD 'right'")  # pragma: allowlist secret
    with _asking_for_passwords(rules, "np_doctor"):
        await connection.execute("SELECT pg_reload_conf()")
        url = postgres_url.replace("postgres:@", "np_doctor:wr0ng@")
        assert url != postgres_url
        deadline = time.monotonic() + 10
        while "password authentication failed" not in (refused := await of(url)):
            assert time.monotonic() < deadline, refused
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    assert "Correct the user and password" in refused
    assert "wr0ng" not in refused

    behind = await fresh_postgres(postgres_url)
    assert "novapulse db upgrade" in await of(behind)
    ahead = f"sqlite:///{tmp_path / 'ahead.db'}"
    await asyncio.to_thread(upgrade, ahead.replace("sqlite:", "sqlite+aiosqlite:"))
    with sqlite3.connect(tmp_path / "ahead.db") as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    file.close()
    assert "newer NovaPulse" in await of(ahead)


async def test_valkeys_that_cannot_be_used(
    settings_of: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def of(url: str, level: str = "problem") -> str:
        return bad(await told(settings_of(redis_url=url)), "Valkey", level)

    away = await of("redis://:s3cret@127.0.0.1:1/0")  # pragma: allowlist secret
    assert "cannot be reached" in away
    assert "s3cret" not in away
    assert "NOVAPULSE_REDIS_URL cannot be used" in await of("127.0.0.1:6379")
    with valkey_server(tmp_path / "guarded", "--requirepass", "right") as url:
        refused = await of(url.replace("redis://", "redis://:wr0ng@"))
        assert "refuses the password" in refused
        assert "wr0ng" not in refused
    with valkey_server(tmp_path / "cache", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as url:
        evicts = await of(url)
        assert "allkeys-lru" in evicts
        assert "`maxmemory-policy noeviction`" in evicts
        monkeypatch.setattr(doctor_stores, "OLDEST_SERVER", (99, 0))
        findings = (await told(settings_of(redis_url=url)))["Valkey"]
        assert any("99.0 is the oldest that works" in each.detail for each in findings)
        monkeypatch.undo()
    with valkey_server(tmp_path / "forgetful", "--appendonly", "no") as url:
        assert "keeps nothing on disk" in await of(url, "warning")
    with valkey_server(tmp_path / "cluster", "--cluster-enabled", "yes") as url:
        assert "redis+cluster://" in await of(url)


async def test_clocks_that_disagree(settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("novapulse.core.clock.now_ms", lambda: time.time_ns() // 1_000_000 - 30_000)
    found = await told(settings_of())
    assert "30.0 s ahead of this machine's" in bad(found, "clock (Valkey)")
    assert "time server" in bad(found, "clock (Valkey)")


async def test_keys_folders_and_disks(
    settings_of: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    assert (await told(settings_of(secret_key=first)))["key"][0].level == "ok"
    wrong = bad(await told(settings_of(secret_key=second)), "key")
    assert "not the secret key" in wrong
    assert second not in wrong

    settings = settings_of(secret_key=first)
    settings.data_dir.chmod(0o755)
    assert f"chmod go= {settings.data_dir}" in bad(await told(settings), "data folder")
    settings.data_dir.chmod(0o700)
    (tmp_path / "file").write_text("no folder")
    found = await told(make_settings(tmp_path / "file", redis_url=settings.redis_url))
    assert "cannot be written" in bad(found, "data folder")
    assert "database" not in found, "without a folder nothing else can be said"

    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(1 << 40, 1 << 20))
    assert "The disk is full" in bad(await told(settings_of(secret_key=first)), "disk")
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(1 << 40, 200 << 20))
    assert "nearly full" in bad(await told(settings_of(secret_key=first)), "disk", "warning")


class _Usage:
    def __init__(self, total: int, free: int) -> None:
        self.total, self.free = total, free


async def test_ports_pages_proxies_and_mail(
    settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = bad(await told(settings_of(port=port)), "server")
    assert f"Port {port} on 127.0.0.1 is taken" in taken
    assert "NOVAPULSE_PORT" in taken

    monkeypatch.setattr(doctor.frontend, "is_present", lambda: False)
    assert "no compiled frontend" in bad(await told(settings_of()), "frontend")

    https = bad(await told(settings_of(public_url="https://hooks.example.com")), "proxy")
    assert "NOVAPULSE_TRUSTED_PROXY_HOPS" in https
    assert "NOVAPULSE_PUBLIC_URL" in bad(await told(settings_of(trusted_proxy_hops=1)), "proxy")
    fits = {"public_url": "https://hooks.example.com", "trusted_proxy_hops": 1}
    assert (await told(settings_of(**fits)))["proxy"][0].level == "ok"
    assert "pretend" in bad(await told(settings_of(**fits, host="0.0.0.0")), "proxy", "warning")
    refused = bad(await told(settings_of(smtp_url="smtp://127.0.0.1:1")), "mail")
    assert "127.0.0.1:1" in refused
    assert "NOVAPULSE_SMTP_URL" in refused


async def test_queues_that_nobody_works_on(settings_of: Callable[..., Settings], rt: Runtime) -> None:
    await rt.valkey.set(keys.worker("w-1"), b'{"queues": ["webhook", "email"]}')
    await rt.valkey.zadd(keys.WORKERS, {"w-1": (time.time() + 60) * 1000})
    found = await told(settings_of())
    assert "No worker for workflow, report" in bad(found, "workers", "warning")
    assert "novapulse worker --queues workflow,report" in bad(found, "workers", "warning")
    assert "novapulse scheduler" in bad(found, "scheduler")
    await rt.valkey.xadd(keys.stream("report"), {"data": "x"})
    assert "its jobs wait" in bad(await told(settings_of()), "workers")


def test_the_command_says_it_to_people_and_to_programs(
    settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from novapulse.cli import app

    settings = settings_of()
    for name, value in {
        "DATA_DIR": str(settings.data_dir),
        "REDIS_URL": settings.redis_url,
        "PORT": str(settings.port),
        "PUBLIC_URL": "https://hooks.example.com",
        "WORKERZ": "2",
    }.items():
        monkeypatch.setenv(f"NOVAPULSE_{name}", value)
    people = CliRunner().invoke(app, ["doctor"])
    assert people.exit_code == 1
    assert "problem  settings: NOVAPULSE_WORKERZ is no setting of NovaPulse; did you mean NOVAPULSE_WORKERS?" in (
        people.stdout
    )
    assert "-> Set NOVAPULSE_TRUSTED_PROXY_HOPS" in people.stdout
    programs = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert programs["sound"] is False
    assert {"subject", "level", "detail", "remedy"} == set(programs["findings"][0])
    monkeypatch.setenv("NOVAPULSE_WORKERS", "many")
    refused = CliRunner().invoke(app, ["doctor"])
    assert refused.exit_code == 1
    assert "NOVAPULSE_WORKERS cannot be used" in refused.stdout
