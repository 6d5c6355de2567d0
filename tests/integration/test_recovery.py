"""What was backed up works after everything is destroyed, on the other kind of database, too."""

from __future__ import annotations

import asyncio
import gzip
import io
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from novapulse.core.actor import SYSTEM, Actor
from novapulse.core.crypto import load_keyring
from novapulse.core.database import Database
from novapulse.core.migrations import downgrade, revision_of, revisions, upgrade
from novapulse.core.runtime import Runtime
from novapulse.jobs.conservation import _differences
from novapulse.recovery import schedule
from novapulse.recovery.archive import BackupError
from novapulse.recovery.backup import Summary, make_backup, new_file, verify
from novapulse.recovery.restore import restore
from novapulse.recovery.rows import chunks_of, columns_of, on_snapshot, tables_on
from novapulse.security import audit_verify
from novapulse.settings import Settings
from novapulse.webhooks import ingest, service
from novapulse.webhooks.engine import Engine
from novapulse.webhooks.handout import hand_out
from novapulse.webhooks.schemas import EventAccepted, EventIn, WebhookCreate
from tests.calls import PASSWORD, calling
from tests.conftest import _opened, fresh_postgres, make_settings
from tests.planting import plant
from tests.receiver import receiving
from tests.second_factor import Clock, make_person

PASSPHRASE = "only in the safe"  # pragma: allowlist secret
SIGNED_IN = {"session", "challenge", "one_time_link"}


@pytest.fixture
async def elsewhere(any_rt: Runtime, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Another machine, with nothing on it, and the other kind of database."""
    url = await fresh_postgres(request.getfixturevalue("postgres_url")) if any_rt.database.is_sqlite else ""
    return make_settings(tmp_path / "elsewhere", database_url=url, redis_url=any_rt.settings.redis_url)


async def backed_up(rt: Runtime, passphrase: str | None = PASSPHRASE, **options: bool) -> bytes:
    file = io.BytesIO()
    await make_backup(rt.settings, file, passphrase=passphrase, **options)
    return file.getvalue()


async def restored(settings: Settings, data: bytes, passphrase: str | None = PASSPHRASE, **options: bool) -> Summary:
    return await restore(settings, io.BytesIO(data), passphrase=passphrase, **options)


async def contents(settings: Settings) -> dict[str, list[bytes]]:
    """Every row of every table, as a backup writes them."""
    database = Database(settings.database)
    try:
        return await on_snapshot(
            database,
            settings.database,
            lambda sync: {
                table.name: sorted(
                    line for data, _ in chunks_of(sync, table.name, columns_of(table)) for line in data.splitlines()
                )
                for table in tables_on(sync)
            },
        )
    finally:
        await database.close()


async def send(rt: Runtime, actor: Actor, first: int, count: int) -> set[str]:
    events = [EventIn(type="order.paid", id=f"n-{n}", data={"n": n, "é": [None]}) for n in range(first, first + count)]
    answers = await ingest.accept_batch(rt, actor, events)
    return {answer.id for answer in answers if isinstance(answer, EventAccepted)}


async def deliver(rt: Runtime) -> None:
    """What workers and the scheduler would do, until nothing is open."""
    engine = Engine(rt, "w1")
    open_ = text("SELECT id FROM delivery WHERE status IN ('pending', 'sending', 'retrying') ORDER BY id")
    await hand_out(rt)
    async with rt.database.read() as session:
        ids = list((await session.execute(open_)).scalars())
    await engine.deliver(ids)
    await engine.stop(1)


async def again(settings: Settings) -> AsyncGenerator[Runtime]:
    async for runtime in _opened(settings):
        yield runtime


async def test_all_of_it_works_after_it_was_destroyed(
    any_rt: Runtime, elsewhere: Settings, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rt, clock = any_rt, Clock(monkeypatch)
    report = rt.settings.reports / f"rpt_{'0' * 32}.csv"
    report.parent.mkdir()
    report.write_bytes(b"a,b\n" * 300_000)
    with receiving() as receiver:
        webhook = await service.create_webhook(rt, actor, WebhookCreate(url=receiver.url(), headers={"x-key": "s3"}))
        async with calling(rt) as client:
            person = await make_person(rt, client, clock)
        sent = await send(rt, actor, 0, 30)
        await deliver(rt)
        owed = await send(rt, actor, 30, 50)
        async with rt.database.write() as session:
            await (await session.connection()).run_sync(lambda sync: plant(sync, leave=frozenset({"audit"})))
        before = await contents(rt.settings)
        assert all(before.values()), "there is a row in every table"
        data = await backed_up(rt, with_reports=True)
        late = await send(rt, actor, 80, 5)

        assert person.phone.secret.encode() not in gzip.decompress(data)
        assert load_keyring("", rt.settings.data_dir).ids == verify(io.BytesIO(data)).header.key_ids
        made = await restored(elsewhere, data)
        assert made.rows == sum(map(len, before.values()))
        after = await contents(elsewhere)
        assert {name for name in before if before[name] != after[name]} == SIGNED_IN
        assert not any(after[name] for name in SIGNED_IN), "nobody is signed in"
        assert stat.S_IMODE((elsewhere.data_dir / "secret.key").stat().st_mode) == 0o600
        assert (elsewhere.reports / report.name).read_bytes() == report.read_bytes()

        async for new in again(elsewhere):
            assert (await audit_verify.verify(new, SYSTEM)).intact
            await deliver(new)
            assert receiver.counts() == dict.fromkeys(sent | owed, 1), "each once, and none that came after the backup"
            assert not late & receiver.counts().keys()
            verifier = Verifier((await service.get_secret(new, SYSTEM, webhook.id)).secret)
            for arrival in receiver.arrivals:
                verifier.verify(arrival.body, arrival.headers)
                assert arrival.headers["x-key"] == "s3"
            # The sender may repeat what it does not know to have arrived.
            assert len(await send(new, actor, 0, 80) - sent - owed) == 0
            async with new.database.read() as session:
                assert await (await session.connection()).run_sync(_differences) == {}
            async with calling(new) as client:
                first = await client.post("/auth/login", json={"email": person.email, "password": PASSWORD})
                assert first.json()["mfa_required"] is True
                code = {"challenge": first.json()["challenge"], "code": person.phone.code()}
                assert (await client.post("/auth/mfa/verify", json=code)).status_code == 200


async def test_what_cannot_be_restored_is_refused_and_changes_nothing(
    any_rt: Runtime, elsewhere: Settings, actor: Actor, tmp_path: Path
) -> None:
    rt = any_rt
    await service.create_webhook(rt, actor, WebhookCreate(url="https://a.example/hook"))
    data, keyless = await backed_up(rt), await backed_up(rt, None)
    plain = gzip.decompress(data)
    cases: list[tuple[bytes, str | None, str]] = [
        (b"", PASSPHRASE, "no backup"),
        (b"hello", PASSPHRASE, "no backup"),
        (data[:-300], PASSPHRASE, "damaged or cut off"),
        (gzip.compress(plain[: plain.index(b"manifest.json")]), PASSPHRASE, "cut off"),
        (gzip.compress(plain.replace(b"a.example", b"b.example")), PASSPHRASE, "checksums"),
        (data, None, "passphrase: NOVAPULSE_BACKUP_PASSPHRASE"),
        (data, "another", "not the passphrase"),
        (keyless, PASSPHRASE, "holds no keys"),
    ]
    for file, passphrase, words in cases:
        with pytest.raises(BackupError, match=words):
            await restored(elsewhere, file, passphrase)
    database = Database(elsewhere.database)
    assert (await revision_of(database)).now is None, "it is as empty as it was"
    assert not (elsewhere.data_dir / "secret.key").exists()

    # The keys may come from elsewhere.
    key = (rt.settings.data_dir / "secret.key").read_text().strip()
    with_key = elsewhere.model_copy(update={"secret_key": SecretStr(key)})
    assert not (await restored(with_key, keyless)).header.with_keys
    with pytest.raises(BackupError, match=r"not empty.*--force"):
        await restored(elsewhere, data)
    await restored(elsewhere, data, replace=True)
    assert (await contents(elsewhere))["webhook"] == (await contents(rt.settings))["webhook"]
    other = with_key.model_copy(update={"secret_key": SecretStr("A" * 43 + "=")})
    with pytest.raises(BackupError, match="NOVAPULSE_SECRET_KEY lacks keys"):
        await restored(other, data, replace=True)

    await rt.valkey.set("{np}:scheduler", "x", px=5_000)
    with pytest.raises(BackupError, match="NovaPulse is running"):
        await restored(elsewhere, data, replace=True)
    await rt.valkey.delete("{np}:scheduler")

    (tmp_path / "taken").touch()
    with pytest.raises(BackupError, match="is there already"), new_file(tmp_path / "taken"):
        pass
    await database.close()


async def test_an_older_backup_is_brought_up_and_a_newer_one_refused(
    any_rt: Runtime, elsewhere: Settings, actor: Actor
) -> None:
    rt = any_rt
    await service.create_webhook(rt, actor, WebhookCreate(url="https://a.example/hook"))
    await send(rt, actor, 0, 3)
    await asyncio.to_thread(downgrade, rt.settings.database, revisions()[-3])
    old = await backed_up(rt)
    async with rt.database.write() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    new = await backed_up(rt)
    async with rt.database.write() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = :now"), {"now": revisions()[-3]})

    made = await restored(elsewhere, old)
    assert made.header.revision == revisions()[-3]
    database = Database(elsewhere.database)
    try:
        assert not (await revision_of(database)).behind
        await asyncio.to_thread(upgrade, rt.settings.database)
        before, after = await contents(rt.settings), await contents(elsewhere)
        assert {name for name in before if before[name] != after[name]} <= SIGNED_IN
        with pytest.raises(BackupError, match=r"made by a newer NovaPulse .*revision 9999"):
            await restored(elsewhere, new, replace=True)
    finally:
        await database.close()


async def test_backups_are_made_by_themselves_and_the_oldest_dropped(rt: Runtime, monkeypatch: Any) -> None:
    rt.settings = rt.settings.model_copy(update={"backup_every_h": 1.0, "backup_keep": 2})
    assert await schedule.last_backup_at(rt) is None
    old = [rt.settings.backups / f"novapulse-2024010{n}T000000Z.tar.gz" for n in range(1, 4)]
    rt.settings.backups.mkdir()
    for path in (*old, rt.settings.backups / "mine.tar.gz"):
        path.touch()
    made = await schedule.back_up_when_due(rt)
    assert made is not None
    with made.open("rb") as file:
        assert not verify(file).header.with_keys, "there is no passphrase"
    assert {path.name for path in rt.settings.backups.iterdir()} == {"mine.tar.gz", old[2].name, made.name}
    at = await schedule.last_backup_at(rt)
    assert at is not None
    assert await schedule.back_up_when_due(rt) is None, "not before an hour is over"
    monkeypatch.setattr(schedule, "now_ms", lambda: at + 3_600_001)
    monkeypatch.setattr(schedule, "name_at", lambda _: made.name)
    assert await schedule.back_up_when_due(rt) is None, "a file of that name is there"
    monkeypatch.setattr(schedule, "name_at", lambda _: "novapulse-2.tar.gz")
    assert await schedule.back_up_when_due(rt) is None, "what failed is not tried again at once"
