"""The connections of one process to the mail server: few, kept open between messages, and closed when nothing comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage

from novapulse.core.runtime import Runtime
from novapulse.mail.server import SmtpServer, parse_smtp_url
from novapulse.mail.smtp import Outcome, SmtpConnection

CONNECTIONS = 4  # per process; more than a small mail server likes gains nothing
IDLE_S = 20.0  # servers hang up on who is silent for long (RFC 5321, 4.5.3.2.7 wants five minutes; few give them)
MESSAGES_MAX = 100  # over one connection; many servers take no more
AWAY_S = 5.0  # a server that could not be reached is not asked again so soon; shorter than the first wait of a message


class SmtpPool:
    """Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        url = rt.settings.smtp_url.get_secret_value()
        self.server: SmtpServer | None = parse_smtp_url(url) if url else None
        self._hello = rt.settings.mail_domain
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._opening = asyncio.Lock()
        self._idle: list[_Open] = []
        self._away: tuple[float, Outcome] | None = None  # until when, and why
        self._tidying: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[Slot]:
        """A place to send one message from. What comes of it is recorded within the block, so that a process that
        dies sends no more messages twice than it has connections."""
        async with self._free:
            slot = Slot(self)
            try:
                yield slot
            finally:
                await slot.release()

    async def close(self) -> None:
        """Hang up, politely where the server still listens."""
        if self._tidying is not None:
            self._tidying.cancel()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(each.connection.close() for each in idle))

    async def take(self) -> _Open | Outcome:
        """An open connection, or why there is none. The caller holds a slot."""
        while self._idle:
            found = self._idle.pop()
            if found.connection.is_open:
                return found
        # One after another: once the server is away, it is not asked again by each of the others.
        async with self._opening:
            if self._away is not None and time.monotonic() < self._away[0]:
                return self._away[1]
            assert self.server is not None
            made = _Open(SmtpConnection(self.server, self._hello))
            fault = await made.connection.open()
            self._away = None if fault is None else (time.monotonic() + AWAY_S, fault)
            return made if fault is None else fault

    async def give_back(self, used: _Open) -> None:
        """Keep a connection for the next message, if it is still one."""
        if not used.connection.is_open or used.sent >= MESSAGES_MAX:
            await used.connection.close()
            return
        used.idle_since = time.monotonic()
        self._idle.append(used)
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        while self._idle:
            over = [each for each in self._idle if time.monotonic() - each.idle_since > IDLE_S]
            self._idle = [each for each in self._idle if each not in over]
            await asyncio.gather(*(each.connection.close() for each in over))
            await asyncio.sleep(1.0)


class _Open:
    """A connection and what it has done."""

    def __init__(self, connection: SmtpConnection) -> None:
        self.connection = connection
        self.sent = 0
        self.idle_since = 0.0


class Slot:
    """Where one message is sent from."""

    def __init__(self, pool: SmtpPool) -> None:
        self._pool = pool
        self._used: _Open | None = None

    async def send(self, mail: EmailMessage, recipients: Sequence[str]) -> Outcome:
        """Send it; never raises for what the server does."""
        taken = await self._pool.take()
        if isinstance(taken, Outcome):
            return taken
        self._used = taken
        taken.sent += 1
        return await taken.connection.send(mail, recipients)

    async def release(self) -> None:
        """Give the connection back."""
        if self._used is not None:
            await self._pool.give_back(self._used)
