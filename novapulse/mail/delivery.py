"""Sending one message: what the server says of each recipient, and what that means for the message and its job.

A message is recorded right after the server has taken it, before its connection is used for another: a worker that
dies in between has one message per connection sent again, with the same Message-ID, and loses none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import tracing
from novapulse.core.clock import now_ms
from novapulse.core.crypto import DecryptError
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.tasks import GiveUp, JobContext, PutOff, RetryLater
from novapulse.mail.changes import tell_changed
from novapulse.mail.compose import compose, masked, masked_in
from novapulse.mail.domains import DomainLimits
from novapulse.mail.models import Email, EmailAttachment, EmailStatus
from novapulse.mail.pool import SmtpPool
from novapulse.mail.retry import next_attempt
from novapulse.mail.service import Attachment, Message, open_attachment, open_message
from novapulse.mail.smtp import Outcome, Verdict

EMAIL = table_of(Email)
_FILE = table_of(EmailAttachment)
_NO_SERVER = "No mail server is set."
_STORE_DOWN = (SQLAlchemyError, OSError, TimeoutError)
_LAST_WORDS_S = 2.0  # what a stopping worker gives the database to take a record
_SLOT_SLACK_MS = 50  # clocks of processes differ; a message this close to its turn has it

log = structlog.get_logger(__name__)


async def deliver(job: JobContext, email_id: str) -> dict[str, object]:
    """Send a message to those who were not sent it yet.

    Raises:
        RetryLater, GiveUp, PutOff: as tasks say it.
    """
    async with job.rt.database.read() as session:
        row = (await session.execute(select(EMAIL).where(EMAIL.c.id == email_id))).one_or_none()
    if row is None:
        raise GiveUp("The message is not there any more.")
    if row.job_id != job.id:
        return {"superseded_by": row.job_id}
    if row.status in (EmailStatus.SENT, EmailStatus.KEPT):
        return {"status": row.status}
    if row.status != EmailStatus.PENDING or row.content is None:
        raise GiveUp(masked_in(row.error or "The message's content is erased.", row.recipient.split(", ")))
    sending = _Sending(job, row)
    if job.rt.part(SmtpPool).server is None:
        return await sending.keep()
    return await sending.send()


class _Sending:
    """One attempt at one message."""

    def __init__(self, job: JobContext, row: Any) -> None:
        self._job = job
        self._rt: Runtime = job.rt
        self._row = row
        self._recipients: list[str] = row.recipient.split(", ")
        self._outcomes: dict[str, dict[str, str]] = orjson.loads(row.outcomes)
        # Whoever asks for it once more wants those tried again that were refused.
        settled = ("sent",) if row.tried_at is None else ("sent", "refused")
        self._open = [to for to in self._recipients if self._outcomes.get(to, {}).get("state") not in settled]
        self._about = {"email_id": row.id, "kind": row.kind, "recipient": ", ".join(map(masked, self._recipients))}

    async def keep(self) -> dict[str, object]:
        """There is no server to send it to."""
        await self._write(status=EmailStatus.KEPT.value, error=_NO_SERVER, finished_at=now_ms())
        why = "NOVAPULSE_SMTP_URL is not set; the message was kept and will not be sent later"
        log.warning("mail_not_sent", why=why, **self._about)
        return {"status": EmailStatus.KEPT.value}

    async def send(self) -> dict[str, object]:
        """Send it; what became of it."""
        try:
            message, files = await self._opened()
            mail = compose(
                message,
                files,
                email_id=self._row.id,
                created_at=self._row.created_at,
                sender=self._rt.settings.mail_sender,
            )
        except DecryptError as error:
            # Another worker may have the key.
            return await self._shielded(Outcome(Verdict.LATER, f"The message cannot be opened: {error}."))
        except ValueError as error:
            return await self._shielded(Outcome(Verdict.REFUSED, f"The message cannot be put together: {error}."))
        await self._await_turn()
        async with self._rt.part(SmtpPool).slot() as slot:
            server = self._rt.part(SmtpPool).server
            to: dict[str, tracing.Value] = {
                "network.protocol.name": "smtp",
                "novapulse.mail.recipients": len(self._open),
            }
            if server is not None:
                to |= {"server.address": server.host, "server.port": server.port}
            with tracing.span("send mail", "client", to) as span:
                outcome = await slot.send(mail, self._open)
                if span is not None:
                    span.error = None if outcome.verdict is Verdict.SENT else outcome.verdict.value
            return await self._shielded(outcome)

    async def _opened(self) -> tuple[Message, Sequence[Attachment]]:
        message = open_message(self._rt, self._row.id, self._row.content)
        if not self._row.attachments:
            return message, ()
        async with self._rt.database.read() as session:
            rows = await session.execute(select(_FILE).where(_FILE.c.email_id == self._row.id).order_by(_FILE.c.number))
            return message, [open_attachment(self._rt, row) for row in rows.all()]  # pyright: ignore[reportArgumentType] - a row has the same columns

    async def _await_turn(self) -> None:
        """Put the job off if the limits of its domains want that; its turn is reserved then."""
        if self._row.slot_at is None:
            wait_ms = await self._rt.part(DomainLimits).reserve(self._open)
            if wait_ms == 0:
                return
            slot_at = now_ms() + wait_ms
            await self._write(slot_at=slot_at)
        else:
            slot_at = self._row.slot_at
        wait_ms = slot_at - now_ms()
        if wait_ms > _SLOT_SLACK_MS:
            raise PutOff("Waiting for its turn: mail to this domain is limited.", wait_ms / 1000)

    async def _shielded(self, outcome: Outcome) -> dict[str, object]:
        # A worker that stops now would forget what the server has just said.
        recording = asyncio.ensure_future(self._record(outcome))
        try:
            return await asyncio.shield(recording)
        except asyncio.CancelledError:
            await asyncio.wait([recording], timeout=_LAST_WORDS_S)
            if not recording.done():
                recording.cancel()
            elif not recording.cancelled():
                recording.exception()  # taken note of; the job is stopped
            raise

    async def _record(self, outcome: Outcome) -> dict[str, object]:
        later = False
        words = ""
        for to in self._open:
            of = outcome.of(to)
            state = _STATES.get(of.verdict, "later")
            self._outcomes[to] = {"state": state, "words": of.words}
            later = later or state == "later"
            words = words or ("" if state == "sent" else of.words)
        now, attempts = now_ms(), self._row.attempts + 1
        tried_at = self._row.tried_at or now
        values: dict[str, object] = {
            "outcomes": orjson.dumps(self._outcomes).decode(),
            "attempts": attempts,
            "error": words or None,
            "tried_at": tried_at,
            "slot_at": None,
        }
        told = masked_in(words, self._recipients)
        again = next_attempt(attempts, tried_at, now, random.random) if later else None
        if again is not None:
            await self._write(**values)
            log.warning("mail_put_off", **self._about, words=told, retry_in_s=round((again - now) / 1000))
            raise RetryLater(told, (again - now) / 1000)
        refused = [to for to in self._recipients if self._outcomes[to]["state"] != "sent"]
        status = EmailStatus.FAILED if refused else EmailStatus.SENT
        values |= {"status": status.value, "finished_at": now} | ({"content": None} if self._row.private else {})
        if not refused:
            values["error"] = None
        await self._write(**values)
        if refused:
            log.error("mail_failed", **self._about, attempts=attempts, words=told)
            raise GiveUp(told or "Some recipients were refused.")
        await self._job.log(f"The server said: {masked_in(outcome.words, self._recipients) or 'taken'}")
        log.info("mail_sent", **self._about)
        return {"status": status.value, "recipients": len(self._recipients)}

    async def _write(self, **values: object) -> None:
        # Nobody else sends it: the job's claim sees to that. Whoever calls it off meanwhile is not overruled,
        # unless it is sent: that is true then.
        final = values.get("status") == EmailStatus.SENT.value
        mine = (EMAIL.c.id == self._row.id, *(() if final else (EMAIL.c.status == EmailStatus.PENDING.value,)))
        statement = update(EMAIL).where(*mine).values(values)
        wait_s = 0.1
        while True:
            try:
                await self._rt.database.run_write(lambda connection: connection.execute(statement))
                break
            except _STORE_DOWN as error:
                # What a server has said once is not asked for again.
                log.warning("database_away", error=str(error)[:200], retry_in_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, 5.0)
        tell_changed(self._rt)


_STATES: Mapping[Verdict, str] = {Verdict.SENT: "sent", Verdict.REFUSED: "refused"}
