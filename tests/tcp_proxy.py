"""A network that can be broken: a TCP proxy that passes on, delays, hangs or hangs up, as it is told while it runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Mode = Literal["pass", "cut", "hang"]
_PIECE = 1 << 16


class Proxy:
    """`port` of this machine leads to a unix socket or to another port."""

    def __init__(self, target: str | int) -> None:
        self.port = 0
        self.delay_s = 0.0  # of each answer
        self._target = target
        self._mode: Mode = "pass"
        self._open = asyncio.Event()
        self._end = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    def become(self, mode: Mode) -> None:
        """`pass` on from now; `cut`: end what is open and refuse what comes; `hang`: take all and answer nothing."""

        def change() -> None:
            self._mode = mode
            (self._open.set if mode == "pass" else self._open.clear)()
            if mode == "cut":
                for writer in self._writers:
                    writer.transport.abort()

        self._loop.call_soon_threadsafe(change)

    async def serve(self, started: threading.Event) -> None:
        """Until it is stopped."""
        self._open.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._end.wait()
        server.close()
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mode == "cut":
                return
            await self._open.wait()
            there = (
                await asyncio.open_unix_connection(self._target)
                if isinstance(self._target, str)
                else await asyncio.open_connection("127.0.0.1", self._target)
            )
            self._writers.add(there[1])
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer, answers=True))
        except (OSError, asyncio.CancelledError):
            pass  # its other end is gone, or the test is over
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, answers: bool = False) -> None:
        """Bytes arrive late, but none waits for the one before: it is the network that is slow, not its width."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        loop = asyncio.get_running_loop()

        async def write() -> None:
            while True:
                due, piece = await queue.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._open.wait()
                if not piece:
                    break
                to.write(piece)
                await to.drain()

        writing = asyncio.create_task(write())
        try:
            while True:
                piece = await source.read(_PIECE)
                await queue.put((loop.time() + (self.delay_s if answers else 0.0), piece))
                if not piece:
                    break
            await writing
        finally:
            writing.cancel()
            to.transport.abort()

    def run(self, started: threading.Event) -> None:
        """The thread of the proxy."""
        self._loop.run_until_complete(self.serve(started))
        self._loop.close()

    def stop(self) -> None:
        """End it with all that is open."""
        self._loop.call_soon_threadsafe(self._end.set)


@contextmanager
def proxied(target: str | int) -> Iterator[Proxy]:
    """A proxy before a unix socket (its path) or a port of this machine."""
    proxy, started = Proxy(target), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(started,), daemon=True)
    thread.start()
    assert started.wait(5)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(5)
