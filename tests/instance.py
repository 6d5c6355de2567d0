"""A whole NovaPulse for a test: `novapulse up` in a folder of its own, on a port of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

START_LIMIT_S = 90.0
STOP_LIMIT_S = 20.0


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment without anybody's NovaPulse settings, with these."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    return own | {f"NOVAPULSE_{name.upper()}": value for name, value in settings.items()}


class Instance:
    """One `novapulse up`."""

    def __init__(self, folder: Path, *, command: list[str] | None = None, **settings: str) -> None:
        self.folder = folder
        self.port = int(settings.pop("port", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = command or [sys.executable, "-m", "novapulse.cli"]
        self.environment = clean_environment(data_dir=str(folder / "data"), port=str(self.port), **settings)
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def process(self) -> psutil.Process:
        """The supervisor."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def output(self) -> str:
        """Everything that was printed so far."""
        return "\n".join(self.lines)

    def launch(self) -> None:
        """Start it, without waiting."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lines = []
        self._process = subprocess.Popen(
            [*self.command, "up"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_ready(self) -> float:
        """Wait until it says that it is ready; returns the seconds it took."""
        began = time.monotonic()
        while not any("ready at" in line for line in self.lines):
            assert self._process is not None
            if self._process.poll() is not None:
                self._join()
                raise AssertionError(f"it ended with code {self._process.returncode}:\n{self.output}")
            if time.monotonic() - began > START_LIMIT_S:
                self.kill()
                raise AssertionError(f"it is not ready after {START_LIMIT_S} s:\n{self.output}")
            time.sleep(0.02)
        return time.monotonic() - began

    def start(self) -> float:
        """Start it and wait until it is healthy; returns the seconds it took."""
        self.launch()
        return self.wait_ready()

    def wait_end(self) -> int:
        """Wait until it has ended by itself; returns the exit code."""
        assert self._process is not None
        code = self._process.wait(START_LIMIT_S)
        self._join()
        return code

    def children(self) -> dict[str, psutil.Process]:
        """The processes by name: web, worker, scheduler, valkey."""
        found: dict[str, psutil.Process] = {}
        for child in self.process.children():
            try:
                words = child.cmdline()
            except psutil.Error:  # it has just died
                continue
            name = "valkey" if words and "valkey-server" in words[0] else words[-1] if words else "?"
            found[name] = child
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Stop it as a person would; returns the seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(STOP_LIMIT_S)
        took = time.monotonic() - began
        self._join()
        return took

    def kill(self) -> None:
        """Kill the supervisor; its children die with it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_LIMIT_S)
            self._join()

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join(5)
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def run(self, *arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
        """Another command of the same NovaPulse."""
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            input=options.get("stdin", ""),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def setup_link(self) -> str | None:
        """The printed one-time link, if there is one."""
        match = re.search(r"https?://\S+/setup#token=\S+", self.output)
        return match[0] if match else None

    def api_key(self, *scopes: str) -> str:
        """A fresh API key."""
        result = self.run("apikey", "create", "--name", "test", *(word for s in scopes for word in ("--scope", s)))
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def client(self, key: str = "") -> httpx.Client:
        """An HTTP client for its API."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=15, trust_env=False)


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Instance]:
    """An instance that is healthy, stopped at the end whatever happens."""
    instance = Instance(folder, **settings)
    try:
        instance.start()
        yield instance
    finally:
        instance.kill()
