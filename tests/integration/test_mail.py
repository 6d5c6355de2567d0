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
from novapulse.core.runtime import Runtime
from novapulse.mail import postman as postman_module
from novapulse.mail import smtp
from novapulse.mail.handout import hand_out_mail
from novapulse.mail.models import EmailStatus
from novapulse.mail.outbox import EMAIL, Claim, claim, delete_old, finish, give_back
from novapulse.mail.postman import Postman
from novapulse.mail.service import Message, open_message, queue_mail
from novapulse.security.notices import Notice, tell
from tests.instance import free_port
from tests.postoffice import DROP, HANG, HANG_UP, OK, PostOffice, opened

TOKEN = "planted-token-4711"
LINK = f"https://hooks.example.com/reset?token={TOKEN}"
TO = "vera@example.com"


@pytest.fixture
def office() -> Iterator[PostOffice]:
    with opened() as made:
        yield made


def set_server(rt: Runtime, url: str) -> None:
    rt.settings = rt.settings.model_copy(update={"smtp_url": SecretStr(url)})


async def queued(rt: Runtime, count: int = 1) -> list[str]:
    """Messages that hold a link, in the outbox."""
    async with rt.database.write() as session:
        return [await tell(rt, session, TO, Notice.PASSWORD_RESET, {"link": LINK}) for _ in range(count)]


async def row_of(rt: Runtime, email_id: str) -> Any:
    async with rt.database.read() as session:
        return (await session.execute(select(EMAIL).where(EMAIL.c.id == email_id))).one()


async def change(rt: Runtime, email_id: str, **values: Any) -> None:
    async with rt.database.write() as session:
        await session.execute(update(EMAIL).where(EMAIL.c.id == email_id).values(**values))


async def send(rt: Runtime, ids: list[str], owner: str = "w1", *, takeover_from: str | None = None) -> None:
    postman = Postman(rt, owner)
    try:
        await postman.send(ids, takeover_from=takeover_from)
    finally:
        await postman.stop(5)


async def test_a_message_arrives_with_both_parts_and_is_then_erased(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    (email_id,) = await queued(any_rt)
    before = await row_of(any_rt, email_id)
    assert TOKEN not in str(before)
    assert TOKEN in open_message(any_rt, email_id, before.content).text

    with structlog.testing.capture_logs() as logs:
        await send(any_rt, [email_id])

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
    assert TOKEN not in str(logs)
    assert TO not in str(logs)


async def test_a_batch_goes_over_one_connection(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    ids = await queued(rt, 10)
    await send(rt, ids)
    assert [arrived.id for arrived in office.arrived] == ids
    assert len({arrived.connection for arrived in office.arrived}) == 1


async def test_what_the_server_puts_off_is_sent_later(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    office.answers.append(f"451 4.7.1 {TO} is greylisted")
    first, second = await queued(any_rt, 2)
    began = now_ms()
    with structlog.testing.capture_logs() as logs:
        await send(any_rt, [first, second])
    row = await row_of(any_rt, first)
    assert (row.status, row.attempts, row.error) == (EmailStatus.PENDING, 1, f"451 4.7.1 {TO} is greylisted")
    assert "v***@example.com is greylisted" in str(logs)
    assert TO not in str(logs)
    assert 10_000 <= row.next_attempt_at - began <= 13_000
    assert row.content is not None
    assert (await row_of(any_rt, second)).status == EmailStatus.SENT

    await send(any_rt, [first])
    assert len(office.arrived) == 1, "not before it is due"
    await change(any_rt, first, next_attempt_at=now_ms())
    await send(any_rt, [first])
    assert [arrived.id for arrived in office.arrived] == [second, first]
    row = await row_of(any_rt, first)
    assert (row.status, row.attempts, row.error, row.content) == (EmailStatus.SENT, 2, None, None)


@pytest.mark.parametrize("stage", ["answers", "recipient_answers"])
async def test_what_the_server_refuses_fails_at_once_with_its_words(
    rt: Runtime, office: PostOffice, stage: str
) -> None:
    set_server(rt, office.url())
    getattr(office, stage).append(f"550 5.1.1 <{TO}> no such user here")
    refused, fine = await queued(rt, 2)
    with structlog.testing.capture_logs() as logs:
        await send(rt, [refused, fine])
    row = await row_of(rt, refused)
    assert (row.status, row.attempts, row.content) == (EmailStatus.FAILED, 1, None)
    assert row.error == f"550 5.1.1 <{TO}> no such user here"
    assert (await row_of(rt, fine)).status == EmailStatus.SENT
    (line,) = [line for line in logs if line["event"] == "mail_failed"]
    assert line["words"] == "550 5.1.1 <v***@example.com> no such user here"
    assert TO not in str(logs)


@pytest.mark.parametrize("what", [DROP, HANG_UP, "421 4.3.2 Closing down"])
async def test_a_connection_that_breaks_costs_no_message(rt: Runtime, office: PostOffice, what: str) -> None:
    set_server(rt, office.url())
    ids = await queued(rt, 3)
    office.answers.append(what)
    await send(rt, ids)
    row = await row_of(rt, ids[0])
    assert (row.status, row.attempts) == (EmailStatus.PENDING, 1), "the first on a connection is put off"
    assert [(await row_of(rt, id_)).status for id_ in ids[1:]] == [EmailStatus.SENT] * 2
    await change(rt, ids[0], next_attempt_at=now_ms())
    await send(rt, [ids[0]])
    assert (await row_of(rt, ids[0])).status == EmailStatus.SENT
    assert {arrived.id for arrived in office.arrived} == set(ids)
    assert len(office.arrived) == (4 if what == HANG_UP else 3), "only a lost answer makes a repeat"


async def test_a_server_that_has_had_enough_is_called_again_at_once(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    office.answers.extend([OK, "421 4.7.0 Too many messages on this connection"])
    ids = await queued(rt, 3)
    await send(rt, ids)
    assert [arrived.id for arrived in office.arrived] == ids
    assert office.arrived[0].connection != office.arrived[1].connection
    assert {(await row_of(rt, id_)).attempts for id_ in ids} == {1}


async def test_a_server_that_does_not_answer_is_given_up_on(
    rt: Runtime, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "ANSWER_TIMEOUT_S", 0.3)
    set_server(rt, office.url())
    office.answers.append(HANG)
    (email_id,) = await queued(rt)
    await send(rt, [email_id])
    row = await row_of(rt, email_id)
    assert (row.status, row.attempts) == (EmailStatus.PENDING, 1)
    assert "Timed out" in row.error


async def test_while_the_server_is_away_everything_waits_and_then_arrives(any_rt: Runtime) -> None:
    port = free_port()
    set_server(any_rt, f"smtp://localhost:{port}")
    ids = await queued(any_rt, 3)
    await send(any_rt, ids)
    for id_ in ids:
        row = await row_of(any_rt, id_)
        assert (row.status, row.attempts) == (EmailStatus.PENDING, 1)
        assert "Error connecting to localhost" in row.error
    with opened(PostOffice(port=port)) as office:
        for id_ in ids:
            await change(any_rt, id_, next_attempt_at=now_ms())
        await send(any_rt, ids)
        assert {arrived.id for arrived in office.arrived} == set(ids)


async def test_after_a_day_it_is_given_up_with_the_last_words(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    office.answers.append("452 4.3.1 Disk full")
    (email_id,) = await queued(rt)
    await change(rt, email_id, created_at=now_ms() - 24 * 3_600_000, attempts=20)
    await send(rt, [email_id])
    row = await row_of(rt, email_id)
    assert (row.status, row.attempts, row.content) == (EmailStatus.FAILED, 21, None)
    assert row.error == "452 4.3.1 Disk full"


async def test_without_a_server_messages_are_kept_and_the_log_says_so(any_rt: Runtime, office: PostOffice) -> None:
    ids = await queued(any_rt, 2)
    with structlog.testing.capture_logs() as logs:
        await send(any_rt, ids)
    lines = [line for line in logs if line["event"] == "mail_not_sent"]
    assert [line["email_id"] for line in lines] == ids
    assert all("NOVAPULSE_SMTP_URL is not set" in line["why"] for line in lines)
    assert {(line["kind"], line["recipient"]) for line in lines} == {("password_reset", "v***@example.com")}
    assert TOKEN not in str(logs)
    row = await row_of(any_rt, ids[0])
    assert row.status == EmailStatus.KEPT
    assert TOKEN not in row.content
    assert LINK in open_message(any_rt, ids[0], row.content).text

    set_server(any_rt, office.url())
    assert await hand_out_mail(any_rt) == 0
    await send(any_rt, ids)
    assert office.arrived == [], "stale: not sent when a server is set later"


@pytest.mark.parametrize(
    "to", ["vera@example.com\r\nBcc: x@example.com", "vera", "ve ra@example.com>", "vära@example.com"]
)
async def test_an_address_that_cannot_be_named_fails_and_holds_nothing_up(
    rt: Runtime, office: PostOffice, to: str
) -> None:
    set_server(rt, office.url())
    async with rt.database.write() as session:
        bad = await queue_mail(rt, session, Message(to=to, kind="test", subject="x", text="x", html="x"))
    (fine,) = await queued(rt)
    await send(rt, [bad, fine])
    row = await row_of(rt, bad)
    assert row.status == EmailStatus.FAILED
    assert row.error
    assert [arrived.recipients for arrived in office.arrived] == [[TO]]


async def test_two_workers_send_each_message_once(any_rt: Runtime, office: PostOffice) -> None:
    set_server(any_rt, office.url())
    ids = await queued(any_rt, 30)
    await asyncio.gather(*(send(any_rt, ids, owner) for owner in ("w1", "w2", "w3")))
    assert sorted(arrived.id for arrived in office.arrived) == ids


async def test_a_claim_that_was_taken_over_is_not_recorded_by_its_first_owner(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    office.delay_s = 0.5
    (email_id,) = await queued(rt)
    slow = asyncio.create_task(send(rt, [email_id], "w1"))
    await asyncio.to_thread(office.began.wait, 5)
    office.delay_s = 0.0
    office.answers.append("451 4.7.1 Not now")
    with structlog.testing.capture_logs() as logs:
        await send(rt, [email_id], "w2", takeover_from="w1")
        await slow
    row = await row_of(rt, email_id)
    assert (row.status, row.error) == (EmailStatus.PENDING, "451 4.7.1 Not now"), "the later claim counts"
    assert [line["event"] for line in logs if line["event"] == "claim_lost"] == ["claim_lost"]


async def test_a_claim_is_recorded_by_itself_only_not_by_an_older_one_of_the_same_worker(any_rt: Runtime) -> None:
    (email_id,) = await queued(any_rt)

    async def claimed() -> Claim:
        found = await any_rt.database.run_write(
            lambda c: claim(c, [email_id], owner="w1", takeover_from=None, now=now_ms())
        )
        return found[0]

    async def recorded(item: Claim) -> bool:
        return await any_rt.database.run_write(
            lambda c: finish(c, item, owner="w1", status=EmailStatus.SENT, words=None, now=now_ms())
        )

    older = await claimed()
    await change(any_rt, email_id, lease_until=1)
    newer = await claimed()
    assert not await recorded(older)
    assert (await row_of(any_rt, email_id)).status == EmailStatus.SENDING
    assert await recorded(newer)


async def test_a_worker_that_stops_gives_back_what_it_cannot_finish(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    ids = await queued(rt, 3)
    office.answers.extend([OK, HANG])
    postman = Postman(rt, "w1")
    sending = asyncio.create_task(postman.send(ids))
    await until(lambda: len(office.answers) == 0)
    await postman.stop(0.2)
    await sending
    assert postman.room() == 0
    rows = [await row_of(rt, id_) for id_ in ids]
    assert [(row.status, row.attempts) for row in rows] == [
        (EmailStatus.SENT, 1),
        (EmailStatus.PENDING, 0),
        (EmailStatus.PENDING, 0),
    ]
    await send(rt, ids, "w2")
    assert sorted(arrived.id for arrived in office.arrived) == ids


async def test_a_lease_is_renewed_while_the_server_takes_its_time(
    rt: Runtime, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postman_module.outbox, "LEASE_MS", 600)
    set_server(rt, office.url())
    office.delay_s = 1.5
    (email_id,) = await queued(rt)
    slow = asyncio.create_task(send(rt, [email_id], "w1"))
    await asyncio.to_thread(office.began.wait, 5)
    await asyncio.sleep(1.0)
    await send(rt, [email_id], "w2")
    await slow
    assert len(office.arrived) == 1
    assert (await row_of(rt, email_id)).status == EmailStatus.SENT


async def test_a_message_that_kills_every_worker_is_not_tried_for_ever(rt: Runtime, office: PostOffice) -> None:
    set_server(rt, office.url())
    (email_id,) = await queued(rt)
    await change(rt, email_id, claims=20)
    await send(rt, [email_id])
    row = await row_of(rt, email_id)
    assert row.status == EmailStatus.FAILED
    assert "died 20 times" in row.error
    assert office.arrived == []


async def test_the_handout_finds_what_is_due_once_and_what_valkey_lost_again(any_rt: Runtime) -> None:
    ids = await queued(any_rt, 45)
    await change(any_rt, ids[0], next_attempt_at=now_ms() + 60_000)
    assert await hand_out_mail(any_rt) == 44
    assert await any_rt.valkey.xlen("np:q:{email}") == 3, "jobs of twenty"
    assert await hand_out_mail(any_rt) == 0
    await any_rt.valkey.flushall()
    await change(any_rt, ids[1], enqueued_at=now_ms() - 4_000)
    assert await hand_out_mail(any_rt) == 1


async def test_the_handout_frees_what_a_dead_worker_held(any_rt: Runtime) -> None:
    (email_id,) = await queued(any_rt)
    await hand_out_mail(any_rt)
    await any_rt.valkey.flushall()
    await any_rt.database.run_write(lambda c: claim(c, [email_id], owner="dead", takeover_from=None, now=now_ms()))
    seen = asyncio.get_running_loop().time()

    async def freed() -> bool:
        return await hand_out_mail(any_rt) == 1

    await until(freed)
    assert asyncio.get_running_loop().time() - seen >= any_rt.settings.heartbeat_ttl_s, "not at first sight"
    again = await any_rt.database.run_write(
        lambda c: claim(c, [email_id], owner="w2", takeover_from=None, now=now_ms())
    )
    assert [item.fence for item in again] == [2]
    await any_rt.database.run_write(lambda c: give_back(c, again, owner="w2"))


async def test_what_ended_long_ago_is_forgotten(any_rt: Runtime) -> None:
    old, young, waiting = await queued(any_rt, 3)
    day = 24 * 3_600_000
    await change(any_rt, old, status="sent", finished_at=now_ms() - 31 * day)
    await change(any_rt, young, status="sent", finished_at=now_ms() - 29 * day)
    await change(any_rt, waiting, created_at=now_ms() - 31 * day)
    await delete_old(any_rt)
    async with any_rt.database.read() as session:
        assert set((await session.execute(select(EMAIL.c.id))).scalars()) == {young, waiting}


async def test_a_notice_is_not_sent_when_what_it_tells_of_did_not_happen(rt: Runtime) -> None:
    with pytest.raises(RuntimeError):
        async with rt.database.write() as session:
            await tell(rt, session, TO, Notice.PASSWORD_CHANGED, {})
            raise RuntimeError("rolled back")
    assert await hand_out_mail(rt) == 0


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
