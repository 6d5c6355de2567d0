"""Where a post ends up: at the address that was checked, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from novapulse.webhooks import sender as sender_module
from novapulse.webhooks.guard import Guard, UnresolvedNameError, networks
from novapulse.webhooks.outcome import ErrorCode
from novapulse.webhooks.sender import Sender

from .sockets import OK, answer, listening, saying

ALLOWED, FORBIDDEN = "127.0.0.1", "127.0.0.2"


class Names:
    """A name server that is told what to answer, time after time; the last answer stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        await asyncio.sleep(0)
        found = list(self.answers[min(len(self.asked), len(self.answers)) - 1])
        if found == ["broken"]:
            raise UnresolvedNameError(f"'{host}' could not be looked up")
        return found


class Senders:
    """Makes senders, and closes them."""

    def __init__(self) -> None:
        self.made: list[Sender] = []

    def __call__(self, names: Names, allow: str = f"{ALLOWED}/32") -> Sender:
        self.made.append(Sender(Guard(networks([allow]), (), names), user_agent="NovaPulse/test"))
        return self.made[-1]


@pytest.fixture
async def senders() -> AsyncGenerator[Senders]:
    made = Senders()
    yield made
    for sender in made.made:
        await sender.close()


async def send(sender: Sender, url: str) -> Any:
    return await sender.post(url, b"{}", {}, 5)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",  # the system's own resolver would lead to 127.0.0.1
        "LOCALHOST",
        "localhost.",
        "LocalHost.",
        "hook.example.com",  # it would lead to the internet
        "Hook.Example.com.",
        "bücher.example",  # it would lead nowhere
        "BÜCHER.example.",
        "faß.example",
        "hook。example.com",
    ],
)
async def test_the_checked_address_is_connected_to_however_the_host_is_spelled(host: str, senders: Senders) -> None:
    async with listening(OK, host="127.0.0.3") as right, listening(OK, port=right.port) as wrong:
        outcome = await send(senders(Names(["127.0.0.3"]), "127.0.0.0/8"), f"http://{host}:{right.port}/")
    assert outcome.ok, outcome.error_detail
    assert (len(right.heads), len(wrong.heads)) == (1, 0)
    assert outcome.remote_address == "127.0.0.3"


async def test_a_name_that_turns_private_is_refused_at_the_next_look_up(
    senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_CHECKED_FOR_S", -1.0)  # each post looks the name up
    names = Names([ALLOWED], [FORBIDDEN])
    sender = senders(names)
    async with listening(OK) as good, listening(OK, host=FORBIDDEN, port=good.port) as bad:
        first = await send(sender, f"http://rebind.example:{good.port}/")
        second = await send(sender, f"http://rebind.example:{good.port}/")
    assert first.ok
    assert second.error is ErrorCode.REFUSED_DESTINATION
    assert second.remote_address is None
    assert (len(good.heads), len(bad.heads)) == (1, 0)


async def test_one_look_up_serves_all_who_wait_for_it_and_the_connection_asks_no_second_time(senders: Senders) -> None:
    names = Names([ALLOWED], [FORBIDDEN])
    sender = senders(names)
    async with listening(OK) as good, listening(OK, host=FORBIDDEN, port=good.port) as bad:
        url = f"http://rebind.example:{good.port}/"
        outcomes = await asyncio.gather(*(send(sender, url) for _ in range(20)))
        outcomes.append(await send(sender, url))
    assert all(outcome.ok for outcome in outcomes)
    assert names.asked == ["rebind.example"]
    assert (len(good.heads), len(bad.heads)) == (21, 0)


async def test_a_failed_look_up_is_not_remembered(senders: Senders) -> None:
    names = Names(["broken"], [], [ALLOWED])
    sender = senders(names)
    async with listening(OK) as good:
        outcomes = [await send(sender, f"http://hook.example:{good.port}/") for _ in range(3)]
    assert [outcome.error for outcome in outcomes] == [ErrorCode.DNS, ErrorCode.DNS, None]


@pytest.mark.parametrize(
    "addresses", [[ALLOWED, FORBIDDEN], [FORBIDDEN, ALLOWED], [ALLOWED, "::1"], [ALLOWED, "10.0.0.1"]]
)
async def test_one_forbidden_address_of_a_name_refuses_all(addresses: list[str], senders: Senders) -> None:
    async with listening(OK) as good, listening(OK, host=FORBIDDEN, port=good.port) as bad:
        outcome = await send(senders(Names(addresses)), f"http://hook.example:{good.port}/")
    assert outcome.error is ErrorCode.REFUSED_DESTINATION
    assert (len(good.heads), len(bad.heads)) == (0, 0)


@pytest.mark.parametrize(
    "host", [FORBIDDEN, "2130706433", "0x7f.2", "127.2", "[::1]", "[::ffff:127.0.0.2]", "127。0。0。2"]
)
async def test_a_forbidden_address_in_the_url_is_refused(host: str, senders: Senders) -> None:
    names = Names([ALLOWED])
    async with listening(OK, host=FORBIDDEN) as bad:
        outcome = await send(senders(names), f"http://{host}:{bad.port}/")
    assert outcome.error is ErrorCode.REFUSED_DESTINATION
    assert (bad.heads, names.asked) == ([], [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_never_followed(status: int, senders: Senders) -> None:
    async with listening(OK) as inside:
        where = f"http://{ALLOWED}:{inside.port}/secret"
        async with listening(saying(answer(f"{status} Moved\nlocation: {where}"))) as outside:
            outcome = await send(senders(Names([ALLOWED])), f"http://hook.example:{outside.port}/")
    assert inside.heads == []
    assert (outcome.error, outcome.status_code) == (ErrorCode.REDIRECT, status)
    assert where in (outcome.error_detail or "")


async def test_proxies_of_the_environment_are_ignored(senders: Senders, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(OK) as good, listening(OK) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{ALLOWED}:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        outcome = await send(senders(Names([ALLOWED])), f"http://hook.example:{good.port}/")
    assert outcome.ok
    assert (len(good.heads), len(proxy.heads)) == (1, 0)


async def test_more_destinations_than_connections_are_kept_all_get_their_post(
    senders: Senders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_IDLE_MAX", 3)
    sender = senders(Names([ALLOWED]))
    async with listening(OK) as good:
        urls = [f"http://h{number}.example:{good.port}/" for number in range(20)]
        outcomes = await asyncio.gather(*(send(sender, url) for url in urls * 2))
    assert [outcome.error_detail for outcome in outcomes if not outcome.ok] == []
    assert len(good.heads) == 40


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("", {}),
        ("not a url", {}),
        ("http://[", {}),
        ("ftp://example.com/", {}),
        (f"http://{ALLOWED}:1/\ud800", {}),
        (f"http://{ALLOWED}:1/", {"a b": "c"}),
        (f"http://{ALLOWED}:1/", {"a": "b\r\nc"}),
        (f"http://{ALLOWED}:1/", {"a": "\ud800"}),
    ],
)
async def test_whatever_is_wrong_is_in_the_outcome_and_not_raised(
    url: str, headers: dict[str, str], senders: Senders
) -> None:
    outcome = await senders(Names([ALLOWED])).post(url, b"{}", headers, 5)
    assert not outcome.ok
    assert outcome.error_detail
    assert outcome.timings["total"] >= 0


async def test_only_cancelling_is_raised(senders: Senders) -> None:
    started = asyncio.Event()

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        started.set()
        await asyncio.sleep(60)

    async with listening(hang) as peer:
        task = asyncio.create_task(send(senders(Names([ALLOWED])), f"http://hook.example:{peer.port}/"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
