"""A copy of the database and of Valkey, without the key: nothing in it opens anything."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from novapulse.core.actor import SYSTEM
from novapulse.core.runtime import Runtime
from novapulse.mail.service import Attachment, Message, queue_mail
from novapulse.security import links, sessions
from novapulse.webhooks import service
from novapulse.webhooks.schemas import WebhookCreate
from novapulse.workflows import service as workflows
from novapulse.workflows.schemas import WorkflowIn
from tests.calls import ORIGIN, PASSWORD, PUBLIC_URL, calling
from tests.second_factor import Clock, make_person


async def test_no_seed_token_key_or_code_is_in_it(any_rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    rt, clock = any_rt, Clock(monkeypatch)
    planted: dict[str, str] = {"password": PASSWORD}
    async with calling(rt, Origin=ORIGIN) as client:
        person = await make_person(rt, client, clock)
        planted["seed"] = person.phone.secret
        planted |= {f"recovery code {n}": code for n, code in enumerate(person.codes)}
        first = await client.post("/auth/login", json={"email": person.email, "password": PASSWORD})
        planted["challenge"] = first.json()["challenge"]
        code = {"challenge": planted["challenge"], "code": person.phone.code(), "remember_device": True}
        assert (await client.post("/auth/mfa/verify", json=code)).status_code == 200
        planted["device token"] = client.cookies["np_device"]
        planted["session token"] = client.cookies["np_session"]

        # Repeatable calls: what they answered is kept for a day.
        once = {"Idempotency-Key": "once"}
        begun = await client.post("/security/mfa/enroll", json={"name": "x"}, headers=once)
        planted["pending seed"] = begun.json()["secret"]
        planted["otpauth URI"] = begun.json()["otpauth_uri"]
        fresh = await client.post("/security/recovery-codes", json={}, headers=once)
        planted |= {f"fresh code {n}": each for n, each in enumerate(fresh.json()["recovery_codes"])}
        body = {"name": "x", "scopes": ["events:read"]}
        key = await client.post("/api-keys", json=body, headers=once)
        planted["API key"] = key.json()["key"]
        clock.move()
        proof = {"code": person.phone.code()}
        await client.post("/auth/reauthenticate", json=proof)
        planted["rotated session token"] = client.cookies["np_session"]
        assert planted["rotated session token"] != planted["session token"]
    webhook = await service.create_webhook(rt, SYSTEM, WebhookCreate(url=PUBLIC_URL))
    planted["signing secret"] = (await service.get_secret(rt, SYSTEM, webhook.id)).secret
    flow = WorkflowIn(name="x", steps=[{"id": "a", "type": "wait", "seconds": 1}])
    planted["secret of a workflow"] = "planted-secret-4711"
    made = await workflows.create_workflow(rt, SYSTEM, flow)
    await workflows.put_secret(rt, SYSTEM, made.id, "token", planted["secret of a workflow"])
    async with rt.database.write() as session:
        planted["mailed link"] = await links.make(rt, session, "reset", person.id, 1800)
        planted |= {"words of a message": "planted-words-4711", "words of a file": "planted-file-4711"}
        message = Message(person.email, "message", "x", planted["words of a message"], "")
        file = Attachment("x.txt", "text/plain", planted["words of a file"].encode())
        await queue_mail(rt, session, message, attachments=[file], private=False)
    await sessions.refresh(rt, person.id)

    copy = await database_of(rt) + await valkey_of(rt)
    assert person.email.encode() in copy, "the copy is one"
    for what, value in planted.items():
        for form in forms(value):
            assert form not in copy, what


def forms(value: str) -> set[bytes]:
    """A secret as it may have been written down: without its dashes or prefix, as bytes, in hex or base64."""
    bare = {value, value.replace("-", ""), value.partition("_")[2] if value.startswith("whsec_") else value}
    found = {each.encode() for each in bare}
    for each in list(found):
        found |= {base64.b64encode(each), base64.urlsafe_b64encode(each).rstrip(b"="), each.hex().encode()}
    if len(value) == 32 and value.isupper():
        seed = base64.b32decode(value)
        found |= {seed, seed.hex().encode(), base64.b64encode(seed)}
    return found


async def database_of(rt: Runtime) -> bytes:
    """Every row of every table; of SQLite the files as well, which keep what was overwritten."""
    tables = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if rt.database.is_sqlite
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    async with rt.database.read() as session:
        names = (await session.execute(text(tables))).scalars().all()
        assert len(names) > 20
        rows = [(await session.execute(text(f"SELECT * FROM {name}"))).all() for name in names]
    copy = "\n".join(str(tuple(row)) for table in rows for row in table).encode()
    return copy + (files_of(Path(rt.settings.data_dir)) if rt.database.is_sqlite else b"")


def files_of(folder: Path) -> bytes:
    files = sorted(folder.glob("*.db*"))
    assert len(files) >= 2, "the database and what is not yet in it"
    return b"".join(file.read_bytes() for file in files)


async def valkey_of(rt: Runtime) -> bytes:
    """Every key and its value."""
    client = Redis.from_url(rt.settings.valkey)
    readers = {
        b"string": lambda key: client.get(key),
        b"hash": lambda key: client.hgetall(key),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": lambda key: client.smembers(key),
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": lambda key: client.xrange(key),
    }
    copy: list[object] = []
    async for key in client.scan_iter(count=1000):
        copy += [key, await readers[await client.type(key)](key)]
    await client.aclose()
    return repr(copy).encode()
