"""What a process is told by who started it, and what it tells systemd. It imports little: the supervisor does, too."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY_FD = "NOVAPULSE_READY_FD"  # where a byte is to be written by who is ready


def notify(state: str) -> None:
    """Tell systemd, if it was systemd that started this process."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        # A name in the abstract namespace is written with an @.
        client.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
