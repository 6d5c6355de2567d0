"""What people call the webhooks."""

from __future__ import annotations

from urllib.parse import urlsplit

from sqlalchemy import select

from novapulse.core.database import Database, table_of
from novapulse.webhooks.models import Webhook

_W = table_of(Webhook).c


async def webhook_names(database: Database) -> dict[str, str]:
    """The name of each webhook, by its id; of one without a name its host. Never a URL, which may be a credential."""
    async with database.read() as session:
        rows = await session.execute(select(_W.id, _W.name, _W.url))
        return {row.id: row.name or urlsplit(row.url).hostname or row.id for row in rows}
