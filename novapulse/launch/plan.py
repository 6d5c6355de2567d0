"""What the supervisor has to know, handed to it by the command line as JSON.

The supervisor lives as long as NovaPulse does, so it imports neither pydantic nor anything else that is large: the
command line checks the settings and then becomes the supervisor by `exec`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """One start of NovaPulse."""

    data_dir: str
    host: str
    port: int
    address: str  # how people reach it, to print
    valkey_socket: str  # of the embedded Valkey; empty: an own server is used
    workers: int  # processes
    shutdown_timeout_s: float
    drain_s: float  # of the web process, before that
    lock_fd: int  # holds the lock of the data folder; never passed on

    def to_json(self) -> str:
        """For the command line of the supervisor."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The opposite of `to_json`."""
        return cls(**json.loads(text))
