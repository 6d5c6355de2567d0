"""A real SMTP server for tests, which does as it is told."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.instance import free_port

OK = "250 OK"
DROP = "drop"  # hang up in the middle of the message
HANG_UP = "hang up"  # take the message, and hang up instead of saying so
HANG = "hang"  # never answer


@dataclass(frozen=True)
class Arrived:
    """A message that was taken."""

    sender: str
    recipients: list[str]
    mail: EmailMessage
    encrypted: bool
    user: str
    connection: int

    @property
    def id(self) -> str:
        """The outbox id in its Message-ID."""
        return str(self.mail["Message-ID"]).strip("<>").partition("@")[0]

    def part(self, kind: str) -> str:
        """Its text or HTML part."""
        body = self.mail.get_body((kind,))
        assert body is not None
        return cast(EmailMessage, body).get_content()


@dataclass
class PostOffice:
    """Takes mail; `answers` are given to the messages that come next, then OK to all."""

    port: int = field(default_factory=free_port)
    answers: deque[str] = field(default_factory=deque)
    recipient_answers: deque[str] = field(default_factory=deque)
    delay_s: float = 0.0
    implicit_tls: ssl.SSLContext | None = None
    starttls: ssl.SSLContext | None = None
    users: dict[str, str] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    connections: int = 0
    began: threading.Event = field(default_factory=threading.Event)  # a message is on its way

    def url(self, credentials: str = "", scheme: str = "smtp", query: str = "") -> str:
        """How it is set."""
        return f"{scheme}://{credentials}{'@' if credentials else ''}localhost:{self.port}{query}"

    # The hooks of aiosmtpd.

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.recipient_answers.popleft() if self.recipient_answers else OK
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.answers.popleft() if self.answers else OK
        self.began.set()
        await asyncio.sleep(self.delay_s)
        if answer in (OK, HANG_UP):
            parsed = message_from_bytes(cast(bytes, envelope.content), policy=default)
            self.arrived.append(
                Arrived(
                    str(envelope.mail_from),
                    list(envelope.rcpt_tos),
                    cast(EmailMessage, parsed),
                    session.ssl is not None or self.implicit_tls is not None,
                    cast(bytes, session.auth_data.login).decode() if session.auth_data else "",
                    cast(_Server, server).number,
                )
            )
        if answer == HANG_UP:
            server.transport.abort()
        if answer == HANG:
            await asyncio.sleep(3600)
        return answer

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and self.users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=known, handled=False, auth_data=data)


class _Server(SMTP):
    def __init__(self, office: PostOffice, **options: Any) -> None:
        super().__init__(office, **options)
        self._office = office
        office.connections += 1
        self.number = office.connections

    async def smtp_DATA(self, arg: str) -> None:
        if self._office.answers and self._office.answers[0] == DROP:
            self._office.answers.popleft()
            await self.push("354 Go ahead")
            await self._reader.readline()
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


class _Controller(Controller):
    def __init__(self, office: PostOffice) -> None:
        super().__init__(office, hostname="127.0.0.1", port=office.port, ssl_context=office.implicit_tls)
        self._office = office

    def factory(self) -> SMTP:
        office = self._office
        signing_in = {"authenticator": office.authenticate, "auth_required": True} if office.users else {}
        return _Server(
            office,
            hostname="post.example",
            tls_context=office.starttls,
            require_starttls=office.starttls is not None,
            # aiosmtpd does not count TLS from the start as TLS.
            auth_require_tls=office.implicit_tls is None,
            **signing_in,
        )

    def _trigger_server(self) -> None:
        """aiosmtpd's own trial connection, which would be counted."""
        self._office.connections -= 1
        super()._trigger_server()


@contextmanager
def opened(office: PostOffice | None = None) -> Iterator[PostOffice]:
    """An office that takes mail until the end of the block."""
    office = office or PostOffice()
    controller = _Controller(office)
    controller.start()
    try:
        yield office
    finally:
        controller.stop()


def wait_for(office: PostOffice, count: int, timeout_s: float = 20) -> None:
    """Wait until that many messages have come."""
    end = time.monotonic() + timeout_s
    while len(office.arrived) < count:
        assert time.monotonic() < end, f"{len(office.arrived)} of {count} came"
        time.sleep(0.05)
