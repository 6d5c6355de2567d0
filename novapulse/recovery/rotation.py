"""Changing the key that secrets are encrypted with, while NovaPulse runs.

A new key goes first into the keyring, then everything is encrypted anew with it, a few rows at a time; whoever has read
a row meanwhile can still open it, because the old key stays. When nothing needs the old key any more it may be removed.
It can be stopped at any moment and begun again: what is done is done.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Table, func, select, tuple_, update

from novapulse.core.actor import SYSTEM
from novapulse.core.crypto import DecryptError
from novapulse.core.database import table_of
from novapulse.core.idempotency import IdempotentAnswer
from novapulse.core.runtime import Runtime
from novapulse.mail.models import Email, EmailAttachment
from novapulse.security import audit
from novapulse.security.models import Totp
from novapulse.webhooks.models import Webhook, WebhookSecret
from novapulse.workflows.models import WorkflowSecret

_BATCH = 200
_AUDIT = "audit_head.keys"


@dataclass(frozen=True, slots=True)
class _Place:
    """A column of secrets. What each is encrypted for is `table:column:` and the row's primary key."""

    table: Table
    column: str

    @property
    def name(self) -> str:
        return f"{self.table.name}.{self.column}"

    @property
    def key(self) -> list[Column[Any]]:
        return list(self.table.primary_key)

    def context(self, key: Any) -> str:
        return ":".join((self.table.name, self.column, *map(str, key)))


_PLACES = [
    _Place(table_of(model), column)
    for model, column in (
        (WebhookSecret, "secret"),
        (Webhook, "headers"),
        (Totp, "secret"),
        (WorkflowSecret, "sealed"),
        (Email, "content"),
        (EmailAttachment, "content"),
        (IdempotentAnswer, "body"),
    )
]


@dataclass(slots=True)
class KeyUse:
    """Which keys there are, and what is encrypted with which."""

    ids: list[str]  # of the keyring, newest first
    counts: dict[str, Counter[str]] = field(default_factory=dict[str, "Counter[str]"])  # key id -> place -> how many

    @property
    def unknown(self) -> list[str]:
        """Keys that secrets were encrypted with and that are not in the keyring."""
        return sorted(self.counts.keys() - set(self.ids))

    @property
    def removable(self) -> list[str]:
        """Old keys that nothing needs any more."""
        return [each for each in self.ids[1:] if not self.counts.get(each)]


@dataclass(slots=True)
class Rotated:
    """What was encrypted anew, by place, and what could not be opened."""

    done: Counter[str] = field(default_factory=Counter[str])
    failed: list[str] = field(default_factory=list[str])


async def key_use(rt: Runtime) -> KeyUse:
    """Count what is encrypted with each key."""
    use = KeyUse(rt.keyring.ids)
    async with rt.database.read() as session:
        for place in _PLACES:
            column = place.table.c[place.column]
            # The key's id is at a fixed place of a token, see `core.crypto`.
            id_ = func.substr(column, 4, 8)
            found = await session.execute(select(id_, func.count()).where(column.like("v1.%")).group_by(id_))
            for key, n in found.all():
                use.counts.setdefault(key, Counter())[place.name] = n
        for epochs in (await session.execute(select(audit.HEAD.c["keys"]))).scalars():
            for epoch in epochs:
                use.counts.setdefault(epoch["key"].split(".")[1], Counter())[_AUDIT] += 1
    return use


async def encrypt_anew(rt: Runtime) -> Rotated:
    """Encrypt everything with the newest key that is not yet; that it was done is a row of the audit log."""
    rotated = Rotated()
    for place in _PLACES:
        await _encrypt_place(rt, place, rotated)
    newest = rt.keyring.ids[0]
    if rotated.done or (await key_use(rt)).counts.keys() - {newest}:
        # With the first row that is sealed under a new key, the log's own keys are encrypted anew.
        detail = {"values": rotated.done.total(), "failed": len(rotated.failed)}
        await audit.record(rt, SYSTEM, "key.rotated", target=("key", newest, newest), detail=detail)
    return rotated


async def _encrypt_place(rt: Runtime, place: _Place, rotated: Rotated) -> None:
    column, after = place.table.c[place.column], None
    old = select(*place.key, column).where(column.like("v1.%"), ~column.like(f"v1.{rt.keyring.ids[0]}.%"))
    while True:
        some = old if after is None else old.where(tuple_(*place.key) > tuple_(*after))
        async with rt.database.read() as session:
            rows = (await session.execute(some.order_by(*place.key).limit(_BATCH))).all()
        if not rows:
            return
        after = rows[-1][:-1]
        fresh: list[tuple[Any, str, str]] = []
        for *key, token in rows:
            context = place.context(key)
            try:
                fresh.append((key, token, rt.keyring.encrypt(rt.keyring.decrypt(token, context), context)))
            except DecryptError as error:
                rotated.failed.append(f"{context}: {error}")

        def write(connection: Connection, fresh: list[tuple[Any, str, str]] = fresh) -> int:
            # What somebody has changed or deleted since is left alone: it is encrypted with the newest key, or gone.
            return sum(
                connection.execute(
                    update(place.table)
                    .where(*(c == v for c, v in zip(place.key, key, strict=True)), column == token)
                    .values({place.column: anew})
                ).rowcount
                for key, token, anew in fresh
            )

        rotated.done[place.name] += await rt.database.run_write(write)
