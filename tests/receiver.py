"""A real HTTP receiver for tests, fast enough for 20,000 deliveries: it keeps a ledger of what arrived."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Arrival:
    """One request as it came in."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    method: str = "POST"


@dataclass
class Answer:
    """What to say; `delay_s` before it, `silent` for never."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b"ok"
    delay_s: float = 0.0
    silent: bool = False


class Receiver:
    """Answers by `rule`, and remembers each arrival in order."""

    def __init__(self, rule: Callable[[Arrival], Answer]) -> None:
        self.rule = rule
        self.arrivals: list[Arrival] = []
        self.port = 0

    def url(self, path: str = "/hook") -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self.port}{path}"

    def counts(self) -> Counter[str]:
        """How often each `webhook-id` arrived."""
        return Counter(arrival.headers["webhook-id"] for arrival in list(self.arrivals))

    def paths(self) -> Counter[str]:
        """How often each path was posted to."""
        return Counter(arrival.path for arrival in list(self.arrivals))


class _Protocol(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            request, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            method, path, _ = request.split(" ")
            arrival = Arrival(path, headers, rest[:length], method)
            self._receiver.arrivals.append(arrival)
            self._answer(self._receiver.rule(arrival))

    def _answer(self, answer: Answer) -> None:
        if answer.silent or self._transport is None:
            return
        if answer.delay_s:
            asyncio.get_running_loop().call_later(answer.delay_s, self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: Answer) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        headers = {"content-length": str(len(answer.body)), **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._transport.write(f"HTTP/1.1 {answer.status} X\r\n{lines}\r\n".encode() + answer.body)


@contextmanager
def receiving(rule: Callable[[Arrival], Answer] = lambda _: Answer()) -> Iterator[Receiver]:
    """A receiver on a free loopback port, in a thread of its own."""
    receiver = Receiver(rule)
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def serve() -> None:
        server = await loop.create_server(lambda: _Protocol(receiver), "127.0.0.1", 0, backlog=1024)
        receiver.port = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
