"""The migrations make what the models say, on both databases, from nothing and by several at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import SQLModel

import novapulse.core.idempotency
import novapulse.jobs.models
import novapulse.mail.models
import novapulse.reports.models
import novapulse.security.models
import novapulse.webhooks.models
import novapulse.workflows.models  # noqa: F401 - the tables of all are compared
from novapulse.core.database import Database
from novapulse.core.migrations import (
    RevisionError,
    downgrade,
    downgrade_on,
    pending,
    revision_of,
    revisions,
    upgrade,
    upgrade_on,
)
from novapulse.jobs.conservation import _differences
from novapulse.launch.errors import StartError
from novapulse.launch.prepare import check_database, refuse_newer_database
from tests.conftest import fresh_postgres, make_settings
from tests.planting import SEEDED, Rows, plant


@pytest.fixture(params=["sqlite", "postgres"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    raw = await fresh_postgres(request.getfixturevalue("postgres_url")) if request.param == "postgres" else ""
    return make_settings(tmp_path, database_url=raw).database


async def differences(database: Database) -> list[Any]:
    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": lambda name, *_: name != "alembic_version"}
        )
        return compare_metadata(context, SQLModel.metadata)

    async with database.engine.connect() as connection:
        return await connection.run_sync(compare)


async def cascades(database: Database) -> dict[str, Any]:
    """What happens to rows that refer to a deleted one, by table and column."""

    def read(connection: Connection) -> dict[str, Any]:
        inspector = inspect(connection)
        return {
            f"{table}.{key['constrained_columns'][0]}": key["options"].get("ondelete")
            for table in inspector.get_table_names()
            for key in inspector.get_foreign_keys(table)
        }

    async with database.engine.connect() as connection:
        return await connection.run_sync(read)


async def test_an_empty_database_becomes_what_the_models_say(url: str) -> None:
    database = Database(url)
    try:
        assert await differences(database), "the comparison sees nothing"
        await asyncio.to_thread(upgrade, url)
        assert await differences(database) == []
        declared = {
            f"{table.name}.{key.parent.name}": key.ondelete
            for table in SQLModel.metadata.tables.values()
            for key in table.foreign_keys
        }
        assert await cascades(database) == declared
    finally:
        await database.close()


async def test_the_comparison_notices_a_missing_column_and_index(url: str) -> None:
    await asyncio.to_thread(upgrade, url)
    database = Database(url)
    try:
        async with database.write() as session:
            await session.execute(text("DROP INDEX ix_delivery_status"))
            await session.execute(text("ALTER TABLE webhook DROP COLUMN description"))
        assert {difference[0] for difference in await differences(database)} == {"add_index", "add_column"}
    finally:
        await database.close()


async def test_a_database_is_behind_until_the_latest_migration_ran_and_a_newer_one_is_left_alone(url: str) -> None:
    database = Database(url)
    try:
        assert await pending(database)
        await asyncio.to_thread(upgrade, url)
        assert not await pending(database)
        await asyncio.to_thread(downgrade, url, revisions()[-2])
        assert await pending(database)
        async with database.write() as session:
            await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        # A process that runs goes on: the newer version's migrations leave what it uses.
        assert not await pending(database)
        for act in (lambda: upgrade(url), lambda: downgrade(url, "0001")):
            with pytest.raises(RevisionError, match=r"of a newer NovaPulse \(revision 9999; .*novapulse db downgrade"):
                await asyncio.to_thread(act)
        assert (await revision_of(database)).now == "9999"
        # None of it is started anew, though.
        settings = make_settings(Path("unused"), database_url=url)
        with pytest.raises(StartError, match="of a newer NovaPulse"):
            await refuse_newer_database(settings)
        with pytest.raises(StartError, match="of a newer NovaPulse"):
            await check_database(settings)
    finally:
        await database.close()


def found(connection: Connection, planted: Rows) -> Rows:
    """What is there of what was planted, by table."""
    metadata = MetaData()
    metadata.reflect(connection)
    there: Rows = {}
    for table in metadata.sorted_tables:
        if table.name in planted:
            mine = [key == planted[table.name][key.name] for key in table.primary_key]
            for row in connection.execute(table.select().where(*mine)):
                there[table.name] = dict(row._mapping)
    return there


async def test_each_migration_is_taken_back_and_made_again_with_rows_in_every_table(url: str) -> None:
    await asyncio.to_thread(upgrade, url)
    database = Database(url)
    try:
        async with database.write_connection() as connection:
            planted = await connection.run_sync(plant)
            there = await connection.run_sync(found, planted)
            assert there.keys() == planted.keys() >= SQLModel.metadata.tables.keys() - SEEDED
            for change, revision in [
                *((downgrade_on, each) for each in revisions()[-2::-1]),
                *((upgrade_on, each) for each in revisions()[1:]),
            ]:
                await connection.run_sync(change, revision)
                tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
                now = await connection.run_sync(found, planted)
                # Whatever still has a place is there, as it was.
                assert there.keys() & set(tables) == now.keys(), revision
                for table, row in now.items():
                    assert row.items() >= {k: v for k, v in there[table].items() if k in row}.items(), (revision, table)
                there = now
            assert await connection.run_sync(_differences) == {}
        assert {"event", "delivery", "attempt", "webhook", "webhook_secret", "user_account"} <= there.keys()
        assert await differences(database) == []
    finally:
        await database.close()


async def test_processes_that_start_at_once_migrate_once_and_keep_what_is_there(url: str) -> None:
    code = "import sys; from novapulse.core.migrations import upgrade; upgrade(sys.argv[1])"
    starts = [asyncio.create_subprocess_exec(sys.executable, "-c", code, url) for _ in range(3)]
    assert [await process.wait() for process in await asyncio.gather(*starts)] == [0, 0, 0]
    database = Database(url)
    try:
        async with database.write() as session:
            await session.execute(
                text(
                    "INSERT INTO event (id, type, tenant_key, body, timestamp, created_at, deliveries)"
                    " VALUES ('evt_1', 'a.b', '', '{}', 0, 0, 0)"
                )
            )
        await asyncio.to_thread(upgrade, url)
        async with database.read() as session:
            assert (await session.execute(text("SELECT count(*) FROM event"))).scalar_one() == 1
            assert (await session.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1
            assert (await session.execute(text("SELECT count(*) FROM routing_version"))).scalar_one() == 1
    finally:
        await database.close()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    database = Database(url)
    try:
        async with database.write() as session:
            # In the way of one of the last tables that are made.
            await session.execute(text("CREATE TABLE setup_link (id INTEGER)"))
        with pytest.raises(SQLAlchemyError):
            await asyncio.to_thread(upgrade, url)
        async with database.engine.connect() as connection:
            tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        assert set(tables) == {"setup_link"}
        assert await pending(database)
    finally:
        await database.close()


async def test_mail_that_waits_gets_the_job_that_sends_it(url: str) -> None:
    old = (
        "INSERT INTO email (id, recipient, kind, subject, content, status, attempts, enqueued_at, claims, lease_until,"
        " created_at) VALUES ('eml_{0}', 'a@example.com', 'new_sign_in', 'x', 'c', '{1}', 0, 0, 0, 0, 5)"
    )
    database = Database(url)
    try:
        async with database.write_connection() as connection:
            await connection.run_sync(lambda sync: upgrade_on(sync, "0003"))
            for number, status in enumerate(("pending", "sending", "sent")):
                await connection.execute(text(old.format(number, status)))
        await asyncio.to_thread(upgrade, url)
        async with database.read() as session:
            mails = (await session.execute(text("SELECT id, status, job_id, private FROM email ORDER BY id"))).all()
            jobs = (await session.execute(text("SELECT id, task, state, payload FROM job ORDER BY id"))).all()
            counts = await session.execute(
                text("SELECT state, sum(n) FROM queue_count WHERE queue = 'email' AND n <> 0 GROUP BY state ORDER BY 1")
            )
            assert [tuple(row) for row in counts] == [("enqueued", 2), ("waiting", 2)]
        assert [tuple(row) for row in mails] == [
            ("eml_0", "pending", "job_0", True),
            ("eml_1", "pending", "job_1", True),
            ("eml_2", "sent", None, True),
        ]
        assert [tuple(row) for row in jobs] == [
            (f"job_{n}", "email.send", "waiting", f'{{"email_id":"eml_{n}"}}') for n in (0, 1)
        ]
    finally:
        await database.close()
