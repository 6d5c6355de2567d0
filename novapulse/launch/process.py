"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ORPHAN_CHECK_S = 1.0


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _before_exec(parent: int) -> Callable[[], None]:
    prctl = _libc().prctl if sys.platform == "linux" else None  # loaded before the fork, not after it

    def prepare() -> None:
        # A process group of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops the others
        # in order.
        os.setpgid(0, 0)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died between fork and prctl
                os._exit(1)

    return prepare


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own; on Linux the kernel kills it when this process dies.

    SIGKILL and not SIGTERM, because nothing is left to insist if the child does not follow. Every part of NovaPulse is
    built to be killed at any moment.
    """
    return subprocess.Popen(  # noqa: S603 - our own commands
        list(command),
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        pass_fds=tuple(pass_fds),
        preexec_fn=_before_exec(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
    )


class Gate:
    """Holds children back after their imports until the stores are prepared, so that both take place at once."""

    VARIABLE = "NOVAPULSE_GATE_FD"

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._waiting = 0
        self.is_open = False

    def spawn(
        self, command: Sequence[str], env: Mapping[str, str], *, pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a child that calls `wait_for_go`."""
        if self.is_open:
            return spawn(command, env=env, pass_fds=pass_fds)
        self._waiting += 1
        return spawn(command, env={**env, self.VARIABLE: str(self._read)}, pass_fds=(self._read,))

    def open(self) -> None:
        """Let all go that wait, and all that come."""
        self.is_open = True
        os.write(self._write, b"." * self._waiting)
        os.close(self._write)
        os.close(self._read)


def wait_for_go() -> None:
    """Return when the supervisor has prepared everything; end the process if it never will."""
    handle = os.environ.pop(Gate.VARIABLE, None)
    if handle is None:
        return
    go = os.read(int(handle), 1)
    os.close(int(handle))
    if not go:
        os._exit(1)


def exit_with_parent() -> None:
    """Where the kernel has no parent-death signal (macOS), watch for it in a thread."""
    if sys.platform == "linux" or "NOVAPULSE_SUPERVISED" not in os.environ:
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
