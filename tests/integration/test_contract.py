"""The API does what its OpenAPI document says: generated calls, valid and not, to the real application."""

from __future__ import annotations

import asyncio
import copy
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, assume, settings
from schemathesis.checks import CHECKS, load_all_checks
from starlette.routing import Mount

from novapulse.api import make_api
from novapulse.core import logging
from novapulse.settings import Settings
from tests.calls import ORIGIN, calling
from tests.conftest import make_settings, migrated
from tests.integration.test_authorization import PUBLIC

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_MOUNT = make_api(Settings(data_dir=Path(tempfile.gettempdir()))).routes[0]
assert isinstance(_MOUNT, Mount)
DOCUMENT: dict[str, Any] = _MOUNT.app.openapi()  # type: ignore[attr-defined]
load_all_checks()
# A URL, a cursor or a span of time can be wrong in ways that no JSON Schema can say.
EXCLUDED = CHECKS.get_by_names(["positive_data_acceptance"])

# Credentials are ours: who may call what is tested in `test_authorization.py`.
_OPEN: dict[str, Any] = copy.deepcopy(DOCUMENT)
del _OPEN["components"]["securitySchemes"]
for _operation in (operation for path in _OPEN["paths"].values() for operation in path.values()):
    _operation.pop("security", None)
# `/health` is 503 here, as it should be: there is no worker; `/health/ready` too: nothing has been started.
schema = schemathesis.openapi.from_dict(_OPEN).exclude(path=["/health", "/health/ready"])
Call = Callable[[schemathesis.Case], httpx.Response]


class _Loop:
    """An event loop in a thread: generated tests are not coroutines, and the application belongs to one loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Call]:
    """Sends a generated call to the application, with a key that may do everything."""
    loop = _Loop()
    # As many calls as are generated: that some are too many says nothing about the others.
    off = dict.fromkeys(("limit_sign_in", "limit_sign_in_all", "limit_sensitive", "limit_api", "limit_public"), "off")
    configured = make_settings(tmp_path_factory.mktemp("contract"), redis_url=valkey_url, **off)
    logging.configure(configured, "test")
    opening = migrated(configured)
    rt = loop.run(opening.__anext__())
    client_opening = calling(rt, "*")
    client: httpx.AsyncClient = loop.run(client_opening.__aenter__())

    def send(case: schemathesis.Case) -> httpx.Response:
        arguments = case.as_transport_kwargs(base_url=f"{ORIGIN}/api/v1")
        made = requests.Request(**arguments).prepare()
        assume("%0A" not in (made.url or ""))  # no part of a mount takes it: nothing of ours answers
        return loop.run(
            client.request(made.method or "", made.url or "", headers=dict(made.headers), content=made.body)
        )

    yield send
    loop.run(client_opening.__aexit__(None, None, None))
    loop.run(opening.aclose())
    loop.stop()


@schema.parametrize()
@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_every_operation_does_what_the_document_says(case: schemathesis.Case, call: Call) -> None:
    case.validate_response(call(case), excluded_checks=EXCLUDED)


def test_every_body_has_an_example() -> None:
    missing = []
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                reference = content["schema"].get("$ref") or content["schema"]["anyOf"][0]["$ref"]
                if not DOCUMENT["components"]["schemas"][reference.rsplit("/", 1)[-1]].get("examples"):
                    missing.append(f"{method.upper()} {path}")
    assert not missing


def test_the_document_says_which_calls_need_credentials() -> None:
    unsaid = {
        (method.upper(), f"/api/v1{path}")
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
        if not operation.get("security")
    }
    documented = {route for route in PUBLIC if route[1].removeprefix("/api/v1") in DOCUMENT["paths"]}
    assert unsaid == documented
