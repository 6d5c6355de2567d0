"""The audit log holds together: it only grows, many append at once, and what is done to it behind our back shows."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from novapulse.core.actor import SYSTEM, Actor, Permission
from novapulse.core.crypto import Keyring
from novapulse.core.errors import ForbiddenError
from novapulse.core.runtime import Runtime
from novapulse.launch.errors import StartError
from novapulse.launch.keycheck import check_stored_secrets
from novapulse.security import audit
from novapulse.security.audit_seal import LogKeys
from novapulse.security.audit_verify import Verdict, verify
from novapulse.webhooks import event_types, service
from novapulse.webhooks.schemas import EventTypeIn, WebhookCreate, WebhookPatch
from tests.calls import PUBLIC_URL
from tests.instance import clean_environment

HOOK = ("webhook", "wh_1", "Billing")


async def run(rt: Runtime, *statements: str, **values: Any) -> None:
    async with rt.database.write() as session:
        for statement in statements:
            await session.execute(text(statement), values)


async def fill(rt: Runtime, rows: int = 5) -> None:
    for number in range(rows):
        await audit.record(rt, SYSTEM, "webhook.changed", target=HOOK, detail={"number": number})


async def open_up(rt: Runtime) -> None:
    """What somebody does first who may do everything with the database."""
    if rt.database.is_sqlite:
        await run(rt, *(f"DROP TRIGGER audit_no_{what}" for what in ("update", "delete", "replace")))
    else:
        await run(rt, "DROP TRIGGER audit_append_only ON audit")


async def verdict(rt: Runtime, expect: str | None = None) -> Verdict:
    return await verify(rt, SYSTEM, expect)


async def test_an_empty_log_and_one_with_rows_are_intact(any_rt: Runtime) -> None:
    assert (await verdict(any_rt)).model_dump() == {
        "intact": True,
        "rows": 0,
        "head": None,
        "bad_seq": None,
        "problem": None,
    }
    await fill(any_rt, 1_203)  # more than two batches
    found = await verdict(any_rt)
    assert (found.intact, found.rows) == (True, 1_203)
    assert str(found).startswith("intact: 1203 rows, head 1203:")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor_name = 'nobody' WHERE seq = 2",
        "UPDATE audit SET seq = 99 WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit",
    ],
)
async def test_the_database_refuses_to_change_or_delete_a_row(any_rt: Runtime, statement: str) -> None:
    await fill(any_rt)
    with pytest.raises(DBAPIError, match="append-only"):
        await run(any_rt, statement)
    assert (await verdict(any_rt)).rows == 5


async def test_the_database_refuses_to_replace_a_row_or_to_truncate_the_log(any_rt: Runtime) -> None:
    await fill(any_rt)
    if any_rt.database.is_sqlite:
        columns = ", ".join(column.name for column in audit.AUDIT.c)
        for changed in ("seq", "id"):
            values = columns.replace("seq", "seq + 90") if changed == "id" else columns.replace("id,", "'x',", 1)
            with pytest.raises(DBAPIError, match="append-only"):
                await run(any_rt, f"INSERT OR REPLACE INTO audit ({columns}) SELECT {values} FROM audit WHERE seq = 2")
    else:
        with pytest.raises(DBAPIError, match="append-only"):
            await run(any_rt, "TRUNCATE audit")
    assert (await verdict(any_rt)).rows == 5


@pytest.mark.parametrize(
    ("statements", "bad_seq", "says"),
    [
        (["UPDATE audit SET actor_name = 'nobody' WHERE seq = 3"], 3, "not as it was written"),
        (["UPDATE audit SET noun = 'user' WHERE seq = 3"], 3, "not as it was written"),
        (["UPDATE audit SET at = at + 1 WHERE seq = 1"], 1, "not as it was written"),
        (["UPDATE audit SET detail = '{}' WHERE seq = 5"], 5, "not as it was written"),
        (["DELETE FROM audit WHERE seq = 3"], 3, "missing"),
        (["DELETE FROM audit WHERE seq = 1"], 1, "missing"),
        (["DELETE FROM audit WHERE seq = 3", "UPDATE audit SET seq = seq - 1 WHERE seq > 3"], 3, "not as it was"),
        # Two rows change places.
        (
            [
                "UPDATE audit SET seq = 99 WHERE seq = 2",
                "UPDATE audit SET seq = 2 WHERE seq = 3",
                "UPDATE audit SET seq = 3 WHERE seq = 99",
            ],
            2,
            "not as it was written",
        ),
        # The end is cut off, and then the head set back to what is left.
        (["DELETE FROM audit WHERE seq > 3"], 4, "missing"),
        (
            [
                "DELETE FROM audit WHERE seq > 3",
                "UPDATE audit_head SET seq = 3, seal = (SELECT seal FROM audit WHERE seq = 3)",
            ],
            4,
            "cut off",
        ),
        (["UPDATE audit_head SET seq = 4"], 5, "inserted after the last"),
        (["UPDATE audit_head SET proof = ''"], 6, "head of the log was changed"),
        (["DELETE FROM audit_head"], 1, "head of the log is gone"),
        (["UPDATE audit_head SET keys = '[]'"], 1, "key cannot be read"),
        (["DELETE FROM audit"], 1, "missing"),
        (["DELETE FROM audit", "UPDATE audit_head SET seq = 0, seal = '', proof = '', keys = '[]'"], None, ""),
    ],
)
async def test_what_is_done_behind_our_back_shows_with_the_first_wrong_row(
    any_rt: Runtime, statements: list[str], bad_seq: int | None, says: str
) -> None:
    await fill(any_rt)
    noted = (await verdict(any_rt)).head
    await open_up(any_rt)
    await run(any_rt, *statements)
    found = await verdict(any_rt)
    assert (found.intact, found.bad_seq) == (bad_seq is None, bad_seq)
    assert says in (found.problem or "")
    # Even what leaves a valid log behind shows to who has noted the head.
    assert not (await verdict(any_rt, noted)).intact


@pytest.mark.parametrize("seq", [0, -3, 6])
async def test_an_inserted_row_shows_wherever_it_is(any_rt: Runtime, seq: int) -> None:
    await fill(any_rt)
    await open_up(any_rt)
    columns = [column.name for column in audit.AUDIT.c]
    values = [{"seq": str(seq), "id": "'aud_forged'"}.get(name, name) for name in columns]
    await run(any_rt, f"INSERT INTO audit ({', '.join(columns)}) SELECT {', '.join(values)} FROM audit WHERE seq = 2")
    found = await verdict(any_rt)
    assert (found.intact, found.bad_seq) == (False, 6 if seq == 6 else 1)
    assert "was inserted" in (found.problem or "")


async def test_a_restored_older_copy_shows_only_to_who_noted_the_head(any_rt: Runtime) -> None:
    await fill(any_rt)
    async with any_rt.database.read() as session:
        old = (await session.execute(text("SELECT seq, seal, proof FROM audit_head"))).one()
    await fill(any_rt, 2)
    noted = (await verdict(any_rt)).head
    assert (await verdict(any_rt, noted)).intact
    await open_up(any_rt)
    await run(any_rt, "DELETE FROM audit WHERE seq > 5")
    await run(any_rt, "UPDATE audit_head SET seq = :seq, seal = :seal, proof = :proof", **old._mapping)
    assert (await verdict(any_rt)).intact
    found = await verdict(any_rt, noted)
    assert (found.intact, found.bad_seq) == (False, 6)
    await fill(any_rt, 4)  # and work goes on from there
    assert (await verdict(any_rt)).intact
    found = await verdict(any_rt, noted)
    assert (found.intact, found.bad_seq) == (False, 7)
    assert "not the row that was noted" in (found.problem or "")


async def test_the_log_verifies_after_the_key_was_changed_and_the_old_one_is_gone(any_rt: Runtime) -> None:
    old, new = os.urandom(32), os.urandom(32)

    def restart(*keys: bytes) -> None:
        any_rt.keyring = Keyring(list(keys))
        any_rt._parts.pop(LogKeys, None)

    restart(old)
    await fill(any_rt)
    restart(new, old)
    assert (await verdict(any_rt)).intact
    await fill(any_rt)
    assert (await verdict(any_rt)).rows == 10
    restart(new)
    assert (await verdict(any_rt)).rows == 10
    await fill(any_rt)
    assert (await verdict(any_rt)).rows == 15
    restart(old)  # who has found the old key can neither read the present one nor the earlier
    assert (await verdict(any_rt)).bad_seq == 1


async def test_fifty_at_once_make_a_chain_without_gaps(any_rt: Runtime) -> None:
    async def act(number: int) -> None:
        if number % 2:
            await audit.record(any_rt, SYSTEM, "webhook.changed", detail={"number": number})
        else:
            await event_types.create_event_type(any_rt, SYSTEM, EventTypeIn(name=f"a.b{number}"))

    await asyncio.gather(*(act(number) for number in range(50)))
    assert (await verdict(any_rt)).rows == 50


async def test_changes_of_one_webhook_at_once_neither_deadlock_nor_lose_a_row(any_rt: Runtime) -> None:
    made = await service.create_webhook(any_rt, SYSTEM, WebhookCreate(url=PUBLIC_URL))
    patches = [WebhookPatch.model_validate({"name": f"name {number}"}) for number in range(25)]
    reads = [service.get_secret(any_rt, SYSTEM, made.id) for _ in range(10)]
    turns = [service.rotate_secret(any_rt, SYSTEM, made.id) for _ in range(5)]
    changes = [service.update_webhook(any_rt, SYSTEM, made.id, patch) for patch in patches]
    await asyncio.gather(*changes, *reads, *turns)
    assert (await verdict(any_rt)).rows == 41


async def test_an_act_that_fails_leaves_no_row(any_rt: Runtime) -> None:
    with pytest.raises(RuntimeError):
        async with any_rt.database.write() as session:
            await audit.append(any_rt, session, SYSTEM, "webhook.changed")
            raise RuntimeError
    await fill(any_rt, 1)
    found = await verdict(any_rt)
    assert (found.intact, found.rows) == (True, 1)


async def test_only_who_may_read_the_log_verifies_it(rt: Runtime) -> None:
    for stranger in (
        Actor("user", "usr_1", "x", frozenset(Permission) - {Permission.AUDIT_READ}),
        Actor("api_key", "key_1", "x", frozenset(Permission), tenant="acme"),
    ):
        with pytest.raises(ForbiddenError):
            await verify(rt, stranger)


def novapulse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, as somebody types it."""
    return subprocess.run(
        [sys.executable, "-m", "novapulse.cli", *arguments],
        env=clean_environment(data_dir=str(folder)),
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_command_verifies_in_one_line_and_tells_by_its_exit_code(rt: Runtime) -> None:
    await fill(rt)
    head = (await verdict(rt)).head
    folder = rt.settings.data_dir
    sound = novapulse(folder, "audit", "verify", "--expect", str(head))
    assert (sound.returncode, sound.stdout) == (0, f"intact: 5 rows, head {head}\n")
    assert novapulse(folder, "audit", "verify", "--expect", f"9:{'0' * 64}").returncode == 1
    exported = novapulse(folder, "audit", "export", "--since", "2000-01-01T00:00:00Z")
    assert [json.loads(line)["action"] for line in exported.stdout.splitlines()] == [
        "audit.exported",
        *["webhook.changed"] * 5,
    ]
    await open_up(rt)
    await run(rt, "UPDATE audit SET ip = '192.0.2.9' WHERE seq = 4")
    broken = novapulse(folder, "audit", "verify")
    assert (broken.returncode, broken.stdout.count("\n"), broken.stdout[:16]) == (1, 1, "broken at row 4:")
    assert novapulse(folder, "audit", "export", "--format", "xml").returncode == 1


async def test_nothing_starts_with_a_key_that_does_not_open_the_log(any_rt: Runtime) -> None:
    await fill(any_rt, 1)
    await check_stored_secrets(any_rt.database, any_rt.keyring)
    with pytest.raises(StartError):
        await check_stored_secrets(any_rt.database, Keyring([os.urandom(32)]))
