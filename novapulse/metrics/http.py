"""Counting what the web answers. ASGI, outermost, so that refusals of the gate count too."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novapulse.core.http import ROUTE
from novapulse.metrics.definitions import HTTP_DURATION, HTTP_OPEN, HTTP_REQUESTS

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OPEN_PAGES = {"/login", "/setup", "/forgot", "/reset", "/invite", "/confirm-email", "/stop-reset"}


class CountRequests:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route: list[str] = []
        began, status, took = time.perf_counter(), 500, None

        async def watched(message: Message) -> None:
            nonlocal status, took
            if message["type"] == "http.response.start":
                status, took = message["status"], time.perf_counter() - began
            await send(message)

        HTTP_OPEN.add(1)
        try:
            await self._app({**scope, ROUTE: route}, receive, watched)
        finally:
            HTTP_OPEN.add(-1)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            named = route[0] if route else other_route(scope["path"])
            HTTP_REQUESTS.add(1, method, named, str(status))
            HTTP_DURATION.observe(time.perf_counter() - began if took is None else took, method, named)


def other_route(path: str) -> str:
    """What is not the API's, by its kind: an address is no label."""
    if path.startswith("/api/"):
        return "unknown"
    if path.rstrip("/") in _OPEN_PAGES:
        return path.rstrip("/")
    return "asset" if path.startswith(("/assets/", "/login/")) or "." in path else "page"
