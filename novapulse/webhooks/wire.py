"""One connection to a receiver, HTTP/1.1 (RFC 9112) as a client speaks it: a request goes out, an answer is read.

On the event loop itself, with llhttp (`httptools`) as the parser: a client with threads of its own hands each answer
over between threads, which cost more than the answer. What a receiver says is bounded: the head of an answer in bytes
and lines, and of its body no more is read than is kept.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

import httptools

_HEAD_BYTES_MAX = 64 * 1024
_HEADERS_MAX = 256
_ANSWER_BYTES_MAX = 1024 * 1024  # of a whole answer; of what is longer, only the body is
_LINE_BREAKS = ("transfer-encoding", "content-length")  # either says where a body ends (RFC 9112, 6.3)


class BrokenAnswerError(Exception):
    """The answer was no complete HTTP; says what was wrong with it."""


class ClosedError(Exception):
    """The connection ended, or was reset, before anything was answered."""


class Answer:
    """What came back."""

    __slots__ = ("body", "first_byte_at", "headers", "status", "truncated")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}  # names in lower case
        self.body = b""
        self.truncated = False  # the body was longer than what is kept
        self.first_byte_at = 0.0  # on the clock of `time.perf_counter`


class Connection(asyncio.Protocol):
    """One request at a time; reusable while `is_open`."""

    def __init__(self, keep_bytes: int) -> None:
        """`keep_bytes`: how much of a body is read."""
        self._keep_bytes = keep_bytes
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer = Answer()
        self._head_bytes = 0
        self._bytes = 0
        self._lines = 0
        self._in_body = False
        self._complete = False
        self._reusable = False
        self.idle_since = 0.0  # on the monotonic clock; kept by the pool
        self.requests = 0

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def request(self, data: bytes) -> asyncio.Future[Answer]:
        """Send a whole request.

        The future raises BrokenAnswerError, ClosedError, ssl.SSLError, or what `fail` was given.
        """
        assert self._transport is not None and self._waiter is None, "one request at a time, on an open connection"
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = self._bytes = self._lines = 0
        self._in_body = self._complete = False
        self.requests += 1
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._waiter

    def fail(self, error: Exception) -> None:
        """End the connection; who waits for an answer gets `error`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._parser is None:
            self.abort()  # nothing was asked: whatever this is, the next answer must not begin with it
            return
        if not self._head_bytes:
            self._answer.first_byte_at = time.perf_counter()
        if not self._in_body:
            self._head_bytes += len(data)
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(BrokenAnswerError("it switched to another protocol"))
        except httptools.HttpParserError as error:
            # What follows a whole answer may be anything; the connection is not used again.
            if self._complete:
                self._finish(reusable=False)
            else:
                self.fail(BrokenAnswerError(str(error).lower() or "not HTTP"))
        else:
            if self._complete:
                self._finish(reusable=self._reusable)
            elif self._answer.truncated:
                self._finish(reusable=False)
            elif not self._in_body and (self._head_bytes > _HEAD_BYTES_MAX or self._lines > _HEADERS_MAX):
                self.fail(BrokenAnswerError("its head is too large"))
            elif self._bytes > _ANSWER_BYTES_MAX:
                # A trailer that never ends is kept whole by the parser, until it ends.
                self.fail(BrokenAnswerError("what is around its body is too large"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        until_the_end = self._in_body and not any(name in self._answer.headers for name in _LINE_BREAKS)
        if self._waiter is None:
            return
        if exc is None and until_the_end:
            self._finish(reusable=False)
        elif self._head_bytes:
            self.fail(BrokenAnswerError("it broke off"))
        else:
            self.fail(exc if exc is not None and not isinstance(exc, OSError) else ClosedError())

    def _finish(self, *, reusable: bool) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(self._answer)
        if not reusable:
            self.abort()

    # What the parser calls. What follows a whole answer was not asked for, and belongs to nothing.

    def on_message_begin(self) -> None:
        if self._complete:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        self._lines += 1
        if self._lines <= _HEADERS_MAX:
            self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        assert self._parser is not None
        self._answer.status = self._parser.get_status_code()
        self._in_body = self._lines <= _HEADERS_MAX

    def on_body(self, body: bytes) -> None:
        answer = self._answer
        if not answer.truncated and not self._complete:
            answer.body += body
            if len(answer.body) > self._keep_bytes:
                answer.body, answer.truncated = answer.body[: self._keep_bytes], True

    def on_message_complete(self) -> None:
        if self._complete:
            return
        if 100 <= self._answer.status < 200:  # an interim answer: the one that counts follows (RFC 9110, 15.2)
            self._answer.headers.clear()
            self._in_body = False
            return
        assert self._parser is not None
        self._complete = True
        self._reusable = self._parser.should_keep_alive()  # later it speaks of the next message
