"""The code that the dashboard gives receivers to verify with does verify."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from novapulse.webhooks.screens.verification import EXAMPLES
from novapulse.webhooks.signing import Signer, new_secret
from tests.instance import free_port

CODE = {example.key: example.code for example in EXAMPLES}
SECRET = new_secret()
BODY = '{"type":"invoice.paid","timestamp":"2026-01-01T00:00:00Z","data":{"name":"Zoë","big":12345678901234567890}}'


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The Python example, running as it is but for its port; its address."""
    port = free_port()
    file = tmp_path_factory.mktemp("receiver") / "receiver.py"
    file.write_text(CODE["python"].replace("8000", str(port)))
    process = subprocess.Popen([sys.executable, file], env=os.environ | {"WEBHOOK_SECRET": SECRET})
    url = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(url, trust_env=False)
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline, "the receiver did not start"
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait()


def post(url: str, secrets: list[str], *, body: str = BODY, at: float | None = None) -> int:
    """Deliver as the engine does; the receiver's status."""
    timestamp = int(at or time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": Signer(secrets).sign("evt_1", timestamp, BODY.encode()),
    }
    return httpx.post(url, content=body.encode(), headers=headers, trust_env=False).status_code


def test_the_python_example_takes_what_we_signed_and_nothing_else(receiver: str) -> None:
    assert post(receiver, [SECRET]) == 204
    assert post(receiver, [new_secret(), SECRET]) == 204, "during a rotation there are two signatures"
    assert post(receiver, [new_secret()]) == 400
    assert post(receiver, [SECRET], body=BODY + " ") == 400
    assert post(receiver, [SECRET], at=time.time() - 3600) == 400


def _run_curl(receiver: str, secret: str, folder: Path) -> str:
    script = folder / "send.sh"
    script.write_text(CODE["curl"].replace("http://localhost:8000/", receiver))
    environment = os.environ | {"WEBHOOK_SECRET": secret, "no_proxy": "*"}
    done = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.splitlines()[0]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="there is no curl or openssl here")
def test_the_curl_example_signs_as_we_do(receiver: str, tmp_path: Path) -> None:
    assert "204" in _run_curl(receiver, SECRET, tmp_path)
    assert "400" in _run_curl(receiver, new_secret(), tmp_path)


def test_every_example_takes_the_secret_from_the_environment() -> None:
    assert [example.name for example in EXAMPLES] == ["Python", "Node", "Go", "Ruby", "PHP", "curl"]
    for example in EXAMPLES:
        assert "WEBHOOK_SECRET" in example.code, example.name
        assert "whsec_A" not in example.code
