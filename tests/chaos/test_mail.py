"""Mail while processes are killed and the server is away: no message is lost, hardly any arrives twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from novapulse.core.runtime import open_runtime
from novapulse.mail.pool import CONNECTIONS
from novapulse.security.notices import Notice, tell
from novapulse.settings import Settings
from tests.chaos.conftest import House, free_port, wait_until
from tests.postoffice import PostOffice, opened
from worker.enqueue import make_enqueue

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(300)]

TOKEN = "planted-token-4711"
TO = "vera@example.com"


def queue(house: House, count: int) -> list[str]:
    """Put messages into the outbox of a house, as its web process does."""
    settings = Settings(data_dir=house.folder)

    async def put() -> list[str]:
        enqueue = make_enqueue(settings)
        rt = open_runtime(settings, enqueue)
        facts = {"link": f"https://hooks.example.com/reset?token={TOKEN}"}
        try:
            async with rt.database.write() as session:
                return [await tell(rt, session, TO, Notice.PASSWORD_RESET, facts) for _ in range(count)]
        finally:
            await enqueue.close()
            await rt.close()

    return asyncio.run(put())


def statuses(house: House) -> dict[str, int]:
    return dict(house.rows("SELECT status, count(*) FROM email GROUP BY status"))


def logged(house: House) -> str:
    return (house.folder.parent / f"{house.folder.name}.log").read_text()


def test_workers_killed_while_they_send_lose_no_message(make_house: Callable[..., House]) -> None:
    with opened(PostOffice(delay_s=0.02)) as office:
        house = make_house(NOVAPULSE_SMTP_URL=office.url())
        other = house.spawn("worker")
        try:
            ids = queue(house, 400)
            kills = 0
            for part in range(1, 4):
                wait_until(lambda part=part: len(office.arrived) > part * 80, 60, "some sent")
                house.kill("worker")
                kills += 1
            wait_until(lambda: len(office.arrived) > 330, 60, "some more sent")
            other.kill()
            kills += 1
            wait_until(lambda: not {"pending", "sending"} & statuses(house).keys(), 120, "all over")
        finally:
            other.kill()
            other.wait()
        came = Counter(arrived.id for arrived in office.arrived)
        # Whoever is hit by three kills is taken for what kills: dead with that reason, for a person to send again.
        hit = dict(house.rows("SELECT id, error FROM email WHERE status <> 'sent'"))
        assert len(hit) <= kills
        assert all("times while it ran" in error for error in hit.values())
        assert set(ids) - set(hit) <= set(came) <= set(ids)
        repeats = sum(came.values()) - len(ids)
        print(f"{repeats} repeats of {len(ids)} after {kills} kills")
        assert repeats <= kills * CONNECTIONS, "one message per connection and kill"
        assert house.rows("SELECT count(*) FROM email WHERE content IS NOT NULL") == [(0,)]
        assert TOKEN not in logged(house)


def test_mail_told_while_the_server_and_valkey_were_away_arrives(make_house: Callable[..., House]) -> None:
    port = free_port()
    house = make_house(NOVAPULSE_SMTP_URL=f"smtp://localhost:{port}")
    ids = queue(house, 50)
    wait_until(lambda: house.rows("SELECT count(*) FROM email WHERE attempts = 1") == [(50,)], 30, "all were tried")
    house.kill("valkey")
    ids += queue(house, 50)
    with opened(PostOffice(port=port)) as office:
        wait_until(lambda: statuses(house) == {"sent": 100}, 120, "all sent")
        assert sorted(arrived.id for arrived in office.arrived) == sorted(ids)
    assert TOKEN not in logged(house)


def test_without_a_mail_server_everything_goes_on_and_the_log_says_what_was_not_sent(
    make_house: Callable[..., House],
) -> None:
    house = make_house()
    ids = queue(house, 3)
    wait_until(lambda: statuses(house) == {"kept": 3}, 30, "kept")
    log = logged(house)
    for email_id in ids:
        (line,) = [line for line in log.splitlines() if email_id in line and "mail_not_sent" in line]
        assert "NOVAPULSE_SMTP_URL is not set" in line
        assert "v***@example.com" in line
    assert TOKEN not in log
    assert TO not in log
    for file in house.folder.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file
