"""Making and editing a webhook: what the form begins with, saving it, and what is wrong with it.

What is typed stays in the browser until it is saved: no header's value becomes state on the server, and a connection
that is lost and found changes nothing on the page.
"""

from __future__ import annotations

from typing import Any

import reflex as rx
from pydantic import ValidationError

from novapulse.core.actor import Permission
from novapulse.core.errors import InvalidError, ProblemError
from novapulse.core.problems import from_validation
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.webhooks import event_types, service, tenants
from novapulse.webhooks.schemas import WebhookCreate, WebhookPatch
from novapulse.webhooks.screens import typed
from novapulse.webhooks.screens.retry_state import RetryState, draw_schedule
from novapulse.webhooks.screens.url_state import UrlState, forget_url
from novapulse.webhooks.screens.wording import sentence

_TYPES_MAX = 1_000


class FormState(rx.State):
    """What the form begins with, and what came of saving it."""

    visit: str = ""  # the visit of the page that all this is for
    webhook_id: str = ""
    made_id: str = ""  # set after making one: its secret is shown
    texts: dict[str, str] = {}  # noqa: RUF012 - Reflex copies defaults
    patterns: list[str] = []  # noqa: RUF012
    headers: list[dict[str, str]] = []  # noqa: RUF012 - credentials are masked
    ordered: bool = False
    types: list[dict[str, Any]] = []  # noqa: RUF012 - the catalogue
    more_types: bool = False
    tenants: list[str] = []  # noqa: RUF012
    may_save: bool = True
    errors: dict[str, str] = {}  # noqa: RUF012
    problem: str = ""
    saves: int = 0  # how often saving was refused in this visit

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def enter_new(self, visit: str) -> None:
        """Somebody came to make a webhook."""
        self.webhook_id = ""
        await self._begin(visit, typed.empty())

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def enter_edit(self, visit: str) -> Any:
        """Somebody came to change the webhook of the URL."""
        rt, actor = current(), await handler_actor(self)
        try:
            webhook = await service.get_webhook(rt, actor, str(self.router.url.path.split("/")[2])[:64])
        except ProblemError as error:
            return [says.error(error.detail), rx.redirect("/webhooks")]
        self.webhook_id = webhook.id
        await self._begin(visit, typed.of_webhook(webhook))
        return UrlState.check(webhook.url) if self.may_save else None

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def forget(self, name: str) -> None:
        """A field that was wrong is being changed."""
        self.errors = {key: text for key, text in self.errors.items() if key != name}

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Make or change the webhook; what is wrong is shown at its field."""
        if self.made_id:  # asked for twice
            return None
        self.errors, self.problem = {}, ""
        try:
            now = typed.of_form(form)
            if self.webhook_id:
                return await self._change(now)
            data = typed.to_data(now, typed.FIELDS)
            made = await service.create_webhook(
                current(), await handler_actor(self), WebhookCreate.model_validate(data)
            )
            self.made_id = made.id
            return None
        except ValidationError as error:
            self._place(from_validation(error.errors()))
        except InvalidError as error:
            self._place(error)
        except ProblemError as error:
            self.problem = error.detail
        self.saves += 1
        return None

    async def _change(self, now: typed.Typed) -> Any:
        """Send what was changed here and nothing else: what others change meanwhile stays."""
        before = {**self.texts, "event_types": self.patterns, "headers": self.headers, "ordered": self.ordered}
        changed = typed.changes(now, before)
        said = "Nothing was changed."
        if changed:
            patch = WebhookPatch.model_validate(typed.to_data(now, changed))
            await service.update_webhook(current(), await handler_actor(self), self.webhook_id, patch)
            said = "Saved."
        return [says.success(said), rx.redirect(f"/webhooks/{self.webhook_id}")]

    async def _begin(self, visit: str, shown: typed.Typed) -> None:
        rt, actor = current(), await handler_actor(self)
        catalogue = await event_types.list_event_types(rt, actor, limit=_TYPES_MAX)
        self.types = [{"name": view.name, "archived": view.archived} for view in catalogue.data]
        self.more_types = catalogue.next_cursor is not None
        self.tenants = await tenants.list_tenants(rt, actor)
        self.texts = {name: shown[name] for name in typed.TEXTS}
        self.patterns, self.headers, self.ordered = shown["event_types"], shown["headers"], shown["ordered"]
        self.may_save = actor.may(Permission.WEBHOOKS_WRITE)
        self.errors, self.problem, self.saves, self.made_id = {}, "", 0, ""
        forget_url(await self.get_state(UrlState))
        draw_schedule(await self.get_state(RetryState), shown["retry"])
        self.visit = str(visit)[:64]

    def _place(self, error: InvalidError) -> None:
        placed: dict[str, str] = {}
        for each in error.errors:
            name = each.pointer.removeprefix("/").split("/")[0]
            placed.setdefault(name, sentence(each.detail))
        self.errors = placed
        self.problem = "" if set(placed) <= set(typed.FIELDS) else error.detail
