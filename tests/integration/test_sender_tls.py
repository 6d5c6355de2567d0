"""TLS to a fixed address: the certificate must be for the name in the URL, and nobody else's connection is used."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme

from novapulse.webhooks.guard import Guard, networks
from novapulse.webhooks.outcome import ErrorCode, Outcome
from novapulse.webhooks.sender import Sender

from .sockets import OK, Peer, answer, listening

HERE = "127.0.0.1"
Post = Callable[[str], Awaitable[Outcome]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def serving(issuer: trustme.CA, *names: str) -> AsyncGenerator[Peer]:
    """A receiver with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer.issue_cert(*names).configure_cert(context)
    async with listening(OK, tls=context) as peer:
        yield peer


@pytest.fixture
async def post(authority: trustme.CA) -> AsyncGenerator[Post]:
    async def everywhere_here(host: str, port: int) -> list[str]:
        return [HERE]

    guard = Guard(networks(["127.0.0.0/8"]), (), everywhere_here)
    sender = Sender(guard, user_agent="NovaPulse/test", root_certificate_pem=authority.cert_pem.bytes())

    async def send(url: str) -> Outcome:
        return await sender.post(url, b"{}", {}, 5)

    yield send
    await sender.close()


@pytest.mark.parametrize("host", ["hook.example", "HOOK.example", "hook.example.", "localhost"])
async def test_a_certificate_for_the_name_is_accepted_at_the_pinned_address(
    host: str, authority: trustme.CA, post: Post
) -> None:
    async with serving(authority, "hook.example", "localhost") as peer:
        outcome = await post(f"https://{host}:{peer.port}/")
    assert outcome.ok, outcome.error_detail
    assert outcome.remote_address == HERE
    assert len(peer.heads) == 1


async def test_a_name_of_other_letters_is_verified_in_its_ascii_form(authority: trustme.CA, post: Post) -> None:
    async with serving(authority, "xn--bcher-kva.example") as peer:
        assert (await post(f"https://bücher.example:{peer.port}/")).ok


@pytest.mark.parametrize("names", [["other.example"], [HERE], ["*.hook.example"], ["hook.example.evil.example"]])
async def test_a_certificate_for_something_else_is_refused_and_nothing_is_sent(
    names: list[str], authority: trustme.CA, post: Post
) -> None:
    async with serving(authority, *names) as peer:
        outcome = await post(f"https://hook.example:{peer.port}/")
    assert outcome.error is ErrorCode.TLS
    assert "certificate" in (outcome.error_detail or "")
    assert peer.heads == []


async def test_a_certificate_of_an_unknown_authority_is_refused_and_nothing_is_sent(post: Post) -> None:
    async with serving(trustme.CA(), "hook.example") as peer:
        outcome = await post(f"https://hook.example:{peer.port}/")
    assert outcome.error is ErrorCode.TLS
    assert peer.heads == []


async def test_an_address_in_the_url_must_be_in_the_certificate(authority: trustme.CA, post: Post) -> None:
    async with serving(authority, HERE) as peer:
        assert (await post(f"https://{HERE}:{peer.port}/")).ok
    async with serving(authority, "hook.example") as peer:
        assert (await post(f"https://{HERE}:{peer.port}/")).error is ErrorCode.TLS


async def test_an_open_connection_to_the_same_address_is_not_used_for_another_name(
    authority: trustme.CA, post: Post
) -> None:
    """Else one tenant's events would go out on a connection that was verified for another's."""
    async with serving(authority, "one.example") as peer:
        assert (await post(f"https://one.example:{peer.port}/")).ok
        assert (await post(f"https://two.example:{peer.port}/")).error is ErrorCode.TLS
        assert (await post(f"https://one.example:{peer.port}/")).ok
    assert len(peer.heads) == 2


@pytest.mark.parametrize("greeting", [answer("400 Bad Request"), b"SSH-2.0-OpenSSH_9.6\r\n"])
async def test_https_to_a_receiver_that_speaks_something_else_is_a_failure_of_tls(greeting: bytes, post: Post) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    server = await asyncio.start_server(greet, HERE, 0)
    async with server:
        outcome = await post(f"https://hook.example:{server.sockets[0].getsockname()[1]}/")
    assert outcome.error is ErrorCode.TLS, outcome.error_detail
