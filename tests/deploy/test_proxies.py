"""Caddy and nginx take what deploy/ has for them, and Caddy does by it what it should."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import trustme

from tests.deploy.tools import DEPLOY, program, run
from tests.instance import free_port

CADDYFILE = DEPLOY / "caddy" / "Caddyfile"


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    nginx = program("nginx", "nginx")
    site = (DEPLOY / "nginx" / "novapulse.conf").read_text()
    certificate = trustme.CA().issue_cert("hooks.example.com")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "fullchain.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "privkey.pem")
    site = site.replace("/etc/ssl/novapulse", str(tmp_path)).replace("http2", "")  # nginx-light has none
    for port in (80, 443):
        site = site.replace(f"listen {port}", f"listen {free_port()}")
    site = "\n".join(line for line in site.splitlines() if "listen [::]" not in line)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ access_log off; error_log stderr;\n{site}\n}}\n"
    )
    said = run(nginx, "-t", "-e", "stderr", "-p", tmp_path, "-c", tmp_path / "nginx.conf")
    assert "syntax is ok" in said
    assert "[warn]" not in said


class _Web(ThreadingHTTPServer):
    """Stands for a web process."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.name, self.ready, self.asked = name, True, 0


class _Answers(BaseHTTPRequestHandler):
    server: _Web

    def do_GET(self) -> None:
        probe = self.path == "/api/v1/health/ready"
        self.server.asked += probe
        status = 503 if probe and not self.server.ready else 200
        body = json.dumps({"name": self.server.name, "headers": dict(self.headers.items())}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Not to the terminal."""


@contextmanager
def _caddy(folder: Path, webs: list[_Web]) -> Iterator[httpx.Client]:
    port = free_port()
    # Not its usual ports: others may have them, and its own certificates are of no interest here.
    text = CADDYFILE.read_text().replace("grace_period 10s", "grace_period 1s\n\tadmin off\n\tauto_https off", 1)
    (folder / "Caddyfile").write_text(text)
    environment = {
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "NOVAPULSE_SITE": f"http://127.0.0.1:{port}",
        "NOVAPULSE_UPSTREAMS": " ".join(f"127.0.0.1:{web.server_port}" for web in webs),
    }
    command = [program("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    for web in webs:
        threading.Thread(target=web.serve_forever, daemon=True).start()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=15) as client:
            _until(lambda: process.poll() is not None or _answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(15)
        for web in webs:
            web.shutdown()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


def _until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_caddy_sends_to_who_is_ready_and_keeps_the_metrics_in(tmp_path: Path) -> None:
    a, b = webs = [_Web("a"), _Web("b")]
    with _caddy(tmp_path, webs) as client:
        told = client.get("/", headers={"X-Forwarded-For": "203.0.113.9"})
        headers = told.json()["headers"]
        assert headers["X-Forwarded-For"] == "127.0.0.1", "one hop, and not what the client made up"
        assert headers["X-Forwarded-Proto"] == "http"
        assert headers["Host"] == client.base_url.netloc.decode()
        for path in ("/metrics", "/api/v1/metrics"):
            assert client.get(path).status_code == 404
        # One that drains gets nothing new.
        a.ready = False
        asked = a.asked
        _until(lambda: a.asked > asked)
        assert {client.get("/").json()["name"] for _ in range(8)} == {"b"}
        a.ready = True
        _until(lambda: client.get("/").json()["name"] == "a")
        # One that is gone costs nobody a request.
        b.shutdown()
        b.server_close()
        assert {client.get("/").json()["name"] for _ in range(8)} == {"a"}


def test_caddy_takes_it_as_it_is() -> None:
    adapted = json.loads(run(program("caddy", "caddy"), "adapt", "--config", CADDYFILE).splitlines()[-1])
    assert adapted["apps"]["http"]["servers"]["srv0"]["listen"] == [":443"]
    run(program("caddy", "caddy"), "validate", "--adapter", "caddyfile", "--config", CADDYFILE)
