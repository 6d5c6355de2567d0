"""Telling whoever started a process that it is ready, and, to systemd, that its event loop still turns.

To the supervisor by a pipe, to systemd by its socket (sd_notify(3): `Type=notify`, `WatchdogSec=`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from novapulse.launch.notify import READY_FD, notify

_LOOK_EVERY_S = 0.05


async def tell(is_ready: Callable[[], bool]) -> None:
    """Say once that this process is ready, then, where systemd wants to hear it, that it lives."""
    while not is_ready():  # noqa: ASYNC110 - who is asked is made meanwhile
        await asyncio.sleep(_LOOK_EVERY_S)
    handle = os.environ.pop(READY_FD, None)
    if handle is not None:
        with suppress(OSError):  # the supervisor has lost its patience
            os.write(int(handle), b".")
            os.close(int(handle))
    notify("READY=1")
    watchdog_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    while watchdog_us:
        notify("WATCHDOG=1")
        await asyncio.sleep(watchdog_us / 1e6 / 3)
