"""One connection to the mail server (RFC 5321), and what its answers mean for a message."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from novapulse.mail.server import SmtpServer, Tls

CONNECT_TIMEOUT_S = 15.0
# RFC 5321, 4.5.3.2 allows minutes: who hangs up before the last answer makes the server's copy a duplicate.
ANSWER_TIMEOUT_S = 120.0
_GOODBYE_S = 2.0
_WORDS_MAX = 500
_CLOSING = 421
_NOT_FOR_US = (530, 534, 535, 538)  # RFC 4954: about signing in, not about the message
_START_TLS = {Tls.AT_ONCE: False, Tls.REQUIRED: True, Tls.IF_OFFERED: None, Tls.NEVER: False}


class Verdict(StrEnum):
    """What became of a message."""

    SENT = "sent"
    LATER = "later"  # the server asks to try this one again
    REFUSED = "refused"  # it never will take this one
    DROPPED = "dropped"  # the connection broke, perhaps after the message was taken
    AWAY = "away"  # the server cannot be reached, or does not let us in: nothing was said of the message


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt."""

    verdict: Verdict
    words: str = ""  # the server's, or those of the error
    apart: Mapping[str, Outcome] = field(default_factory=dict[str, "Outcome"])  # recipients that fared otherwise

    def of(self, recipient: str) -> Outcome:
        """What it means for one recipient."""
        return self.apart.get(recipient, self)


class SmtpConnection:
    """Sends messages one after another; opens when it has to, and again when the server has had enough."""

    def __init__(self, server: SmtpServer, hello: str) -> None:
        """`hello` is the name we greet with."""
        self._server = server
        self._used = False
        self._client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user or None,
            password=server.password if server.user else None,
            use_tls=server.tls is Tls.AT_ONCE,
            start_tls=_START_TLS[server.tls],
            tls_context=None if server.tls is Tls.NEVER else ssl.create_default_context(),
            local_hostname=hello,
            timeout=CONNECT_TIMEOUT_S,
        )

    async def open(self) -> Outcome | None:
        """Connect, encrypt and sign in, unless that is done; None: it is."""
        if self._client.is_connected:
            return None
        self._client.close()
        self._used = False
        try:
            await self._client.connect()
        except (SMTPException, OSError, ValueError) as error:
            return Outcome(Verdict.AWAY, words_of(error))
        return None

    @property
    def encrypted(self) -> bool:
        """Whether the open connection is."""
        return self._client.get_transport_info("sslcontext") is not None

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as is known."""
        return self._client.is_connected

    async def send(self, mail: EmailMessage, recipients: Sequence[str]) -> Outcome:
        """Send one message; never raises for what the server does."""
        reused = self.is_open and self._used
        self._used = True
        outcome = await self._try(mail, recipients)
        if reused and outcome.verdict is Verdict.DROPPED:
            # Servers close what has been open or has sent for long: that says nothing of this message.
            outcome = await self._try(mail, recipients)
        return outcome

    async def close(self) -> None:
        """Say goodbye if there is anybody."""
        if self._client.is_connected:
            with contextlib.suppress(SMTPException, OSError):
                await self._client.quit(timeout=_GOODBYE_S)
        self._client.close()

    async def _try(self, mail: EmailMessage, recipients: Sequence[str]) -> Outcome:
        closed = await self.open()
        if closed is not None:
            return closed
        self._used = True
        try:
            refused, answer = await self._client.send_message(
                mail, recipients=list(recipients), timeout=ANSWER_TIMEOUT_S
            )
        except asyncio.CancelledError:
            # In the middle of a message a goodbye would be part of it; hung up on, the server forgets it.
            self._client.close()
            raise
        except (SMTPException, OSError, ValueError) as error:
            outcome = judge(error)
            if outcome.verdict in (Verdict.DROPPED, Verdict.AWAY):
                self._client.close()
            return outcome
        apart = {address: _judge_code(said.code, f"{said.code} {said.message}") for address, said in refused.items()}
        return Outcome(Verdict.SENT, _one_line(answer), apart)


def judge(error: Exception) -> Outcome:
    """What an error while a message was being sent means for it."""
    if isinstance(error, SMTPRecipientsRefused):
        apart = {each.recipient: judge(each) for each in error.recipients}
        first = judge(error.recipients[0])
        return Outcome(first.verdict, first.words, apart)
    words = words_of(error)
    if isinstance(error, SMTPResponseException):
        return _judge_code(error.code, words)
    if isinstance(error, (SMTPNotSupported, ValueError)):
        # An address that this server, or SMTP, has no way to name.
        return Outcome(Verdict.REFUSED, words)
    return Outcome(Verdict.DROPPED, words)


def _judge_code(code: int, words: str) -> Outcome:
    words = _one_line(words)
    if code in _NOT_FOR_US:
        return Outcome(Verdict.AWAY, words)
    if 500 <= code <= 599:
        return Outcome(Verdict.REFUSED, words)
    if 400 <= code <= 499 and code != _CLOSING:
        return Outcome(Verdict.LATER, words)
    return Outcome(Verdict.DROPPED, words)


def words_of(error: Exception) -> str:
    """What an error says, as one line."""
    said = f"{error.code} {error.message}" if isinstance(error, SMTPResponseException) else str(error)
    return _one_line(said) or type(error).__name__


def _one_line(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f\ud800-\udfff]+", " ", text).strip()[:_WORDS_MAX]
