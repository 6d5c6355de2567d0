"""What the sender makes of receivers that hang, drip, lie, break off or never end: an outcome, always, and in time."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
from collections.abc import AsyncGenerator

import pytest

from novapulse.webhooks import sender as sender_module
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


async def test_a_trailer_without_end_is_hung_up_on(sender: Sender) -> None:
    written = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: ")
        while written < 256 * 1024 * 1024:
            writer.write(b"a" * 65_536)
            await writer.drain()
            written += 65_536

    outcome = await post(sender, endless, timeout_s=30)
    assert outcome.error is ErrorCode.PROTOCOL
    assert written < 64 * 1024 * 1024, "only what fits in the buffers of the sockets"


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "connection", "expect"])
async def test_nobody_elses_header_frames_the_request(sender: Sender, name: str) -> None:
    async with listening(OK) as peer:
        outcome = await sender.post(f"http://127.0.0.1:{peer.port}/", b"{}", {name: "chunked"}, 5)
    assert not outcome.ok
    assert not peer.heads
    assert name in (outcome.error_detail or "")


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


def talking(*answers: bytes, then: str = "wait") -> tuple[Script, list[int]]:
    """Answers one request after the other on one connection; `then` it waits, or closes. And how many came in."""
    seen: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, raw in enumerate(answers):
            if number:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
            seen.append(number)
            writer.write(raw)
            await writer.drain()
        if then == "wait":
            await reader.read()

    return script, seen


FINE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_an_open_connection_is_used_again(sender: Sender) -> None:
    script, seen = talking(FINE, FINE, FINE)
    async with listening(script) as peer:
        url = f"http://127.0.0.1:{peer.port}/"
        outcomes = [await sender.post(url, b"{}", {}, 5) for _ in range(3)]
    assert [outcome.response_body for outcome in outcomes] == ["ok"] * 3
    assert (len(peer.heads), seen) == (1, [0, 1, 2])


async def test_a_connection_that_was_closed_while_it_waited_costs_no_failure(sender: Sender) -> None:
    script, seen = talking(FINE, then="close")
    async with listening(script) as peer:
        url = f"http://127.0.0.1:{peer.port}/"
        assert (await sender.post(url, b"{}", {}, 5)).ok
        assert (await sender.post(url, b"{}", {}, 5)).ok
    assert (len(peer.heads), seen) == (2, [0, 0])


@pytest.mark.parametrize(
    "raw",
    [
        FINE + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",  # an answer to what was not asked
        FINE + b"garbage",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ],
    ids=["two-answers", "garbage", "close", "http-1.0"],
)
async def test_a_connection_that_may_hold_more_is_not_used_again(sender: Sender, raw: bytes) -> None:
    script, _ = talking(raw)
    async with listening(script) as peer:
        url = f"http://127.0.0.1:{peer.port}/"
        outcomes = [await sender.post(url, b"{}", {}, 5) for _ in range(2)]
    assert all(outcome.ok and "evil" not in outcome.response_body for outcome in outcomes)
    assert len(peer.heads) == 2


async def test_interim_answers_are_passed_over(sender: Sender) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    outcome = await post(sender, saying(early + answer("201 Made", b"ok")))
    assert (outcome.status_code, outcome.response_body) == (201, "ok")
    assert "link" not in outcome.response_headers


async def test_chunks_are_put_together(sender: Sender) -> None:
    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: u\r\n\r\n"
    assert (await post(sender, saying(raw))).response_body == "abcde"


async def test_a_switch_to_another_protocol_is_a_failure(sender: Sender) -> None:
    raw = b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n\x00\xff"
    assert (await post(sender, saying(raw))).error is ErrorCode.PROTOCOL


async def test_connections_that_waited_long_are_closed(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "_IDLE_S", 0.05)
    gone = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(FINE)
        await reader.read()
        gone.set()

    assert (await post(sender, script)).ok
    async with asyncio.timeout(5), listening(script) as peer:
        assert (await sender.post(f"http://127.0.0.1:{peer.port}/", b"{}", {}, 5)).ok
        await gone.wait()
