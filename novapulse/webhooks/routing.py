"""Which webhooks an event goes to: a table built from the database once per version of it.

The version is read in the transaction that stores the event, so that a webhook that was made,
paused or deleted a moment ago, on whichever process, counts for the very next event.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from novapulse.core.database import table_of
from novapulse.webhooks.matching import Matcher
from novapulse.webhooks.models import RoutingVersion, Webhook, WebhookStatus

_ROUTING = table_of(RoutingVersion)
_WEBHOOK = table_of(Webhook)


@dataclass(frozen=True, slots=True)
class Route:
    """One webhook that takes an event."""

    webhook_id: str
    held: bool  # its deliveries are made, and wait: paused or disabled


class RoutingTable:
    """Answers `match` for one version of the webhooks."""

    def __init__(self, version: int, webhooks: list[tuple[str, str | None, list[str], str]]) -> None:
        self.version = version
        self._held = {id_ for id_, _, _, status in webhooks if status != WebhookStatus.ACTIVE}
        patterns: dict[str | None, dict[str, list[str]]] = {}
        for id_, tenant, event_types, _ in webhooks:
            patterns.setdefault(tenant, {})[id_] = event_types
        self._matchers = {tenant: Matcher(by_id) for tenant, by_id in patterns.items()}

    def match(self, tenant: str | None, event_type: str) -> list[Route]:
        """The webhooks of exactly this tenant whose patterns take this type."""
        matcher = self._matchers.get(tenant)
        if matcher is None:
            return []
        return [Route(id_, id_ in self._held) for id_ in matcher.match(event_type)]


def current_table(connection: Connection, cached: RoutingTable | None) -> RoutingTable:
    """The table as of this transaction: `cached` if nothing changed, else read anew."""
    # The shared lock keeps a change from committing between this read and our commit (Postgres).
    row = connection.execute(select(_ROUTING.c.version).with_for_update(read=True))
    version = row.scalar_one()
    if cached is not None and cached.version == version:
        return cached
    w = _WEBHOOK.c
    rows = connection.execute(select(w.id, w.tenant, w.event_types, w.status))
    return RoutingTable(version, [(r[0], r[1], r[2], r[3]) for r in rows])
