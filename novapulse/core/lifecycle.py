"""In which part of its life a process is: what its probes answer, and whether it takes work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from novapulse.core.runtime import Runtime

State = Literal["starting", "ready", "draining"]


class Lifecycle:
    """The state of one process; made by `Runtime.part`. It only moves forward."""

    def __init__(self, _rt: Runtime) -> None:
        self.state: State = "starting"
        self.closing = False  # sockets are being told to go elsewhere
        self._draining = asyncio.Event()
        self._closers: list[Callable[[], Awaitable[None]]] = []

    def ready(self) -> None:
        """All that it needs at its start is done."""
        if self.state == "starting":
            self.state = "ready"

    def drain(self) -> None:
        """It ends soon: nothing new should be sent to it."""
        self.state = "draining"
        self._draining.set()

    async def wait_for_drain(self) -> None:
        """Return when `drain` was called."""
        await self._draining.wait()

    def on_closing(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have this called when what is open for long, such as sockets, must end."""
        self._closers.append(close)

    async def close_sockets(self) -> None:
        """Tell whoever is connected for long to come back, to another process or to the next one here."""
        self.closing = True
        for close in self._closers:
            await close()
