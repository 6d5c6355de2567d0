"""From the outbox to a real SMTP server: what arrives, what is tried again, what fails, what is kept."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import select, update

from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.jobs.engine import Engine
from novapulse.jobs.models import Job, JobState
from novapulse.mail import pool as pool_module
from novapulse.mail import smtp
from novapulse.mail.delivery import EMAIL
from novapulse.mail.models import EmailStatus
from novapulse.mail.pool import CONNECTIONS, SmtpPool
from novapulse.mail.retention import delete_old_mail
from novapulse.mail.service import Attachment, Message, open_message, queue_mail
from novapulse.security.notices import Notice, tell
from novapulse.security.rates import parse_domain_rates
from novapulse.tasks import load_all_tasks
from tests.instance import free_port
from tests.jobs import run_jobs
from tests.postoffice import DROP, HANG, HANG_UP, OK, PostOffice, opened

TOKEN = "planted-token-4711"
LINK = f"https://hooks.example.com/reset?token={TOKEN}"
TO = "vera@example.com"
JOB = table_of(Job)


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with opened() as made:
        yield made


def set_server(rt: Runtime, url: str, **more: Any) -> None:
    """As a process that was started so."""
    rt.settings = rt.settings.model_copy(update={"smtp_url": SecretStr(url), **more})
    rt._parts.pop(SmtpPool, None)


async def queued(rt: Runtime, count: int = 1) -> list[str]:
    """Messages that hold a link, in the outbox."""
    async with rt.database.write() as session:
        return [await tell(rt, session, TO, Notice.PASSWORD_RESET, {"link": LINK}) for _ in range(count)]


async def told(rt: Runtime, *to: str, files: tuple[Attachment, ...] = (), **fields: str) -> str:
    """A message that is not private."""
    message = Message(
        **{"to": to[0], "kind": "message", "subject": "x", "text": "x", "html": "", **fields}, also=to[1:]
    )
    async with rt.database.write() as session:
        return await queue_mail(rt, session, message, private=False, attachments=files)


async def row_of(rt: Runtime, email_id: str) -> Any:
    async with rt.database.read() as session:
        return (await session.execute(select(EMAIL).where(EMAIL.c.id == email_id))).one()


async def job_of(rt: Runtime, email_id: str) -> Any:
    async with rt.database.read() as session:
        query = select(JOB).join(EMAIL, EMAIL.c.job_id == JOB.c.id).where(EMAIL.c.id == email_id)
        return (await session.execute(query)).one()


async def change(rt: Runtime, email_id: str, **values: Any) -> None:
    async with rt.database.write() as session:
        await session.execute(update(EMAIL).where(EMAIL.c.id == email_id).values(**values))


async def make_due(rt: Runtime) -> None:
    """Have everything that waits for its time run at once."""
    rt._parts.pop(SmtpPool, None)
    async with rt.database.write() as session:
        await session.execute(update(JOB).where(JOB.c.state == JobState.DELAYED.value).values(run_at=1))


async def send(rt: Runtime) -> None:
    """Run the jobs of mail that are due."""
    await run_jobs(rt, ["email"])


async def test_a_message_arrives_with_both_parts_and_is_then_erased(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    (email_id,) = await queued(any_rt)
    before = await row_of(any_rt, email_id)
    assert TOKEN not in str(before)
    assert TOKEN in open_message(any_rt, email_id, before.content).text

    with structlog.testing.capture_logs() as logs:
        await send(any_rt)

    (arrived,) = office.arrived
    assert arrived.recipients == [TO]
    assert arrived.sender == "novapulse@localhost"
    assert LINK in arrived.part("plain")
    assert LINK in arrived.part("html")
    assert arrived.mail["Subject"] == "Set a new password"
    assert arrived.mail["Message-ID"] == f"<{email_id}@localhost>"
    assert arrived.mail["Auto-Submitted"] == "auto-generated"
    assert arrived.mail["Date"].datetime.timestamp() * 1000 == pytest.approx(before.created_at, abs=1000)
    after = await row_of(any_rt, email_id)
    assert (after.status, after.attempts, after.content, after.error) == (EmailStatus.SENT, 1, None, None)
    assert after.finished_at >= before.created_at
    job = await job_of(any_rt, email_id)
    assert (job.state, job.priority) == (JobState.COMPLETED, 2), "what tells of accounts goes first"
    for seen in (logs, job):
        assert TOKEN not in str(seen)
        assert TO not in str(seen)


async def test_several_recipients_and_files_arrive_and_only_those_refused_fail(
    any_rt: Runtime, office: PostOffice
) -> None:
    set_server(any_rt, office.url())
    office.recipient_answers.extend([OK, "550 5.1.1 No such user", "451 4.2.1 Mailbox busy"])
    data = bytes(range(256)) * 40
    three = ("ada@example.com", "bob@example.com", "cleo@example.com")
    email_id = await told(any_rt, *three, files=(Attachment("Übersicht 1.pdf", "application/pdf", data),))
    await send(any_rt)
    row = await row_of(any_rt, email_id)
    assert (row.status, row.error) == (EmailStatus.PENDING, "550 5.1.1 No such user"), "one is still to be tried"
    assert data not in row.content.encode()
    await make_due(any_rt)
    await send(any_rt)
    assert [arrived.recipients for arrived in office.arrived] == [[three[0]], [three[2]]], "nobody twice"
    row = await row_of(any_rt, email_id)
    assert (row.status, row.attempts) == (EmailStatus.FAILED, 2)
    assert row.content is not None, "what is not private can be sent again"
    (file,) = office.arrived[0].mail.iter_attachments()
    assert (file.get_filename(), file.get_content_type(), file.get_content()) == (
        "Übersicht 1.pdf",
        "application/pdf",
        data,
    )
    assert office.arrived[0].mail["To"] == ", ".join(three)
    assert (await job_of(any_rt, email_id)).state == JobState.DEAD


async def test_connections_are_few_and_used_again(
    rt: Runtime, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_server(rt, office.url())
    ids = await queued(rt, 30)
    await send(rt)
    assert sorted(arrived.id for arrived in office.arrived) == ids
    assert office.connections <= CONNECTIONS
    before = office.connections
    await queued(rt, 4)
    await send(rt)
    assert office.connections <= CONNECTIONS, "kept open between the messages"
    monkeypatch.setattr(pool_module, "MESSAGES_MAX", 1)
    await queued(rt, 4)
    await send(rt)
    await queued(rt, 4)
    await send(rt)
    assert office.connections > before, "and not for ever"


async def test_what_the_server_puts_off_is_sent_later(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    office.answers.append(f"451 4.7.1 {TO} is greylisted")
    (first,) = await queued(any_rt)
    began = now_ms()
    with structlog.testing.capture_logs() as logs:
        await send(any_rt)
    row, job = await row_of(any_rt, first), await job_of(any_rt, first)
    assert (row.status, row.attempts, row.error) == (EmailStatus.PENDING, 1, f"451 4.7.1 {TO} is greylisted")
    assert (job.state, job.error) == (JobState.DELAYED, "451 4.7.1 v***@example.com is greylisted")
    assert "v***@example.com is greylisted" in str(logs)
    assert TO not in str(logs)
    assert 10_000 <= job.run_at - began <= 20_000
    assert row.content is not None

    await send(any_rt)
    assert office.arrived == [], "not before it is due"
    await make_due(any_rt)
    await send(any_rt)
    assert [arrived.id for arrived in office.arrived] == [first]
    row = await row_of(any_rt, first)
    assert (row.status, row.attempts, row.error, row.content) == (EmailStatus.SENT, 2, None, None)


@pytest.mark.parametrize("stage", ["answers", "recipient_answers"])
async def test_what_the_server_refuses_fails_at_once_with_its_words(
    rt: Runtime, office: PostOffice, stage: str
) -> None:
    set_server(rt, office.url())
    getattr(office, stage).append(f"550 5.1.1 <{TO}> no such user here")
    (refused,) = await queued(rt)
    with structlog.testing.capture_logs() as logs:
        await send(rt)
    row, job = await row_of(rt, refused), await job_of(rt, refused)
    assert (row.status, row.attempts, row.content) == (EmailStatus.FAILED, 1, None)
    assert row.error == f"550 5.1.1 <{TO}> no such user here"
    assert (job.state, job.error) == (JobState.DEAD, "550 5.1.1 <v***@example.com> no such user here")
    (line,) = [line for line in logs if line["event"] == "mail_failed"]
    assert line["words"] == "550 5.1.1 <v***@example.com> no such user here"
    assert TO not in str(logs)
    (fine,) = await queued(rt)
    await send(rt)
    assert (await row_of(rt, fine)).status == EmailStatus.SENT


@pytest.mark.parametrize("what", [DROP, HANG_UP, "421 4.3.2 Closing down"])
async def test_a_connection_that_breaks_costs_no_message(rt: Runtime, office: PostOffice, what: str) -> None:
    set_server(rt, office.url())
    (first,) = await queued(rt)
    office.answers.append(what)
    await send(rt)
    row = await row_of(rt, first)
    assert (row.status, row.attempts) == (EmailStatus.PENDING, 1), "the first on a connection is put off"
    others = await queued(rt, 2)
    await make_due(rt)
    await send(rt)
    assert {(await row_of(rt, id_)).status for id_ in (first, *others)} == {EmailStatus.SENT}
    assert {arrived.id for arrived in office.arrived} == {first, *others}
    assert len(office.arrived) == (4 if what == HANG_UP else 3), "only a lost answer makes a repeat"


async def test_a_server_that_has_had_enough_is_called_again_at_once(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    (first,) = await queued(rt)
    await send(rt)
    office.answers.append("421 4.7.0 Too many messages on this connection")
    (second,) = await queued(rt)
    await send(rt)
    assert [arrived.id for arrived in office.arrived] == [first, second]
    assert office.arrived[0].connection != office.arrived[1].connection
    assert {(await row_of(rt, id_)).attempts for id_ in (first, second)} == {1}


async def test_a_server_that_does_not_answer_is_given_up_on(
    rt: Runtime, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "ANSWER_TIMEOUT_S", 0.3)
    set_server(rt, office.url())
    office.answers.append(HANG)
    (email_id,) = await queued(rt)
    await send(rt)
    row = await row_of(rt, email_id)
    assert (row.status, row.attempts) == (EmailStatus.PENDING, 1)
    assert "Timed out" in row.error


async def test_while_the_server_is_away_everything_waits_and_then_arrives(any_rt: Runtime) -> None:
    port = free_port()
    set_server(any_rt, f"smtp://localhost:{port}")
    ids = await queued(any_rt, 3)
    await send(any_rt)
    for id_ in ids:
        row = await row_of(any_rt, id_)
        assert (row.status, row.attempts) == (EmailStatus.PENDING, 1)
        assert "Error connecting to localhost" in row.error
    with opened(PostOffice(port=port)) as office:
        await make_due(any_rt)
        await send(any_rt)
        assert {arrived.id for arrived in office.arrived} == set(ids)


async def test_a_day_after_its_first_attempt_it_is_given_up_with_the_last_words(
    rt: Runtime, office: PostOffice
) -> None:
    set_server(rt, office.url())
    office.answers.append("452 4.3.1 Disk full")
    (email_id,) = await queued(rt)
    await change(rt, email_id, tried_at=now_ms() - 24 * 3_600_000, attempts=20)
    await send(rt)
    row = await row_of(rt, email_id)
    assert (row.status, row.attempts, row.content) == (EmailStatus.FAILED, 21, None)
    assert row.error == "452 4.3.1 Disk full"
    assert (await job_of(rt, email_id)).state == JobState.DEAD


async def test_without_a_server_messages_are_kept_and_the_log_says_so(any_rt: Runtime, office: PostOffice) -> None:
    ids = await queued(any_rt, 2)
    with structlog.testing.capture_logs() as logs:
        await send(any_rt)
    lines = [line for line in logs if line["event"] == "mail_not_sent"]
    assert sorted(line["email_id"] for line in lines) == ids
    assert all("NOVAPULSE_SMTP_URL is not set" in line["why"] for line in lines)
    assert {(line["kind"], line["recipient"]) for line in lines} == {("password_reset", "v***@example.com")}
    assert TOKEN not in str(logs)
    row = await row_of(any_rt, ids[0])
    assert row.status == EmailStatus.KEPT
    assert TOKEN not in row.content
    await change(any_rt, ids[0], finished_at=now_ms() - 2 * 3_600_000)
    await delete_old_mail(any_rt)
    row = await row_of(any_rt, ids[0])
    assert LINK in open_message(any_rt, ids[0], row.content).text

    set_server(any_rt, office.url())
    await make_due(any_rt)
    await send(any_rt)
    assert office.arrived == [], "stale: not sent when a server is set later"


@pytest.mark.parametrize(
    "to", ["vera@example.com\r\nBcc: x@example.com", "vera", "ve ra@example.com>", "vära@example.com"]
)
async def test_an_address_that_cannot_be_named_fails_and_holds_nothing_up(
    rt: Runtime, office: PostOffice, to: str
) -> None:
    set_server(rt, office.url())
    bad = await told(rt, to)
    (fine,) = await queued(rt)
    await send(rt)
    row = await row_of(rt, bad)
    assert row.status == EmailStatus.FAILED
    assert row.error
    assert [(arrived.recipients, arrived.id) for arrived in office.arrived] == [([TO], fine)]


async def test_two_workers_send_each_message_once(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    load_all_tasks(any_rt.settings)
    ids = await queued(any_rt, 30)
    engines = [Engine(any_rt, "email", owner) for owner in ("w1", "w2", "w3")]
    await asyncio.gather(*(engine.run(["due"] * 30) for engine in engines))
    await asyncio.gather(*(engine.stop(5) for engine in engines))
    assert sorted(arrived.id for arrived in office.arrived) == ids


async def test_a_worker_that_stops_gives_back_what_it_cannot_finish(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    load_all_tasks(rt.settings)
    office.answers.append(HANG)
    (email_id,) = await queued(rt)
    engine = Engine(rt, "email", "w1")
    sending = asyncio.create_task(engine.run(["due"]))
    await until(lambda: office.began.is_set())
    await engine.stop(0.2)
    await asyncio.wait([sending], timeout=5)
    row = await row_of(rt, email_id)
    assert (row.status, row.attempts) == (EmailStatus.PENDING, 0)
    await send(rt)
    assert [arrived.id for arrived in office.arrived] == [email_id]


async def test_what_its_job_becomes_the_message_becomes(any_rt: Runtime, office: PostOffice) -> None:
    """Whatever ends a job: a worker that dies of it again and again, or a person."""
    set_server(any_rt, office.url())
    poison, called_off, gone, again = [await told(any_rt, TO) for _ in range(4)]

    async def set_job(email_id: str, **values: Any) -> None:
        async with any_rt.database.write() as session:
            job = await job_of(any_rt, email_id)
            await session.execute(update(JOB).where(JOB.c.id == job.id).values(**values))

    await set_job(poison, state="dead", error="Its worker died twice.", finished_at=now_ms())
    await set_job(called_off, state="cancelled", finished_at=now_ms())
    await set_job(again, state="cancelled", finished_at=now_ms())
    async with any_rt.database.write() as session:
        job = await job_of(any_rt, gone)
        await session.execute(JOB.delete().where(JOB.c.id == job.id))
    row = await row_of(any_rt, poison)
    assert (row.status, row.error) == (EmailStatus.FAILED, "Its worker died twice.")
    assert row.finished_at is not None
    assert (await row_of(any_rt, called_off)).status == EmailStatus.CANCELLED
    assert (await row_of(any_rt, gone)).status == EmailStatus.CANCELLED
    await set_job(again, state="waiting", finished_at=None)
    assert (await row_of(any_rt, again)).status == EmailStatus.PENDING
    await send(any_rt)
    assert [arrived.id for arrived in office.arrived] == [again]
    assert (await row_of(any_rt, again)).status == EmailStatus.SENT


async def test_a_domain_gets_no_more_than_its_limit_and_others_do_not_wait(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url(), mail_domain_limits=parse_domain_rates("slow.example=2/60s"))
    slow = [await told(any_rt, f"a{n}@slow.example") for n in range(4)]
    fine = [await told(any_rt, f"a{n}@fine.example") for n in range(4)]
    began = now_ms()
    await send(any_rt)
    sent = {arrived.id for arrived in office.arrived}
    held = set(slow) - sent
    assert (set(fine) <= sent, len(held)) == (True, 2)
    waiting = sorted([(await job_of(any_rt, id_)).run_at - began for id_ in held])
    assert 28_000 <= waiting[0] <= 32_000
    assert 58_000 <= waiting[1] <= 63_000, "each has a turn of its own"
    assert {(await job_of(any_rt, id_)).attempts for id_ in held} == {0}, "waiting is no attempt"
    for id_ in held:
        await change(any_rt, id_, slot_at=now_ms())
    await make_due(any_rt)
    await send(any_rt)
    assert len(office.arrived) == 8


async def test_what_ended_long_ago_is_forgotten(any_rt: Runtime) -> None:
    old, young, waiting, private = await queued(any_rt, 4)
    shown = await told(any_rt, TO)
    day = 24 * 3_600_000
    await change(any_rt, old, status="sent", finished_at=now_ms() - 31 * day)
    await change(any_rt, young, status="sent", finished_at=now_ms() - 29 * day)
    await change(any_rt, waiting, created_at=now_ms() - 31 * day)
    await change(any_rt, private, status="cancelled", finished_at=now_ms() - 2 * 60_000)
    await change(any_rt, shown, status="sent", finished_at=now_ms() - 6 * day)
    await delete_old_mail(any_rt)
    async with any_rt.database.read() as session:
        left = dict((await session.execute(select(EMAIL.c.id, EMAIL.c.content.is_not(None)))).all())
    assert left == {young: False, waiting: True, private: False, shown: True}
    await change(any_rt, shown, finished_at=now_ms() - 8 * day)
    await delete_old_mail(any_rt)
    assert (await row_of(any_rt, shown)).content is None


async def test_a_notice_is_not_sent_when_what_it_tells_of_did_not_happen(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    with pytest.raises(RuntimeError):
        async with rt.database.write() as session:
            await tell(rt, session, TO, Notice.PASSWORD_CHANGED, {})
            raise RuntimeError("rolled back")
    await send(rt)
    assert office.arrived == []


def test_the_test_server_is_one(office: PostOffice) -> None:
    """What the other tests rest on: a client that is not ours is served by it too."""
    with smtplib.SMTP("127.0.0.1", office.port) as client:
        client.sendmail("a@example.com", ["b@example.com"], b"Subject: x\r\nMessage-ID: <1@x>\r\n\r\nx")
    assert [arrived.id for arrived in office.arrived] == ["1"]


async def until(check: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            found = check()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.05)
