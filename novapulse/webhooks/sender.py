"""Posting one delivery: the address that was checked is the address that is connected to.

pyreqwest (Rust's reqwest) is the client because it costs a fraction of the others' CPU per post. It
takes no resolver, only fixed addresses, so there is one client per (scheme, host, port, address).
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    ConnectError,
    ConnectTimeoutError,
    PyreqwestError,
)
from pyreqwest.http import HeaderMap

from novapulse.core.clock import now_ms
from novapulse.webhooks.guard import Guard, RefusedDestinationError, Target, UnresolvedNameError
from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.retry import parse_retry_after

_KEPT_BYTES = 16 * 1024  # of the response body
_HEADERS_KEPT = 64
_HEADER_CHARS = 1_024
_CONNECT_TIMEOUT = timedelta(seconds=5)
_IDLE_TIMEOUT = timedelta(seconds=20)
_CLIENTS_MAX = 512
_WITH_URL = "error sending request for url"  # of a cause that repeats the URL
_TLS_WORDS = ("certificate", "tls", "ssl", "handshake", "fatal alert", "corrupt message", "peer is incompatible")
_CHECKED_FOR_S = 5.0  # how long a checked address is used; DNS may have changed by then


class _Pinned:
    """A client for one address, with the number of requests that are using it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.users = 0
        self.evicted = False


@dataclass(slots=True)
class _Way:
    """Where a URL leads: checked a few seconds ago at most."""

    until: float  # on the monotonic clock
    url: str  # the canonical one: another spelling of the host would be looked up anew, unchecked
    address: str
    pinned: _Pinned


class Sender:
    """Posts deliveries; one per process, used concurrently."""

    def __init__(self, guard: Guard, *, user_agent: str, root_certificate_pem: bytes | None = None) -> None:
        """`root_certificate_pem`: a further certificate authority to trust, besides the usual ones."""
        self._guard = guard
        self._user_agent = user_agent
        self._root = root_certificate_pem
        self._clients: OrderedDict[tuple[str, str, int, str], _Pinned] = OrderedDict()
        self._ways: dict[str, _Way] = {}
        self._looking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Outcome:
        """POST `body`; whatever goes wrong is in the outcome. `timeout_s` bounds all of it.

        Raises:
            asyncio.CancelledError: the caller was cancelled; nothing else.
        """
        outcome = Outcome(started_at=now_ms(), duration_ms=0.0)
        started = time.perf_counter()
        try:
            way = self._ways.get(url)
            if way is None or way.until < time.monotonic() or way.pinned.evicted:
                way = await self._find_way(url, timeout_s)
            await self._post(way, body, headers, timeout_s, outcome, started)
        except TimeoutError as error:  # pyreqwest's are of this kind too
            # It calls its limit for everything a connect timeout as well; the time tells them apart.
            if isinstance(error, ConnectTimeoutError) and time.perf_counter() - started < timeout_s:
                why = "No connection within 5 s: wrong address, or a firewall that drops packets."
            else:
                why = f"No complete answer within {timeout_s:g} s."
            _fail(outcome, ErrorCode.TIMEOUT, why)
        except RefusedDestinationError as error:
            _fail(outcome, ErrorCode.REFUSED_DESTINATION, f"Refused: {error}.")
        except UnresolvedNameError as error:
            _fail(outcome, ErrorCode.DNS, f"{error}.")
        except PyreqwestError as error:
            _fail(outcome, *_explain(error))
        except Exception as error:  # a delivery must never be lost to a surprise
            _fail(outcome, ErrorCode.INTERNAL, f"{type(error).__name__}: {error}"[:300])
        outcome.duration_ms = (time.perf_counter() - started) * 1000
        outcome.timings["total"] = round(outcome.duration_ms, 2)
        return outcome

    async def close(self) -> None:
        """Close every connection."""
        pinned, self._clients = list(self._clients.values()), OrderedDict()
        for each in pinned:
            await each.client.close()

    async def _find_way(self, url: str, timeout_s: float) -> _Way:
        async with asyncio.timeout(timeout_s):
            target = self._guard.check_url(url)
            address = (await self._resolve(target))[0]
        if len(self._ways) >= _CLIENTS_MAX * 4:
            self._ways.clear()
        pinned = self._pinned(target, address)
        way = self._ways[url] = _Way(time.monotonic() + _CHECKED_FOR_S, target.url, address, pinned)
        return way

    async def _post(
        self, way: _Way, body: bytes, headers: dict[str, str], timeout_s: float, outcome: Outcome, started: float
    ) -> None:
        outcome.remote_address = way.address
        resolved_s = time.perf_counter() - started
        outcome.timings["resolve"] = round(resolved_s * 1000, 2)
        left = timedelta(seconds=max(0.001, timeout_s - resolved_s))
        pinned = way.pinned
        pinned.users += 1
        try:
            request = pinned.client.post(way.url).headers(headers).timeout(left).body_bytes(body)
            async with request.streamed_read_buffer_limit(_KEPT_BYTES).build_streamed() as response:
                outcome.timings["first_byte"] = round((time.perf_counter() - started) * 1000, 2)
                outcome.status_code = response.status
                outcome.response_headers = kept_headers = _kept_headers(response.headers)
                if "retry-after" in kept_headers:
                    outcome.retry_after_s = parse_retry_after(kept_headers["retry-after"], now_ms())
                _judge(outcome)
                reader = response.body_reader
                kept = b""
                while len(kept) <= _KEPT_BYTES and (chunk := await reader.read(_KEPT_BYTES + 1 - len(kept))):
                    kept += bytes(chunk)
                outcome.response_truncated = len(kept) > _KEPT_BYTES
                # NUL is not text for Postgres.
                outcome.response_body = kept[:_KEPT_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
        finally:
            pinned.users -= 1
            if pinned.evicted and pinned.users == 0:
                await pinned.client.close()

    async def _resolve(self, target: Target) -> list[str]:
        # One look-up serves all who wait for it.
        key = (target.host, target.port)
        looking = self._looking.get(key)
        if looking is None:
            looking = self._looking[key] = asyncio.ensure_future(self._guard.resolve(target))
            looking.add_done_callback(lambda _: self._looking.pop(key, None))
        return await asyncio.shield(looking)

    def _pinned(self, target: Target, address: str) -> _Pinned:
        key = (target.scheme, target.host, target.port, address)
        pinned = self._clients.get(key)
        if pinned is not None:
            self._clients.move_to_end(key)
            return pinned
        if len(self._clients) >= _CLIENTS_MAX:
            _, oldest = self._clients.popitem(last=False)
            oldest.evicted = True
            if oldest.users == 0:
                task = asyncio.ensure_future(oldest.client.close())
                task.add_done_callback(lambda _: None)
        builder = (
            ClientBuilder()
            .no_proxy()
            .follow_redirects(False)
            .referer(False)
            .gzip(False)
            .brotli(False)
            .deflate(False)
            .zstd(False)
            .connect_timeout(_CONNECT_TIMEOUT)
            .pool_idle_timeout(_IDLE_TIMEOUT)
            .tcp_nodelay(True)
            .user_agent(self._user_agent)
        )
        if not target.is_address:
            builder = builder.resolve(target.host, address, target.port)
        if self._root is not None:
            builder = builder.add_root_certificate_pem(self._root)
        pinned = self._clients[key] = _Pinned(builder.build())
        return pinned


def _judge(outcome: Outcome) -> None:
    status = outcome.status_code or 0
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        where = outcome.response_headers.get("location", "nowhere")
        _fail(outcome, ErrorCode.REDIRECT, f"Answered {status} to {where[:200]}; redirects are not followed.")
    else:
        _fail(outcome, ErrorCode.STATUS, f"Answered {status}.")


def _fail(outcome: Outcome, error: ErrorCode, detail: str) -> None:
    outcome.error, outcome.error_detail = error, detail


def _explain(error: PyreqwestError) -> tuple[ErrorCode, str]:
    causes = _causes(error)
    text = " ".join(cause for cause in causes if not cause.startswith(_WITH_URL)).lower()
    if any(word in text for word in _TLS_WORDS):
        return ErrorCode.TLS, f"No secure connection: {causes[-1]}."[:300]
    if isinstance(error, ConnectError):
        return ErrorCode.CONNECT, f"No connection: {causes[-1]}."[:300]
    return ErrorCode.PROTOCOL, f"The answer was not complete HTTP: {causes[-1]}."[:300]


def _causes(error: PyreqwestError) -> list[str]:
    details = getattr(error, "details", None) or {}
    found = [str(cause.get("message", cause)) for cause in details.get("causes") or []]
    return [text.rstrip(".") for text in found] or [str(error).rstrip(".")]


def _kept_headers(headers: HeaderMap) -> dict[str, str]:
    try:
        return {name: value[:_HEADER_CHARS] for name, value in islice(headers.items(), _HEADERS_KEPT)}
    except ValueError:  # a value that is not ASCII: legal, but pyreqwest reads ASCII only
        pass
    kept: dict[str, str] = {}
    for name in islice(headers, _HEADERS_KEPT):
        try:
            value = headers[name]
        except ValueError:
            value = "(not ASCII)"
        kept[name] = value[:_HEADER_CHARS]
    return kept
