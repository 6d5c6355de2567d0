"""Sends the mail of one worker process.

A message is recorded right after the server has taken it, before the next is begun: a worker that dies in between has
one message per connection sent again, with the same Message-ID, and loses none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core.clock import now_ms
from novapulse.core.crypto import DecryptError
from novapulse.core.runtime import Runtime
from novapulse.mail import outbox
from novapulse.mail.compose import compose, masked
from novapulse.mail.models import EmailStatus
from novapulse.mail.outbox import Claim
from novapulse.mail.retry import next_attempt
from novapulse.mail.server import parse_smtp_url
from novapulse.mail.service import open_message
from novapulse.mail.smtp import Outcome, SmtpConnection, Verdict

CONNECTIONS = 4  # per worker process; more than a small mail server likes gains nothing
_CLAIMS_LOST_MAX = 20  # a message whose workers die so often is not tried like that again
_STORE_DOWN = (SQLAlchemyError, OSError, TimeoutError)

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Postman:
    """Sends what it is handed, and knows when it is full."""

    def __init__(self, rt: Runtime, owner: str) -> None:
        """`owner` names this process in claims; it is the name under which its heartbeat is seen."""
        self._rt = rt
        self._owner = owner
        url = rt.settings.smtp_url.get_secret_value()
        self._server = parse_smtp_url(url) if url else None
        self._sender = rt.settings.mail_sender
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._jobs: set[asyncio.Task[None]] = set()
        self._held: dict[str, Claim] = {}
        self._stopping = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """Messages that are claimed and not yet recorded."""
        return len(self._held)

    def room(self) -> int:
        """How many more jobs this process may take."""
        return 0 if self._stopping else max(0, CONNECTIONS - len(self._jobs))

    async def send(self, ids: Sequence[str], *, takeover_from: str | None = None) -> None:
        """Claim what is due of `ids` and see each to its record, or back into the database."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_leases())
        job = asyncio.create_task(self._send_batch(ids, takeover_from))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        await asyncio.wait([job])
        if not job.cancelled() and (error := job.exception()) is not None:
            raise error

    async def stop(self, grace_s: float) -> None:
        """Finish the messages that are being sent within `grace_s`, give back the rest."""
        self._stopping = True
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=grace_s)
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if self._keeper is not None:
            self._keeper.cancel()

    async def _send_batch(self, ids: Sequence[str], takeover_from: str | None) -> None:
        async with self._free:
            # What is being sent here already must keep its claim: a newer one would fence its own record off.
            ids = [id_ for id_ in ids if id_ not in self._held]
            claims = await self._persist(
                lambda c: outbox.claim(c, ids, owner=self._owner, takeover_from=takeover_from, now=now_ms())
            )
            if not claims:
                return
            self._held |= {item.id: item for item in claims}
            try:
                await self._send_all(claims)
            finally:
                left = [item for item in claims if self._held.pop(item.id, None) is not None]
                if left:
                    await self._persist(lambda c: outbox.give_back(c, left, owner=self._owner))

    async def _send_all(self, claims: Sequence[Claim]) -> None:
        if self._server is None:
            for item in claims:
                await self._keep(item)
            return
        connection = SmtpConnection(self._server, self._rt.settings.mail_domain)
        away: Outcome | None = None
        try:
            for item in claims:
                if self._stopping:
                    return
                # Once the server is away, it is not asked again for each of the others.
                outcome = away or await self._send_one(connection, item)
                if outcome.verdict is Verdict.AWAY:
                    away = outcome
                await self._record(item, outcome)
        finally:
            await connection.close()

    async def _send_one(self, connection: SmtpConnection, item: Claim) -> Outcome:
        if item.fence - item.attempts > _CLAIMS_LOST_MAX:
            return Outcome(Verdict.REFUSED, f"The worker died {_CLAIMS_LOST_MAX} times while it had this message.")
        try:
            message = open_message(self._rt, item.id, item.content)
            mail = compose(message, email_id=item.id, created_at=item.created_at, sender=self._sender)
        except DecryptError as error:
            # Another worker may have the key.
            return Outcome(Verdict.LATER, f"The message cannot be opened: {error}.")
        except ValueError as error:
            return Outcome(Verdict.REFUSED, f"The message cannot be put together: {error}.")
        return await connection.send(mail)

    async def _keep(self, item: Claim) -> None:
        await self._write(
            item,
            lambda c: outbox.finish(
                c, item, owner=self._owner, status=EmailStatus.KEPT, words="No mail server is set.", now=now_ms()
            ),
        )
        log.warning(
            "mail_not_sent",
            why="NOVAPULSE_SMTP_URL is not set; the message was kept and will not be sent later",
            email_id=item.id,
            kind=item.kind,
            recipient=masked(item.recipient),
        )

    async def _record(self, item: Claim, outcome: Outcome) -> None:
        now = now_ms()
        about = {"email_id": item.id, "kind": item.kind, "recipient": masked(item.recipient)}
        words = outcome.words.replace(item.recipient, masked(item.recipient))
        if outcome.verdict is Verdict.SENT:
            await self._finish(item, EmailStatus.SENT, None, now)
            log.info("mail_sent", **about)
            return
        again = next_attempt(item.attempts + 1, item.created_at, now, random.random)
        if outcome.verdict is Verdict.REFUSED or again is None:
            await self._finish(item, EmailStatus.FAILED, outcome.words, now)
            log.error("mail_failed", **about, attempts=item.attempts + 1, words=words)
            return
        await self._write(item, lambda c: outbox.put_off(c, item, owner=self._owner, until=again, words=outcome.words))
        log.warning("mail_put_off", **about, words=words, retry_in_s=round((again - now) / 1000))

    async def _finish(self, item: Claim, status: EmailStatus, words: str | None, now: int) -> None:
        await self._write(
            item, lambda c: outbox.finish(c, item, owner=self._owner, status=status, words=words, now=now)
        )

    async def _write(self, item: Claim, write: Callable[[Connection], bool]) -> None:
        if await self._persist(write) is False:
            log.warning("claim_lost", email_id=item.id, why="another worker has taken it over")
        self._held.pop(item.id, None)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(outbox.LEASE_MS / 3000)
            ids = list(self._held)
            if ids:
                await self._persist(lambda c: outbox.renew(c, ids, owner=self._owner, now=now_ms()))  # noqa: B023

    async def _persist(self, write: Callable[[Connection], T]) -> T | None:
        """Run `write` in a transaction; while the database is away, again until it is back or we have to end."""
        wait_s = 0.1
        while True:
            try:
                return await self._rt.database.run_write(write)
            except _STORE_DOWN as error:
                log.warning("database_away", error=str(error)[:200], retry_in_s=wait_s)
                if self._stopping:
                    return None
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)
