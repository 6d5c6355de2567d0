"""The list of API keys, and revoking one. Making one is done by the browser: a key is never state on the server."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import ForbiddenError, ProblemError
from novapulse.core.runtime import current
from novapulse.security import api_keys
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says

_PAGE = 50


class KeysState(rx.State):
    """What `/settings/api-keys` shows."""

    rows: list[dict[str, Any]] = []  # noqa: RUF012 - Reflex copies defaults
    next_cursor: str = ""
    ending: int = 0  # how many of these keys end soon
    loaded: bool = False
    allowed: bool = True
    problem: str = ""

    @handler(Permission.WEBHOOKS_READ)  # everybody, to be told who may; the service checks
    @rx.event
    async def load(self) -> None:
        """The first page."""
        self.rows = []
        await self._read("")

    @handler(Permission.KEYS_WRITE)
    @rx.event
    async def load_more(self) -> None:
        """The next page, below what is shown."""
        await self._read(self.next_cursor)

    @handler(Permission.KEYS_WRITE, sudo=True)
    @rx.event
    async def revoke(self, key_id: str) -> Any:
        """Have a key work no longer."""
        try:
            await api_keys.revoke_api_key(current(), await handler_actor(self), str(key_id)[:64])
        except ProblemError as error:
            return says.error(error.detail)
        self.rows = [row for row in self.rows if row["id"] != key_id]
        return says.success("Revoked: the key works no longer.")

    async def _read(self, cursor: str) -> None:
        self.problem, self.allowed = "", True
        try:
            page = await api_keys.list_api_keys(
                current(), await handler_actor(self), limit=_PAGE, cursor=cursor or None
            )
        except ForbiddenError:
            self.allowed = False
        except ProblemError as error:
            self.problem = error.detail
        else:
            self.rows = [*self.rows, *(_row(view) for view in page.data)] if cursor else [_row(v) for v in page.data]
            self.next_cursor = page.next_cursor or ""
            self.ending = sum(row["status"] == "expiring" for row in self.rows)
        self.loaded = True


def _row(view: api_keys.ApiKeyView) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.name,
        "prefix": view.prefix,
        "scopes": view.scopes,
        "tenant": view.tenant or "",
        "by": view.created_by,
        "created": view.created_at,
        "used": view.last_used_at or "",
        "used_ip": view.last_used_ip or "",
        "expires": view.expires_at or "",
        "status": view.status,
    }
