"""How fast one webhook may be sent to: concurrency that adapts, a circuit breaker, and a rate.

The aim is that a slow or dead receiver holds few of the slots that all webhooks share. Pure but for
the clock it is given; each worker process keeps its own, the shared rate limit is in `rate.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from novapulse.webhooks.engine.claim import Claim
from novapulse.webhooks.outcome import ErrorCode, Outcome

_SLOW_MS = 1_000.0  # a failure that takes this long holds a slot for nothing
_OPEN_AFTER = 10  # slow failures in a row that open the circuit
_OPEN_FIRST_MS = 1_000
_OPEN_MAX_MS = 15_000
_WAIT_MS = 1_000.0  # how long what waits in memory may take to be sent at the present speed
_UNREACHABLE = frozenset({ErrorCode.TIMEOUT, ErrorCode.CONNECT, ErrorCode.DNS, ErrorCode.TLS})


@dataclass(slots=True)
class Pace:
    """The state of one webhook in one worker process."""

    limit_max: int  # most deliveries at once
    limit: float = 0.0  # deliveries at once now: halves on slow failures, grows on success (AIMD)
    running: int = 0
    waiting: deque[Claim] = field(default_factory=deque[Claim])
    slow_failures: int = 0  # in a row
    open_until: int = 0  # ms; deliveries before it are put off
    open_for: int = 0  # ms; length of the last opening
    mean_ms: float = 250.0  # moving average of an attempt's duration
    put_off_until: int = 0  # ms; where the next put-off delivery is planned

    def __post_init__(self) -> None:
        self.limit = float(self.limit_max)

    def may_start(self) -> bool:
        """Whether another delivery may be sent now."""
        return self.running < max(1, int(self.limit))

    def may_wait(self) -> bool:
        """Whether another delivery may wait in memory for its turn."""
        return len(self.waiting) * self.mean_ms < max(1, int(self.limit)) * _WAIT_MS

    def is_open(self, now: int) -> bool:
        """Whether the circuit is open: nothing is sent until it has been so for its time."""
        return now < self.open_until

    def put_off(self, now: int) -> int:
        """When (ms) a delivery that finds no room is tried again: one after the other, at the present speed."""
        step = self.mean_ms / max(1, int(self.limit))
        earliest = max(now + 250, self.open_until)
        self.put_off_until = max(earliest, min(self.put_off_until + max(1, round(step)), now + _OPEN_MAX_MS))
        return self.put_off_until

    def learn(self, outcome: Outcome, now: int) -> None:
        """Take in how an attempt went."""
        self.mean_ms += (outcome.duration_ms - self.mean_ms) / 16
        slow_failure = outcome.error in _UNREACHABLE or (not outcome.ok and outcome.duration_ms >= _SLOW_MS)
        if not slow_failure:
            self.slow_failures = 0
            self.open_for = 0
            self.limit = min(float(self.limit_max), self.limit + 1)
            return
        self.slow_failures += 1
        self.limit = max(1.0, self.limit / 2)
        if self.slow_failures >= _OPEN_AFTER and not self.is_open(now):
            self.open_for = min(max(_OPEN_FIRST_MS, self.open_for * 2), _OPEN_MAX_MS)
            self.open_until = now + self.open_for
