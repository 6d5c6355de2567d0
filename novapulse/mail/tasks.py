"""The task that sends a message."""

from __future__ import annotations

from pydantic import BaseModel

from novapulse.jobs.tasks import JobContext, task

SEND = "email.send"
_ATTEMPTS = 100  # when it is too late for another one is the message's to know (`mail.retry`)
# The answers of an SMTP server may take minutes, and a message may wait for one of few connections.
_TIMEOUT_S = 900.0


class SendEmail(BaseModel):
    """A message of the outbox."""

    email_id: str


@task(SEND, queue="email", payload=SendEmail, max_attempts=_ATTEMPTS, timeout_s=_TIMEOUT_S)
async def send(job: JobContext, payload: SendEmail) -> dict[str, object]:
    """Send an e-mail."""
    # Here: whoever only makes such jobs does without SMTP.
    from novapulse.mail.delivery import deliver

    return await deliver(job, payload.email_id)
