"""One supervised child: started, watched, started again with growing pauses, stopped."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 30.0
_STABLE_AFTER_S = 30.0  # a child that lived this long starts again at once


class Child:
    """A process that is meant to run until it is told to stop."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes]], role: str = "") -> None:
        self.name = name
        self.role = role or name
        self.deaths = 0  # in a row, without a stable time between them
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = 0.0

    def start(self) -> None:
        """Start it now."""
        self._process = self._start()
        self._started_at = time.monotonic()

    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def tend(self) -> str | None:
        """Start it again if it died and its pause is over; returns a line for the log when there is news."""
        now = time.monotonic()
        if self._process is None:
            if now < self._start_at:
                return None
            self.start()
            return f"{self.name} started again"
        code = self._process.poll()
        if code is None:
            return None
        self._process = None
        self.deaths = 1 if now - self._started_at >= _STABLE_AFTER_S else self.deaths + 1
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (self.deaths - 1))
        self._start_at = now + pause
        return f"{self.name} {_describe(code)}; starting it again in {pause:.1f} s"

    def replace(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes] | None:
        """Go on with another process; returns the one from before, which is the caller's to end."""
        before, self._process = self._process, process
        self._started_at = time.monotonic()
        return before

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if there is still somebody to get it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def _describe(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
