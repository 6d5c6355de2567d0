"""The gate: the outermost ASGI layer, before Reflex and the API see anything.

Sockets need a trusted origin and a live session; the cookie is taken off and the session's public
id put in its place, under a name that Reflex keeps to itself, so that no credential is ever pickled,
logged or echoed. A session that ends takes its open sockets with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novapulse.core.lifecycle import Lifecycle
from novapulse.core.problems import AWAY
from novapulse.core.runtime import Runtime, current
from novapulse.metrics.definitions import SOCKETS, SOCKETS_REFUSED
from novapulse.security import csp, sessions
from novapulse.security.authenticate import cookie_name
from novapulse.security.origins import is_trusted_origin
from novapulse.security.unavailable import unavailable

SESSION_HEADER = "x-auth-request-access-token"
ENROL_PAGE = "/settings/security/enrol"
_SOCKET_PATH = "/_event"
_PUBLIC_PREFIXES = (
    *("/api/", "/assets/", "/_health", "/ping", "/metrics"),
    *("/login", "/setup", "/forgot", "/reset", "/invite", "/confirm-email", "/stop-reset"),
)
# Files of the build; whatever else has a dot in it is a page all the same.
_PUBLIC_SUFFIXES = (".css", ".ico", ".js", ".json", ".map", ".png", ".svg", ".txt", ".webmanifest", ".woff", ".woff2")
_SOCKETS_PER_SESSION = 40
_FRAME_MAX = 256 * 1024  # bytes
_FRAMES_PER_S, _FRAMES_BURST = 20.0, 200.0
_RECHECK_S = 15.0  # how often an open socket's session is looked up: it may have run out
_STRIPPED = {b"cookie", b"authorization", SESSION_HEADER.encode()}
# RFC 6455, 7.4.1 policy violation: the client must not simply come back.
_POLICY_VIOLATION = 1008
# IANA's WebSocket Close Code Number Registry, service restart: the client comes back at once.
_SERVICE_RESTART = 1012
_CUT_AT_ONCE, _CUT_PAUSE_S = 50, 0.02  # so that those who come back do not all come in one moment

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-frame-options": "DENY",
}
_HSTS = "max-age=31536000"
_COOP = "same-origin"

log = structlog.get_logger(__name__)


class Gate:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, page_policy: str = csp.NO_SCRIPT) -> None:
        """`page_policy` is the Content-Security-Policy of the pages; everything else runs no inline script."""
        self._app = app
        self._page_policy = page_policy
        self._sockets: dict[str, set[asyncio.Event]] = {}
        self._listening = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        rt = current()
        path: str = scope["path"]
        secure = rt.settings.base_url.startswith("https://")
        life = rt.part(Lifecycle)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if _is_page(scope):
                    # Left to guess, a browser shows a page from its cache after the session has ended.
                    headers.setdefault("cache-control", "no-cache")
                    headers.setdefault("content-security-policy", self._page_policy)
                headers.setdefault("content-security-policy", csp.NO_SCRIPT)
                if secure:
                    headers["strict-transport-security"] = _HSTS
                    # Browsers ignore it without TLS, and complain on the console.
                    headers["cross-origin-opener-policy"] = _COOP
                if life.state == "draining" and scope["http_version"].startswith("1"):
                    headers["connection"] = "close"  # the next request goes to a process that stays
            await send(message)

        refusal: Response | None = None
        if path.startswith(("/_upload", _SOCKET_PATH)):
            # Files go through the API, and sockets through a websocket, where the origin can be checked.
            refusal = PlainTextResponse("Not found", 404)
        elif _is_page(scope):
            try:
                live = await _session_of(rt, scope)
            except AWAY:
                refusal = unavailable()
            else:
                elsewhere = _elsewhere(scope, live)
                refusal = RedirectResponse(elsewhere, 303, {"cache-control": "no-store"}) if elsewhere else None
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        if _is_page(scope) and not path.endswith("/"):
            # A page is a folder of the build. Asked for without the slash, it would be answered by a redirect to the
            # whole address with the scheme of this connection, which behind a proxy with TLS is not the browser's.
            scope = {**scope, "path": path + "/"}
        if not path.startswith("/api/") and path != "/metrics":
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in _STRIPPED]}
        await self._app(scope, receive, send_with_headers)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        rt = current()
        headers = Headers(scope=scope)
        live = await _session_of(rt, scope)
        trusted = is_trusted_origin(rt.settings, headers.get("origin", ""), headers.get("host", ""))
        if not trusted or live is None or not scope["path"].startswith(_SOCKET_PATH):
            why = "origin" if not trusted else "no session"
            SOCKETS_REFUSED.add(1, why.replace(" ", "_"))
            log.info("socket_refused", why=why, origin=headers.get("origin", "")[:100])
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        life = self._listen(rt)
        if life.closing:
            await receive()
            await send({"type": "websocket.close", "code": _SERVICE_RESTART})
            return
        mine = self._sockets.setdefault(live.session_id, set())
        if len(mine) >= _SOCKETS_PER_SESSION:
            SOCKETS_REFUSED.add(1, "too_many")
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        ended = asyncio.Event()
        mine.add(ended)
        SOCKETS.add(1)
        kept = [pair for pair in scope["headers"] if pair[0] not in _STRIPPED]
        kept.append((SESSION_HEADER.encode(), live.session_id.encode()))
        try:
            guarded = _Socket(rt, live, ended, receive, send)
            await self._app({**scope, "headers": kept}, guarded.receive, guarded.send)
            await guarded.finish()
        finally:
            mine.discard(ended)
            SOCKETS.add(-1)
            if not mine:
                self._sockets.pop(live.session_id, None)

    def _listen(self, rt: Runtime) -> Lifecycle:
        life = rt.part(Lifecycle)
        if not self._listening:
            self._listening = True
            sessions.on_revoked(rt, self._cut)
            life.on_closing(self._cut_all)
        return life

    def _cut(self, session_id: str) -> None:
        for ended in self._sockets.get(session_id, ()):
            ended.set()

    async def _cut_all(self) -> None:
        everybody = [ended for mine in self._sockets.values() for ended in mine]
        for number, ended in enumerate(everybody, 1):
            ended.set()
            if number % _CUT_AT_ONCE == 0:
                await asyncio.sleep(_CUT_PAUSE_S)


class _Socket:
    """One open socket: its frames are limited, and it ends with its session."""

    def __init__(self, rt: Runtime, live: sessions.Live, ended: asyncio.Event, receive: Receive, send: Send) -> None:
        self._rt = rt
        self._session_id = live.session_id
        self._enrolling = live.must_enrol
        self._ended = ended
        self._receive = receive
        self._send = send
        self._pending: asyncio.Task[MutableMapping[str, Any]] | None = None
        self._waiting = asyncio.create_task(ended.wait())
        self._allowance = _FRAMES_BURST
        self._counted_at = time.monotonic()
        self._closed = False

    async def receive(self) -> Message:
        """The next message; a disconnect once the session has ended or the limits are passed."""
        while True:
            if self._pending is None:
                self._pending = asyncio.ensure_future(self._receive())  # pyright: ignore[reportArgumentType]
            await asyncio.wait({self._pending, self._waiting}, timeout=_RECHECK_S, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.is_set():
                if self._rt.part(Lifecycle).closing:
                    return await self._close("server stops", _SERVICE_RESTART)
                return await self._close("session ended")
            if self._pending.done():
                message, self._pending = self._pending.result(), None
                if message["type"] == "websocket.receive" and not self._allows(message):
                    return await self._close("too much")
                return message
            live = await sessions.find_by_id(self._rt, self._session_id)
            if live is None:
                return await self._close("session ended")
            if live.must_enrol and not self._enrolling:
                # It may come back, and is told of nothing until there is a second factor.
                return await self._close("must enrol")

    async def send(self, message: Message) -> None:
        """Pass on what the application sends, until the socket is closed."""
        if not self._closed and not self._ended.is_set():
            await self._send(message)

    async def finish(self) -> None:
        """Give back what waits."""
        for task in (self._waiting, self._pending):
            if task is not None:
                task.cancel()

    async def _close(self, why: str, code: int = _POLICY_VIOLATION) -> Message:
        if not self._closed:
            self._closed = True
            log.info("socket_closed", why=why, session=self._session_id)
            if self._pending is not None:
                # Granian sends no close frame as long as somebody waits for a message.
                self._pending.cancel()
            await self._send({"type": "websocket.close", "code": code})
        return {"type": "websocket.disconnect", "code": code}

    def _allows(self, message: Message) -> bool:
        now = time.monotonic()
        self._allowance = min(_FRAMES_BURST, self._allowance + (now - self._counted_at) * _FRAMES_PER_S) - 1
        self._counted_at = now
        size = len(message.get("text") or message.get("bytes") or "")
        return self._allowance >= 0 and size <= _FRAME_MAX


def _is_page(scope: Scope) -> bool:
    """Whether this is a page of the app, which only those who are signed in may load; files of the build are public."""
    path: str = scope["path"]
    return not path.startswith(_PUBLIC_PREFIXES) and not path.endswith(_PUBLIC_SUFFIXES)


def _elsewhere(scope: Scope, live: sessions.Live | None) -> str | None:
    """Where who asks for this page has to go first: to the sign-in, or to set up the second factor required of them."""
    path: str = scope["path"]
    if live is not None and (not live.must_enrol or path.rstrip("/") == ENROL_PAGE):
        return None
    target = path + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
    first = "/login" if live is None else ENROL_PAGE
    return first if target == "/" else f"{first}?next={quote(target, safe='')}"


async def _session_of(rt: Runtime, scope: Scope) -> sessions.Live | None:
    try:
        cookies = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    except CookieError:
        return None
    morsel = cookies.get(cookie_name(rt.settings))
    return None if morsel is None else await sessions.find_by_token(rt, morsel.value)
