"""What the sender makes of receivers that hang, drip, lie, break off or never end: an outcome, always, and in time."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
from collections.abc import AsyncGenerator

import pytest

from novapulse.webhooks.guard import Guard, networks
from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.sender import Sender

from .sockets import OK, Script, answer, listening, saying

KEPT = 16 * 1024


@pytest.fixture
async def sender() -> AsyncGenerator[Sender]:
    made = Sender(Guard(networks(["127.0.0.0/8"])), user_agent="NovaPulse/test")
    yield made
    await made.close()


async def post(sender: Sender, script: Script, timeout_s: float = 5.0) -> Outcome:
    async with listening(script) as peer:
        return await sender.post(f"http://127.0.0.1:{peer.port}/hook?a=b", b"{}", {"webhook-id": "msg_1"}, timeout_s)


async def test_a_post_arrives_as_it_was_given(sender: Sender) -> None:
    async with listening(OK) as peer:
        outcome = await sender.post(f"http://127.0.0.1:{peer.port}/hook?a=b", b"{}", {"webhook-id": "msg_1"}, 5)
    request, *lines = peer.heads[0].rstrip("\r\n").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert request == "POST /hook?a=b HTTP/1.1"
    assert headers["webhook-id"] == "msg_1"
    assert headers["user-agent"] == "novapulse/test"
    assert headers["host"] == f"127.0.0.1:{peer.port}"
    assert not headers.keys() & {"accept-encoding", "cookie", "referer", "authorization"}
    assert (outcome.ok, outcome.status_code, outcome.response_body) == (True, 200, "ok")
    assert outcome.remote_address == "127.0.0.1"
    assert set(outcome.timings) == {"resolve", "first_byte", "total"}


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_accepted(sender: Sender, status: int) -> None:
    outcome = await post(sender, saying(f"HTTP/1.1 {status} Fine\r\ncontent-length: 0\r\n\r\n".encode()))
    assert (outcome.error, outcome.status_code) == (None, status)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503, 599, 999])
async def test_any_other_status_is_a_failure_that_says_so(sender: Sender, status: int) -> None:
    outcome = await post(sender, saying(answer(f"{status} No", b"because")))
    assert (outcome.error, outcome.status_code) == (ErrorCode.STATUS, status)
    assert outcome.error_detail == f"Answered {status}."
    assert outcome.response_body == "because"


async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def dripping(start: bytes) -> Script:
    """One byte now and then: each read is in time, the whole never ends."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    return script


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n"


@pytest.mark.parametrize(
    "script", [hang, dripping(b"HTTP/1.1 200 "), dripping(b"HTTP/1.1 200 OK\r\nx: "), dripping(HEAD)],
    ids=["silent", "drips-status", "drips-header", "drips-body"],
)  # fmt: skip
async def test_an_answer_that_never_ends_ends_at_the_wall_clock(sender: Sender, script: Script) -> None:
    started = time.monotonic()
    outcome = await post(sender, script, timeout_s=0.5)
    took = time.monotonic() - started
    assert outcome.error is ErrorCode.TIMEOUT
    assert outcome.error_detail == "No complete answer within 0.5 s."
    assert 0.5 <= took < 20, "far from the minute that the receiver would take"
    assert outcome.duration_ms >= 500


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 100,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example.com ESMTP\r\n",
        b"<html>hello</html>",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nbroken off",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 2_000_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000 + b"\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46",  # a TLS alert
    ],
)  # fmt: skip
async def test_what_is_not_whole_http_is_a_failure_with_a_reason(sender: Sender, raw: bytes) -> None:
    outcome = await post(sender, saying(raw))
    assert outcome.error in (ErrorCode.PROTOCOL, ErrorCode.CONNECT)
    assert outcome.error_detail


async def test_a_connection_that_is_reset_is_a_failure(sender: Sender) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    outcome = await post(sender, reset)
    assert outcome.error in (ErrorCode.PROTOCOL, ErrorCode.CONNECT)
    assert outcome.status_code is None


async def test_nobody_listening_is_no_connection_whatever_the_url_says(sender: Sender) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        outcome = await sender.post(f"http://127.0.0.1:{taken.getsockname()[1]}/ssl/certificate", b"{}", {}, 5)
    assert outcome.error is ErrorCode.CONNECT
    assert "refused" in (outcome.error_detail or "").lower()


@pytest.mark.parametrize("size", [KEPT, KEPT + 1, 10 * 1024 * 1024])
async def test_of_a_long_answer_the_beginning_is_kept(sender: Sender, size: int) -> None:
    outcome = await post(sender, saying(answer("200 OK", b"a" * size)))
    assert outcome.ok
    assert outcome.response_body == "a" * KEPT
    assert outcome.response_truncated is (size > KEPT)


async def test_an_endless_answer_is_hung_up_on(sender: Sender) -> None:
    written = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            writer.write(b"a" * 65_536)
            await writer.drain()
            written += 65_536

    outcome = await post(sender, endless, timeout_s=30)
    assert outcome.ok
    assert (len(outcome.response_body), outcome.response_truncated) == (KEPT, True)
    assert written < 64 * 1024 * 1024, "only what fits in the buffers of the sockets"


async def test_a_compressed_answer_stays_compressed(sender: Sender) -> None:
    bomb = gzip.compress(b"a" * 10_000_000, mtime=0)
    outcome = await post(sender, saying(answer("200 OK\ncontent-encoding: gzip", bomb)))
    assert outcome.ok
    assert outcome.response_headers["content-encoding"] == "gzip"
    assert "aaaa" not in outcome.response_body
    assert len(outcome.response_body) <= KEPT


async def test_bytes_that_are_no_text_are_replaced_and_nul_too(sender: Sender) -> None:
    outcome = await post(sender, saying(answer("200 OK", b"a\0b\xffc\xc3\xa9")))
    assert outcome.response_body == "a\ufffdb\ufffdcé"


async def test_headers_beyond_ascii_do_not_make_an_accepted_delivery_fail(sender: Sender) -> None:
    head = "200 OK\nx-name: caf\xe9\nx-long: " + "y" * 5_000 + "\nx-ok: 1"
    outcome = await post(sender, saying(answer(head, b"ok")))
    assert (outcome.error, outcome.response_body) == (None, "ok")
    assert outcome.response_headers["x-name"] == "(not ASCII)"
    assert outcome.response_headers["x-ok"] == "1"
    assert len(outcome.response_headers["x-long"]) == 1_024


async def test_at_most_64_headers_are_kept(sender: Sender) -> None:
    head = "200 OK\n" + "\n".join(f"x-{number}: y" for number in range(90))
    assert len((await post(sender, saying(answer(head)))).response_headers) == 64


async def test_a_busy_receivers_wish_is_read(sender: Sender) -> None:
    outcome = await post(sender, saying(answer("503 Busy\nRetry-After: 120")))
    assert (outcome.status_code, outcome.retry_after_s) == (503, 120)
