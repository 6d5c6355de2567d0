"""Checks before anything is started: can the data folder be used, and by us alone; is the port free."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

from novapulse.launch.errors import StartError

LOCK_FILE = "novapulse.lock"


def check_data_dir(data_dir: Path) -> None:
    """Make the data folder if it is missing, and try to write in it.

    Raises:
        StartError: it cannot be made, or not be written in.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = data_dir / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"The data folder {data_dir} cannot be written ({error.strerror}).",
            "Give this user the right to write there, or choose another with NOVAPULSE_DATA_DIR.",
        ) from error


def lock_data_dir(data_dir: Path) -> int:
    """Take the data folder for this process; returns the file descriptor that holds the lock until it is closed.

    Raises:
        StartError: another NovaPulse holds it.
    """
    handle = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise StartError(
            f"The data folder {data_dir} is in use by another NovaPulse{f' (process {holder})' if holder else ''}.",
            "Stop that one, or choose another folder with NOVAPULSE_DATA_DIR.",
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def check_port(host: str, port: int, *, shared: bool = False) -> None:
    """Bind the address once, to learn now and not from a crashed child that it cannot be had.

    Shared: a process that this one replaces may still have it.

    Raises:
        StartError: the port is taken or not ours to take, or the address is not one of this machine.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                # It must not listen: it would be given connections.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            probe.bind(address)
            if not shared:
                probe.listen(1)
    except OSError as error:
        raise _port_error(host, port, error) from error


def _port_error(host: str, port: int, error: OSError) -> StartError:
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"Port {port} on {host} is taken by another program.",
            "Stop that program, or choose another port with NOVAPULSE_PORT.",
        )
    if error.errno == errno.EACCES:
        return StartError(
            f"Port {port} on {host} may not be used by this user.", "Choose a port above 1023 with NOVAPULSE_PORT."
        )
    return StartError(
        f"Cannot listen on {host} ({error.strerror}).", "Set NOVAPULSE_HOST to an address of this machine."
    )
