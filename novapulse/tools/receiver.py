"""A small HTTP/1.1 server for POSTs on loopback: what `listen` and `demo` receive with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_HEAD_MAX = 64 * 1024
_BODY_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: int = 200
    body: bytes = b'{"received": true}'
    headers: dict[str, str] = field(default_factory=dict[str, str])


Handle = Callable[[Request], Awaitable[Reply]]


async def start_server(host: str, port: int, handle: Handle) -> asyncio.Server:
    """Serve until the server is closed.

    Raises:
        OSError: the port cannot be had.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                reply = await handle(request)
                writer.write(_render(reply))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the sender hung up, or did not speak HTTP: nothing to answer
        finally:
            writer.close()

    return await asyncio.start_server(serve, host, port, limit=_HEAD_MAX)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    request, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = request.split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _BODY_MAX:
        return None
    return Request(method, path, headers, await reader.readexactly(length))


def _render(reply: Reply) -> bytes:
    headers = {"content-type": "application/json", "content-length": str(len(reply.body)), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} NovaPulse\r\n{lines}\r\n".encode() + reply.body
