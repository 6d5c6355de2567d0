"""A new key, while everybody goes on: nothing is left under the old one, and it is not let go a moment earlier."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from novapulse.cli import app
from novapulse.core.actor import SYSTEM, Actor
from novapulse.core.crypto import Keyring, read_keys
from novapulse.core.runtime import Runtime
from novapulse.launch.keycheck import load_checked_keyring
from novapulse.mail.service import Attachment, Message, open_message, queue_mail
from novapulse.recovery import rotation
from novapulse.recovery.rotation import encrypt_anew, key_use
from novapulse.recovery.rows import chunks_of, columns_of, on_snapshot, tables_on
from novapulse.security import audit_verify
from novapulse.webhooks import service
from novapulse.webhooks.schemas import WebhookCreate
from novapulse.workflows import hidden
from novapulse.workflows import service as workflows
from novapulse.workflows.schemas import WorkflowIn
from tests.calls import ORIGIN, calling
from tests.second_factor import Clock, make_person

_TOKEN = re.compile(rb"v1\.([0-9a-f]{8})\.[A-Za-z0-9_=-]{20,}")


async def tokens(rt: Runtime) -> dict[str, set[str]]:
    """By table, the ids of keys that anything in it is encrypted with, wherever it is."""

    def read(sync: object) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for table in tables_on(sync):  # type: ignore[arg-type]
            for data, _ in chunks_of(sync, table.name, columns_of(table)):  # type: ignore[arg-type]
                if ids := {each.decode() for each in _TOKEN.findall(data)}:
                    found.setdefault(table.name, set()).update(ids)
        return found

    return await on_snapshot(rt.database, rt.settings.database, read)


async def test_everything_is_encrypted_anew_and_opens_with_the_new_key_alone(
    any_rt: Runtime, actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rt, clock = any_rt, Clock(monkeypatch)
    monkeypatch.setattr(rotation, "_BATCH", 2)
    made = [
        await service.create_webhook(rt, actor, WebhookCreate(url=f"https://{n}.example/", headers={"x-key": str(n)}))
        for n in range(5)
    ]
    async with calling(rt, Origin=ORIGIN) as client:
        person = await make_person(rt, client, clock)
    async with calling(rt, "*", **{"Idempotency-Key": "once"}) as client:
        body = {"url": "https://z.example/", "event_types": ["*"]}
        assert (await client.post("/webhooks", json=body)).status_code == 201
    flow = await workflows.create_workflow(
        rt, actor, WorkflowIn(name="x", steps=[{"id": "a", "type": "wait", "seconds": 1}])
    )
    await workflows.put_secret(rt, actor, flow.id, "token", "planted")
    async with rt.database.write() as session:
        message = Message(person.email, "message", "x", "planted words", "")
        email = await queue_mail(rt, session, message, attachments=[Attachment("x.txt", "text/plain", b"f")])
    old = rt.keyring.ids
    everywhere = await tokens(rt)
    assert everywhere.keys() == {place.table.name for place in rotation._PLACES} | {"audit_head"}
    assert all(ids == set(old) for ids in everywhere.values())

    # Another process puts a new key first: this one follows.
    second = Keyring(read_keys("", rt.settings.data_dir), rt.settings.data_dir / "secret.key")
    load_checked_keyring(rt.settings)
    shell(rt, "key", "new")
    assert rt.keyring.ids == second.ids != old
    assert shell(rt, "key", "retire", code=1).output == ""
    assert "still needed" in shell(rt, "key", "status").output

    # While it is done, a secret is made, one is changed and one goes.
    await service.delete_webhook(rt, actor, made[0].id)
    rotated, fresh, _ = await asyncio.gather(
        encrypt_anew(rt),
        service.create_webhook(rt, actor, WebhookCreate(url="https://n.example/", headers={"x-key": "n"})),
        service.rotate_secret(rt, actor, made[1].id),
    )
    assert rotated.failed == []
    assert rotated.done.total() >= 15
    use = await key_use(rt)
    assert (use.removable, use.unknown) == (old, [])
    assert (await encrypt_anew(rt)).done.total() == 0, "what is done is done"
    assert all(ids == set(rt.keyring.ids[:1]) for ids in (await tokens(rt)).values())

    assert shell(rt, "key", "retire").output.startswith("Removed: ")
    assert rt.keyring.ids == use.ids[:1]
    load_checked_keyring(rt.settings)
    for each in (*made[2:], fresh):
        assert (await service.get_secret(rt, actor, each.id)).secret == each.secret
    opened = await rt.database.run_write(lambda sync: hidden.open_on(rt, sync, flow.id, ["token"]))
    assert opened == {"token": "planted"}
    async with rt.database.read() as session:
        content = await session.execute(text("SELECT content FROM email WHERE id = :id"), {"id": email})
        assert open_message(rt, email, content.scalar_one()).text == "planted words"
    assert (await audit_verify.verify(rt, SYSTEM)).intact


async def test_a_key_that_is_missing_is_named_and_nothing_is_removed(rt: Runtime, actor: Actor, tmp_path: Path) -> None:
    await service.create_webhook(rt, actor, WebhookCreate(url="https://a.example/"))
    async with rt.database.write() as session:
        await session.execute(
            text("UPDATE webhook_secret SET secret = :token"), {"token": Keyring([b"x" * 32]).encrypt("y", "z")}
        )
    shutil.copy(rt.settings.data_dir / "secret.key", tmp_path / "kept")
    shell(rt, "key", "new")
    rotated = await encrypt_anew(rt)
    (failed,) = rotated.failed
    assert "not in the keyring" in failed
    status = shell(rt, "key", "status", code=1).output
    assert "MISSING: 1 secrets cannot be opened" in status


def shell(rt: Runtime, *words: str, code: int = 0) -> Result:
    """A command of the shell on the same stores, in a thread of its own: it runs a loop of its own."""
    environment = {
        "NOVAPULSE_DATA_DIR": str(rt.settings.data_dir),
        "NOVAPULSE_DATABASE_URL": rt.settings.database_url,
        "NOVAPULSE_REDIS_URL": rt.settings.redis_url,
    }
    done: list[Result] = []
    thread = threading.Thread(target=lambda: done.append(CliRunner().invoke(app, words, env=environment)))
    thread.start()
    thread.join(60)
    assert done[0].exit_code == code, (done[0].output, done[0].exception)
    return done[0]
