"""Two web processes on one database and one Valkey: what ends on one has ended on the other."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.house import House, open_house
from tests.instance import Instance, clean_environment, free_port
from tests.tabs import tab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Beside:
    """The second web process, as far as a tab needs to know it."""

    url: str


@contextmanager
def _another_web(instance: Instance) -> Iterator[Beside]:
    port = free_port()
    (socket,) = instance.folder.rglob("valkey.sock")
    environment = clean_environment(
        data_dir=str(instance.folder / "data"), port=str(port), redis_url=f"unix://{socket}"
    )
    process = subprocess.Popen([*instance.command, "web"], cwd=instance.folder, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 60
        while True:
            assert time.monotonic() < end, "the second web process does not start"
            try:
                if httpx.get(f"{url}/api/v1/health/ready", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield Beside(url)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as made:
        yield made


async def test_a_session_revoked_on_one_is_dead_on_the_other_and_its_page_is_cut_off(house: House) -> None:
    with _another_web(house.instance) as other:
        me = {"Cookie": f"np_session={house.viewer}"}
        session_id = house.session_id(house.viewer)
        async with (
            httpx.AsyncClient(base_url=f"{other.url}/api/v1", headers=me, trust_env=False) as client,
            tab(other, house.viewer, "beside") as page,  # type: ignore[arg-type]
        ):
            await page.settle()
            assert (await client.get("/auth/me")).status_code == 200, "now it knows the session"
            answer = house.call("DELETE", f"/api/v1/security/sessions/{session_id}", house.viewer)
            assert answer.status_code == 204, answer.text
            began = time.monotonic()
            await asyncio.wait_for(page.closed.wait(), 15)
            while (await client.get("/auth/me")).status_code != 401:
                assert time.monotonic() - began < 15
            print(f"dead on the other process after {(time.monotonic() - began) * 1000:.0f} ms")
            assert time.monotonic() - began < 3, "told by Valkey, not found out by asking again"
