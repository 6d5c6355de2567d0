"""The frontend, built once, works on any port, host name and behind TLS: by a real nginx and a real browser."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from novapulse.launch import frontend
from tests import browser as chromium
from tests.instance import Instance, free_port, running
from tests.proxy import certificate

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx"),
]

EMAIL, PASSWORD = "ada@example.com", "an uncommonly long phrase 42"
NAME = "hooks.novapulse.test"
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "configuration.md"


@dataclass(frozen=True)
class House:
    """A NovaPulse with an nginx in front that speaks TLS on two ports and plain HTTP on one."""

    instance: Instance
    tls: int
    plain: int
    tls_default: bool  # whether 443 could be had


def _documented_location() -> str:
    """The `location` block that the documentation tells people to use: that one has to work."""
    block = re.search(r"```nginx\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert block is not None
    location = re.search(r"location / \{.*?\n    \}", block[1], re.DOTALL)
    assert location is not None
    return location[0]


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _nginx(folder: Path, upstream: int, tls: list[int], plain: int) -> subprocess.Popen[bytes]:
    cert, key = certificate(folder, NAME)
    location = _documented_location().replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    listens = "".join(f"listen 127.0.0.1:{port} ssl;\n" for port in tls)
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{}}
        http {{
          access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{
            {listens}
            ssl_certificate {cert}; ssl_certificate_key {key};
            {location}
          }}
          server {{
            listen 127.0.0.1:{plain};
            {location}
          }}
        }}
        """
    )
    process = subprocess.Popen(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", plain)) == 0:
                return process
        assert process.poll() is None, (folder / "error.log").read_text()
        time.sleep(0.05)
    pytest.fail("nginx does not start")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)
    tls, plain, default = free_port(), free_port(), _can_bind(443)
    origins = [f"https://{NAME}:{tls}", f"https://localhost:{tls}"]
    with running(
        tmp_path_factory.mktemp("proxied"),
        admin_email=EMAIL,
        admin_password=PASSWORD,
        public_url=f"https://{NAME}",
        allowed_origins=",".join(origins),
        trusted_proxy_hops="1",
    ) as instance:
        nginx = _nginx(tmp_path_factory.mktemp("nginx"), instance.port, [tls, *([443] if default else [])], plain)
        try:
            yield House(instance, tls, plain, default)
        finally:
            nginx.terminate()
            nginx.wait(10)


@pytest.fixture(scope="module")
def chrome(playwright: Playwright) -> Iterator[Browser]:
    path = chromium.find()
    if path is None:
        pytest.fail("there is no Chromium; `make browser` installs one")
    launched = playwright.chromium.launch(
        executable_path=path, args=[*chromium.ARGUMENTS, f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
    )
    yield launched
    launched.close()


def _lives_at(chrome: Browser, origin: str) -> str:
    """Sign in at this address and open the first page; returns the address of the socket that data came through."""
    context = chrome.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        page.goto(f"{origin}/login")
        status = page.evaluate(
            """([email, password]) => fetch("/api/v1/auth/login", {
                method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({email, password}),
            }).then((answer) => answer.status)""",
            [EMAIL, PASSWORD],
        )
        assert status == 200
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        with page.expect_websocket() as caught:
            page.goto(f"{origin}/")
        socket_ = caught.value
        # The first frames only open the connection; a state delta is a real answer of the server.
        socket_.wait_for_event("framereceived", lambda frame: "delta" in str(frame), timeout=15_000)
        assert not socket_.is_closed()
        assert page.url == f"{origin}/"
        assert errors == []
        return socket_.url
    finally:
        context.close()


def test_another_host_name_behind_tls_on_another_port(house: House, chrome: Browser) -> None:
    assert _lives_at(chrome, f"https://{NAME}:{house.tls}").startswith(f"wss://{NAME}:{house.tls}/_event")


def test_localhost_behind_tls_on_another_port(house: House, chrome: Browser) -> None:
    assert _lives_at(chrome, f"https://localhost:{house.tls}").startswith(f"wss://localhost:{house.tls}/_event")


def test_a_page_is_answered_where_it_was_asked_for(house: House) -> None:
    origin = f"https://{NAME}:{house.tls}"
    with house.instance.client() as client:
        client.headers["Origin"] = f"https://{NAME}"
        signed_in = client.post("/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
        cookie = signed_in.headers["set-cookie"].partition(";")[0]
        for path in ("/webhooks", "/webhooks/new", "/webhooks?status=paused"):
            answer = client.get(path, headers={"Cookie": cookie, "Host": origin.removeprefix("https://")})
            assert answer.status_code == 200, answer.headers.get("location")


def test_the_default_tls_port(house: House, chrome: Browser) -> None:
    if not house.tls_default:
        pytest.skip("port 443 cannot be had")
    assert _lives_at(chrome, f"https://{NAME}").startswith(f"wss://{NAME}/_event")


def test_plain_http_on_another_host_name_and_port(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, chrome: Browser
) -> None:
    plain = free_port()
    address = f"http://{NAME}:{plain}"
    with running(tmp_path, admin_email=EMAIL, admin_password=PASSWORD, public_url=address) as instance:
        nginx = _nginx(tmp_path_factory.mktemp("nginx"), instance.port, [free_port()], plain)
        try:
            assert _lives_at(chrome, address).startswith(f"ws://{NAME}:{plain}/_event")
        finally:
            nginx.terminate()
            nginx.wait(10)


def test_without_a_proxy_on_any_port(tmp_path: Path, chrome: Browser) -> None:
    with running(tmp_path, admin_email=EMAIL, admin_password=PASSWORD) as instance:
        assert _lives_at(chrome, instance.url).startswith(f"ws://127.0.0.1:{instance.port}/_event")
        assert _lives_at(chrome, f"http://localhost:{instance.port}").startswith(
            f"ws://localhost:{instance.port}/_event"
        )


def test_an_origin_that_is_not_ours_gets_no_socket(house: House, chrome: Browser) -> None:
    context = chrome.new_context(ignore_https_errors=True)
    try:
        page = context.new_page()
        page.goto(f"http://{NAME}:{house.plain}/login")
        opened = page.evaluate(
            """(address) => new Promise((done) => {
                const socket = new WebSocket(address);
                socket.onopen = () => done("open");
                socket.onerror = () => done("refused");
            })""",
            f"ws://127.0.0.1:{house.instance.port}/_event/?EIO=4&transport=websocket&token=x",
        )
        assert opened == "refused"
    finally:
        context.close()
