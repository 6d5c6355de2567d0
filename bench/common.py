"""What the benchmarks share: a sink that answers at once, a NovaPulse of their own, figures."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

EMAIL, PASSWORD = "bench@example.com", "correct horse battery staple 7"


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """nginx answering 200 to everything; yields its URL."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        sys.exit("The benchmarks need nginx as a sink that is faster than both sides: apt-get install nginx")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "nginx.conf"
        config.write_text(
            f"worker_processes 1; daemon off; pid {folder}/pid; error_log stderr; events {{ worker_connections 4096; }}"
            f" http {{ access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/body;"
            f" proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;"
            f" scgi_temp_path {folder}/s; client_body_buffer_size 64k;"
            f' server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok"; }} }} }}'
        )
        process = subprocess.Popen([nginx, "-p", folder, "-c", str(config)])
        try:
            wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/").status_code == 200)
            yield f"http://127.0.0.1:{port}/ok"
        finally:
            process.terminate()
            process.wait()


def wait_for(check: object, timeout_s: float = 120) -> None:
    """Wait until `check()` is true; an exception counts as not yet."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            if check():  # type: ignore[operator]
                return
        time.sleep(0.05)
    raise TimeoutError("waited in vain")


@dataclass
class Instance:
    """A running `novapulse up`."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    key: str

    def client(self) -> httpx.Client:
        """A client with an API key that may do everything."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=60)

    def children(self, word: str) -> list[psutil.Process]:
        """The processes of this instance whose command line has `word` as an argument."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in found if word in child.cmdline()]


@contextlib.contextmanager
def novapulse(**settings: str) -> Iterator[Instance]:
    """A NovaPulse in an empty folder, on a free port, that may send to loopback."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "NOVAPULSE_DATA_DIR": folder,
            "NOVAPULSE_PORT": str(port),
            "NOVAPULSE_ADMIN_EMAIL": EMAIL,
            "NOVAPULSE_ADMIN_PASSWORD": PASSWORD,
            "NOVAPULSE_ALLOW_PRIVATE_NETWORKS": "127.0.0.0/8",
            "NOVAPULSE_LOG_LEVEL": "warning",
            # What a load generator does is too much for anybody, but the limit of taking events in is measured.
            "NOVAPULSE_LIMIT_PUBLIC": "off",
            "NOVAPULSE_LIMIT_API": "off",
            "NOVAPULSE_LIMIT_INGEST": "60000000/60s",
            **settings,
        }
        command = [sys.executable, "-m", "novapulse.cli"]
        process = subprocess.Popen([*command, "up"], env=environment, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}/api/v1"
            wait_for(lambda: httpx.get(f"{url}/health/ready").status_code == 200)
            made = subprocess.run(
                [*command, "apikey", "create", "--name", "bench", "--scope", "*"],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            yield Instance(url, Path(folder), process, made.stdout.strip())
        finally:
            process.terminate()
            process.wait(30)
