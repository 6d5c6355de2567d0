"""Receivers that behave badly, on real sockets: each connection runs one script."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """A listening socket, and the head of every request that came in."""

    port: int = 0
    heads: list[str] = field(default_factory=list[str])


def answer(head: str, body: bytes = b"") -> bytes:
    """An HTTP answer with its length; `head` is the status line and further headers, a line each."""
    lines = "".join(f"{line}\r\n" for line in head.splitlines())
    return f"HTTP/1.1 {lines}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode("latin-1") + body


def saying(raw: bytes) -> Script:
    """Writes this and closes."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return script


OK = saying(answer("200 OK", b"ok"))


@asynccontextmanager
async def listening(
    script: Script, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Peer]:
    """Run the script for each request that has been read in full."""
    peer = Peer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            peer.heads.append(head)
            length = next((line[15:] for line in head.lower().splitlines() if line.startswith("content-length:")), "0")
            await reader.readexactly(int(length))
            await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
