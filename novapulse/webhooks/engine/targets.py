"""How to send to each webhook: its settings with secrets opened, read once per version of the routing."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, or_, select

from novapulse.core.crypto import Keyring
from novapulse.core.database import table_of
from novapulse.webhooks.models import RoutingVersion, Webhook, WebhookSecret, WebhookStatus
from novapulse.webhooks.signing import Signer

_WEBHOOK = table_of(Webhook)
_ROUTING = table_of(RoutingVersion)
_SECRET = table_of(WebhookSecret)


@dataclass(frozen=True, slots=True)
class Target:
    """One webhook, ready to be sent to."""

    id: str
    url: str
    active: bool
    headers: dict[str, str]  # the owner's own
    signer: Signer
    timeout_s: float
    schedule: list[float] | None
    rate_limit: float | None
    ordered: bool
    expires_at: int | None  # when a signing secret of a rotation ends: read again then


class Targets:
    """A cache of targets that is dropped whole when any webhook changes."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._version = -1
        self._targets: dict[str, Target] = {}

    def load(self, connection: Connection, ids: Iterable[str], now: int) -> dict[str, Target]:
        """The targets of these webhooks as of now; one that was deleted is missing."""
        version = (connection.execute(select(_ROUTING.c.version))).scalar_one()
        if version != self._version:
            self._version = version
            self._targets = {}
        wanted = set(ids)
        known = self._targets
        missing = [
            id_ for id_ in wanted if id_ not in known or ((end := known[id_].expires_at) is not None and end <= now)
        ]
        if missing:
            self._read(connection, missing, now)
        return {id_: self._targets[id_] for id_ in wanted if id_ in self._targets}

    def _read(self, connection: Connection, ids: list[str], now: int) -> None:
        secrets: dict[str, list[Any]] = {}
        live = or_(_SECRET.c.expires_at.is_(None), _SECRET.c.expires_at > now)
        for row in connection.execute(
            select(_SECRET).where(_SECRET.c.webhook_id.in_(ids), live).order_by(_SECRET.c.created_at.desc())
        ):
            secrets.setdefault(row.webhook_id, []).append(row)
        for row in connection.execute(select(_WEBHOOK).where(_WEBHOOK.c.id.in_(ids))):
            own = secrets.get(row.id, [])
            ends = [secret.expires_at for secret in own if secret.expires_at is not None]
            self._targets[row.id] = Target(
                id=row.id,
                url=row.url,
                active=row.status == WebhookStatus.ACTIVE,
                headers=self._open_headers(row.id, row.headers),
                signer=Signer([self._keyring.decrypt(s.secret, f"webhook_secret:secret:{s.id}") for s in own]),
                timeout_s=row.timeout_s,
                schedule=row.retry_schedule,
                rate_limit=row.rate_limit,
                ordered=row.ordered,
                expires_at=min(ends, default=None),
            )

    def _open_headers(self, webhook_id: str, sealed: str) -> dict[str, str]:
        if not sealed:
            return {}
        return orjson.loads(self._keyring.decrypt(sealed, f"webhook:headers:{webhook_id}"))
