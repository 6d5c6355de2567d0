"""Posting one delivery: the address that was checked is the address that is connected to."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import certifi
import httpx

from novapulse.core import tracing
from novapulse.core.clock import now_ms
from novapulse.webhooks import traced
from novapulse.webhooks.guard import Guard, RefusedDestinationError, Target, UnresolvedNameError
from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.retry import parse_retry_after
from novapulse.webhooks.wire import Answer, BrokenAnswerError, ClosedError, Connection

_KEPT_BYTES = 16 * 1024  # of the response body
_HEADERS_KEPT = 64
_HEADER_CHARS = 1_024
_CONNECT_TIMEOUT_S = 5.0
_IDLE_S = 20.0  # how long an open connection waits for its next request
_IDLE_MAX = 512  # connections that wait, of all receivers together
_WAYS_MAX = 2_048
_CHECKED_FOR_S = 5.0  # how long a checked address is used; DNS may have changed by then
# What frames a request or says whom it is for is written here alone: given twice, two readers read two requests.
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


class _ConnectTimeoutError(Exception):
    """No connection in time."""


@dataclass(slots=True)
class _Way:
    """Where a URL leads: checked a few seconds ago at most."""

    until: float  # on the monotonic clock
    target: Target
    address: str
    start: bytes  # of a request, after its method: the path as it is written, the name as it was checked
    key: tuple[str, str, int, str]  # of the connections that lead there


class Sender:
    """Posts deliveries; one per process, used concurrently."""

    def __init__(self, guard: Guard, *, user_agent: str, root_certificate_pem: bytes | None = None) -> None:
        """`root_certificate_pem`: a further certificate authority to trust, besides the usual ones."""
        self._guard = guard
        self._user_agent = user_agent
        # The authorities of this system, and Mozilla's, for systems that come without any.
        self._tls = ssl.create_default_context()
        self._tls.load_verify_locations(certifi.where())
        if root_certificate_pem is not None:
            self._tls.load_verify_locations(cadata=root_certificate_pem.decode())
        self._tls.set_alpn_protocols(["http/1.1"])
        # Per scheme, name, port and address: a connection that was verified for one name is not used for another.
        # The last in is the first out: those that are left over run out.
        self._idle: defaultdict[tuple[str, str, int, str], deque[Connection]] = defaultdict(deque)
        self._idle_count = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._ways: dict[str, _Way] = {}
        self._looking: dict[tuple[str, int], asyncio.Future[list[str]]] = {}

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], timeout_s: float, *, method: str = "POST"
    ) -> Outcome:
        """POST `body`; whatever goes wrong is in the outcome. `timeout_s` bounds all of it.

        `method`: another one, but not HEAD, whose answers end elsewhere.

        Raises:
            asyncio.CancelledError: the caller was cancelled; nothing else.
        """
        outcome = Outcome(started_at=now_ms(), duration_ms=0.0)
        started = time.perf_counter()
        try:
            way = self._ways.get(url)
            if way is None or way.until < time.monotonic():
                way = await self._find_way(url, timeout_s)
            outcome.remote_address = way.address
            outcome.timings["resolve"] = round((time.perf_counter() - started) * 1000, 2)
            _check_name(method)
            head = b"%s %s%s" % (method.encode(), way.start, self._fields(headers))
            request = b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body)
            answer = await self._exchange(way, request, started + timeout_s)
            outcome.timings["first_byte"] = round((answer.first_byte_at - started) * 1000, 2)
            _take_in(outcome, answer)
        except TimeoutError:
            _fail(outcome, ErrorCode.TIMEOUT, f"No complete answer within {timeout_s:g} s.")
        except _ConnectTimeoutError:
            _fail(
                outcome,
                ErrorCode.TIMEOUT,
                "No connection within 5 s: wrong address, or a firewall that drops packets.",
            )
        except RefusedDestinationError as error:
            _fail(outcome, ErrorCode.REFUSED_DESTINATION, f"Refused: {error}.")
        except UnresolvedNameError as error:
            _fail(outcome, ErrorCode.DNS, f"{error}.")
        except ssl.SSLError as error:
            _fail(outcome, ErrorCode.TLS, _explain_tls(error))
        except BrokenAnswerError as error:
            _fail(outcome, ErrorCode.PROTOCOL, f"The answer was not complete HTTP: {error}."[:300])
        except ClosedError:
            _fail(outcome, ErrorCode.PROTOCOL, "The answer was not complete HTTP: the connection was closed.")
        except OSError as error:
            # Reset in the middle of the handshake: what listens there does not speak TLS.
            tls = url.startswith("https") and isinstance(error, (ConnectionResetError, ConnectionAbortedError))
            code, what = (ErrorCode.TLS, "secure connection") if tls else (ErrorCode.CONNECT, "connection")
            _fail(
                outcome, code, f"No {what}: {(os.strerror(error.errno) if error.errno else str(error)).lower()}."[:300]
            )
        except Exception as error:  # a delivery must never be lost to a surprise
            _fail(outcome, ErrorCode.INTERNAL, f"{type(error).__name__}: {error}"[:300])
        outcome.duration_ms = (time.perf_counter() - started) * 1000
        outcome.timings["total"] = round(outcome.duration_ms, 2)
        if (place := tracing.here()) is not None:
            traced.called(place, method, url, headers, outcome)
        return outcome

    async def close(self) -> None:
        """Close every connection that waits."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for waiting in self._idle.values():
            while waiting:
                waiting.pop().abort()

    def _fields(self, headers: dict[str, str]) -> bytes:
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        text = "".join(lines)
        # Nobody's header becomes two, or ends the head (RFC 9110, 5.5).
        if text.count("\r") != len(lines) or text.count("\n") != len(lines) or "\0" in text:
            raise ValueError("a header holds a line break")
        for name in headers:
            _check_name(name)
            if name.lower() in _FRAMING:
                raise ValueError(f"the header '{name}' is set by NovaPulse or may not be sent")
        if "user-agent" not in headers:
            text += f"user-agent: {self._user_agent}\r\n"
        return text.encode("ascii")

    async def _exchange(self, way: _Way, request: bytes, end: float) -> Answer:
        """Send a request and read its answer until `end`, on the clock of `time.perf_counter`."""
        while True:
            connection = self._waiting(way) or await self._connect(way, end)
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0.0, end - time.perf_counter()), connection.fail, TimeoutError())
            try:
                answer = await connection.request(request)
            except asyncio.CancelledError:
                connection.abort()
                raise
            except ClosedError:
                # A connection that waited may have been closed while the request was on its way to it: once more, on
                # a new one (RFC 9112, 9.3.1; the receiver knows a repeat by its `webhook-id`).
                if connection.requests == 1:
                    raise
                continue
            finally:
                timer.cancel()
            self._keep(way, connection)
            return answer

    def _waiting(self, way: _Way) -> Connection | None:
        waiting = self._idle[way.key]
        while waiting:
            connection = waiting.pop()
            self._idle_count -= 1
            if connection.is_open and connection.idle_since > time.monotonic() - _IDLE_S:
                return connection
            connection.abort()
        return None

    def _keep(self, way: _Way, connection: Connection) -> None:
        if not connection.is_open:
            return
        if self._idle_count >= _IDLE_MAX:
            connection.abort()
            return
        connection.idle_since = time.monotonic()
        self._idle[way.key].append(connection)
        self._idle_count += 1
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(_IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Close what has waited too long; the oldest of each receiver are in front."""
        self._sweeping = None
        before = time.monotonic() - _IDLE_S
        for key, waiting in list(self._idle.items()):
            while waiting and (waiting[0].idle_since <= before or not waiting[0].is_open):
                waiting.popleft().abort()
                self._idle_count -= 1
            if not waiting:
                del self._idle[key]
        if self._idle_count:
            self._sweeping = asyncio.get_running_loop().call_later(_IDLE_S, self._sweep)

    async def _connect(self, way: _Way, end: float) -> Connection:
        target = way.target
        tls = target.scheme == "https"
        left = max(0.001, end - time.perf_counter())
        try:
            async with asyncio.timeout(min(_CONNECT_TIMEOUT_S, left)):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(_KEPT_BYTES),
                    way.address,
                    target.port,
                    ssl=self._tls if tls else None,
                    server_hostname=target.host.rstrip(".") if tls else None,
                )
        except TimeoutError:
            raise (_ConnectTimeoutError if left > _CONNECT_TIMEOUT_S else TimeoutError)() from None
        return connection

    async def _find_way(self, url: str, timeout_s: float) -> _Way:
        async with asyncio.timeout(timeout_s):
            target = self._guard.check_url(url)
            address = (await self._resolve(target))[0]
        if len(self._ways) >= _WAYS_MAX:
            self._ways.clear()
        parsed = httpx.URL(target.url)
        start = b"%s HTTP/1.1\r\nhost: %s\r\naccept: */*\r\n" % (parsed.raw_path, parsed.netloc)
        key = (target.scheme, target.host, target.port, address)
        way = self._ways[url] = _Way(time.monotonic() + _CHECKED_FOR_S, target, address, start, key)
        return way

    async def _resolve(self, target: Target) -> list[str]:
        # One look-up serves all who wait for it.
        key = (target.host, target.port)
        looking = self._looking.get(key)
        if looking is None:
            looking = self._looking[key] = asyncio.ensure_future(self._guard.resolve(target))
            looking.add_done_callback(lambda _: self._looking.pop(key, None))
        return await asyncio.shield(looking)


@lru_cache(4_096)
def _check_name(name: str) -> None:
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"'{name[:50]}' is no name of a header or method")


def _take_in(outcome: Outcome, answer: Answer) -> None:
    outcome.status_code = answer.status
    outcome.response_headers = {
        name: value[:_HEADER_CHARS] if value.isascii() else "(not ASCII)"
        for name, value in islice(answer.headers.items(), _HEADERS_KEPT)
    }
    if "retry-after" in answer.headers:
        outcome.retry_after_s = parse_retry_after(answer.headers["retry-after"], now_ms())
    outcome.response_truncated = answer.truncated
    # NUL is not text for Postgres.
    outcome.response_body = answer.body.decode("utf-8", "replace").replace("\0", "\ufffd")
    _judge(outcome)


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


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"No secure connection: the certificate is not accepted: {error.verify_message.rstrip('.')}."[:300]
    reason = (error.reason or str(error)).replace("_", " ").lower()
    return f"No secure connection: {reason}."[:300]
