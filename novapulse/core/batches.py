"""Deleting much, a little at a time: whoever takes work in or records it never waits long for the one who tidies up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

AT_ONCE = 1_000  # rows in one transaction
_AT_A_STRETCH_S = 30.0


async def in_batches(step: Callable[[], Awaitable[int]], at_once: int = AT_ONCE) -> int:
    """Repeat `step` until it did less than a whole batch of `at_once`, or for half a minute; the sum of what it did.

    Between two steps it waits as long as the step took: others have the database for at least half of the time.
    """
    done, end = 0, time.monotonic() + _AT_A_STRETCH_S
    while True:
        started = time.monotonic()
        n = await step()
        done += n
        if n < at_once or time.monotonic() > end:
            return done
        await asyncio.sleep(time.monotonic() - started)
