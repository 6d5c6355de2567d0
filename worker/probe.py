"""The port on which a process without a web answers probes: whether it lives, whether it is ready, and its metrics.

It is served by the process's own event loop, so that a loop that hangs answers no more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httptools
import orjson
import structlog

from novapulse.core.health import Health
from novapulse.core.lifecycle import Lifecycle
from novapulse.core.runtime import Runtime
from novapulse.launch.errors import StartError
from novapulse.metrics.render import CONTENT_TYPE, render

_NEEDED = {"database", "migrations", "valkey"}
_REQUEST_MAX = 8 * 1024  # bytes
_PATIENCE_S = 5.0  # with a client that does not say what it wants
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}

log = structlog.get_logger(__name__)


@asynccontextmanager
async def probes(rt: Runtime) -> AsyncGenerator[None]:
    """Answer probes for as long as this lasts, where a port is set.

    Raises:
        StartError: the port cannot be had.
    """
    host, port = rt.settings.probe_host, rt.settings.probe_port
    if not port:
        yield
        return
    try:
        server = await asyncio.start_server(lambda reader, writer: _serve(rt, reader, writer), host, port)
    except OSError as error:
        raise StartError(
            f"Probes cannot be answered on port {port} of {host} ({os.strerror(error.errno or 0)}).",
            "Set NOVAPULSE_PROBE_PORT to a free port, another one for each process of this machine, or to 0.",
        ) from error
    log.info("probes_answered", host=host, port=port)
    try:
        yield
    finally:
        server.close()


class _Request:
    """What httptools tells of one request."""

    def __init__(self) -> None:
        self.path = ""
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.path += url.decode("latin-1")

    def on_message_complete(self) -> None:
        self.complete = True


async def _serve(rt: Runtime, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, one answer, and the connection is closed."""
    try:
        request = _Request()
        parser = httptools.HttpRequestParser(request)
        read = 0
        async with asyncio.timeout(_PATIENCE_S):
            while not request.complete:
                data = await reader.read(_REQUEST_MAX)
                read += len(data)
                if not data or read > _REQUEST_MAX:
                    return
                parser.feed_data(data)
        method = parser.get_method().decode()
        status, type_, body = await _answer(rt, method, request.path.partition("?")[0])
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {type_}\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + (b"" if method == "HEAD" else body))
        await writer.drain()
    except (httptools.HttpParserError, OSError, TimeoutError):
        return  # who does not speak HTTP, or has gone, gets no answer
    finally:
        writer.close()


async def _answer(rt: Runtime, method: str, path: str) -> tuple[int, str, bytes]:
    if method not in ("GET", "HEAD"):
        return 405, "application/json", b"{}"
    if path == "/metrics":
        return 200, CONTENT_TYPE, await render(rt)
    state = rt.part(Lifecycle).state
    if path == "/health/live":
        return 200, "application/json", orjson.dumps({"status": "ok", "state": state})
    if path == "/health/ready":
        checks = await rt.part(Health).checks(_NEEDED)
        good = state == "ready" and all(check.ok for check in checks)
        report = {
            "status": "ok" if good else "failing",
            "state": state,
            "checks": {check.name: check.as_dict() for check in checks},
        }
        return 200 if good else 503, "application/json", orjson.dumps(report)
    return 404, "application/json", b"{}"
