"""NovaPulse as it is deployed on several machines, here on one and without containers.

Any number of web, worker and scheduler processes on a Postgres and a Valkey server, behind the documented nginx. Each
process has a data folder of its own, as on a machine of its own; what they share is what the guide says they share.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from novapulse.launch import frontend, valkey
from tests.instance import clean_environment, free_port
from tests.proxy import certificate

NGINX = Path(__file__).parents[1] / "deploy" / "nginx" / "novapulse.conf"
EMAIL, PASSWORD = "ada@example.com", "an uncommonly long phrase 42"  # pragma: allowlist secret
START_LIMIT_S, STOP_LIMIT_S = 90.0, 40.0


class Process:
    """One process of the fleet, with the port on which it says how it is."""

    def __init__(self, fleet: Fleet, name: str, role: str, *arguments: str) -> None:
        self.name, self.role, self.port = name, role, free_port()
        self._log_path = fleet.folder / f"{name}.log"
        # The frontend is built before; `novapulse web` would look at each start whether its sources have changed.
        module = "novapulse.launch.child" if role == "web" else "novapulse.cli"
        self._command = [sys.executable, "-m", module, role, *arguments]
        ports = {"port": str(self.port)} if role == "web" else {"probe_port": str(self.port)}
        self.environment = fleet.environment | clean_environment(data_dir=str(fleet.folder / name), **ports)
        self._folder = fleet.folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it said."""
        return self._log_path.read_text()

    def start(self) -> None:
        """Start it, without waiting."""
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def is_ready(self) -> bool:
        """Whether it says that it is."""
        path = "/api/v1/health/ready" if self.role == "web" else "/health/ready"
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(self.url + path, trust_env=False, timeout=5).status_code == 200
        return False

    def wait_ready(self) -> None:
        """Wait until it is ready."""
        assert self.process is not None
        deadline = time.monotonic() + START_LIMIT_S
        while not self.is_ready():
            assert self.process.poll() is None, f"{self.name} ended:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.log[-3000:]}"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Tell it to stop, and wait until it has; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT_S)

    def restart(self) -> None:
        """As an operator does it: stop, wait, start, wait until ready."""
        assert self.stop() == 0, self.log[-3000:]
        self.start()
        self.wait_ready()


@dataclass
class Fleet:
    """All of it."""

    folder: Path
    environment: dict[str, str]
    url: str = ""
    processes: list[Process] = field(default_factory=list[Process])

    def add(self, name: str, role: str, *arguments: str) -> Process:
        """One more process, not started."""
        self.processes.append(Process(self, name, role, *arguments))
        return self.processes[-1]

    def of(self, role: str) -> list[Process]:
        """The processes of this role."""
        return [process for process in self.processes if process.role == role]

    def cli(self, *arguments: str, stdin: str = "") -> str:
        """Run a command of the CLI with the settings of the fleet; what it printed."""
        environment = self.environment | {"NOVAPULSE_DATA_DIR": str(self.folder / "cli")}
        command = [sys.executable, "-m", "novapulse.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, input=stdin, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def api_key(self, *scopes: str) -> str:
        """A fresh API key."""
        return self.cli("apikey", "create", "--name", "fleet", *(word for s in scopes for word in ("--scope", s)))

    def client(self, key: str = "") -> httpx.Client:
        """An HTTP client that comes by the proxy."""
        headers = {"Authorization": f"Bearer {key}"} if key else {"Origin": self.url}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=False)

    def end(self) -> None:
        """End all that still runs."""
        running = [each.process for each in self.processes if each.process is not None and each.process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def valkey_server(folder: Path, *options: str) -> Iterator[str]:
    """A Valkey that listens on TCP; its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [*valkey.server_command(valkey.binary_path(), folder / "valkey.sock", folder), "--port", str(port)]
    server = subprocess.Popen([*command, "--bind", "127.0.0.1", *options])
    try:
        deadline = time.monotonic() + 20
        while not _listens(port):
            assert server.poll() is None, (folder / "valkey.log").read_text()
            assert time.monotonic() < deadline, "Valkey does not start"
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def nginx(folder: Path, webs: list[Process]) -> Iterator[str]:
    """The documented nginx in front of these; its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port, plain = free_port(), free_port()
    cert, key = certificate(folder, "localhost")
    conf = NGINX.read_text()
    servers = "\n".join(f"server 127.0.0.1:{web.port} max_fails=1 fail_timeout=1s;" for web in webs)
    documented = re.search(r"( +server 127\.0\.0\.1:\d+ .*\n)+", conf)
    assert documented is not None
    assert "max_fails=1 fail_timeout=1s" in documented[0]
    conf = conf.replace(documented[0], servers + "\n")
    conf = re.sub(r"listen \[::\].*;", "", conf)
    conf = conf.replace("listen 80;", f"listen 127.0.0.1:{plain};").replace("listen 443 ", f"listen 127.0.0.1:{port} ")
    conf = re.sub(r"ssl_certificate +\S+;", f"ssl_certificate {cert};", conf)
    conf = re.sub(r"ssl_certificate_key +\S+;", f"ssl_certificate_key {key};", conf)
    conf = conf.replace("server_name hooks.example.com", "server_name localhost")
    temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/nginx.pid; worker_processes 2; worker_rlimit_nofile 8192;\n"
        f"events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; {temporary}\n{conf}\n}}\n"
    )
    # nginx gives up root in its workers, which write there.
    for each in (folder, *folder.parents):
        if each.owner() == "root" and each.parts[-1] not in ("/", "tmp"):
            each.chmod(0o755)
    server = subprocess.Popen(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"])
    try:
        url = f"https://localhost:{port}"
        deadline = time.monotonic() + 20
        while True:
            assert server.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < deadline, "nginx does not start"
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(url, verify=False, trust_env=False)
                break
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def has_nginx() -> bool:
    """Whether there is one."""
    return shutil.which("nginx") is not None


def trust_anybody() -> ssl.SSLContext:
    """For clients of the test's own certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def fleet(
    folder: Path,
    database_url: str,
    redis_url: str,
    *,
    webs: int = 2,
    workers: int = 2,
    schedulers: int = 1,
    **settings: str,
) -> Iterator[Fleet]:
    """A fleet that is ready behind its nginx, with an admin; ended at the end."""
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)
    given = {
        "database_url": database_url,
        "redis_url": redis_url,
        "secret_key": base64.b64encode(os.urandom(32)).decode(),
        "reports_dir": str(folder / "reports"),
        "trusted_proxy_hops": "1",
        "drain_s": "2",
        "allow_private_networks": "127.0.0.0/8",
        **settings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = Fleet(folder, clean_environment(**given))
    made.cli("db", "upgrade")
    made.cli("user", "create", "--email", EMAIL, "--role", "admin", stdin=PASSWORD + "\n")
    kinds = {"web": webs, "worker": workers, "scheduler": schedulers}
    # The proxy's address is public, so the processes must know it before they are made.
    planned = [(f"{role}-{number}", role) for role, count in kinds.items() for number in range(1, count + 1)]
    processes = [made.add(name, role) for name, role in planned]
    with nginx(folder / "nginx", made.of("web")) as url:
        made.url = url
        made.environment["NOVAPULSE_PUBLIC_URL"] = url
        for process in processes:
            process.environment["NOVAPULSE_PUBLIC_URL"] = url
        try:
            for process in processes:
                process.start()
            for process in processes:
                process.wait_ready()
            yield made
        finally:
            made.end()
