"""Making and editing a webhook: what was typed, what is wrong with it, and saving."""

from __future__ import annotations

from typing import Any

import reflex as rx
from pydantic import ValidationError

from novapulse.core.actor import Permission
from novapulse.core.errors import InvalidError, ProblemError
from novapulse.core.problems import from_validation
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.webhooks import event_types, service
from novapulse.webhooks.matching import check_pattern, matches
from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S, spoken
from novapulse.webhooks.schemas import WebhookCreate, WebhookPatch

_FIELDS = ("url", "name", "description", "tenant", "event_types", "headers", "rate_limit", "timeout_s", "retry")
_TEXT_MAX = 20_000


class FormState(rx.State):
    """What the form holds."""

    webhook_id: str = ""
    made_id: str = ""  # set after making one: its secret is shown
    values: dict[str, str] = {}  # noqa: RUF012 - Reflex copies defaults
    ordered: bool = False
    errors: dict[str, str] = {}  # noqa: RUF012
    problem: str = ""
    url_ok: bool = False
    known_types: list[str] = []  # noqa: RUF012
    matching: list[str] = []  # noqa: RUF012
    timeline: list[str] = []  # noqa: RUF012

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def start_new(self) -> None:
        """An empty form."""
        self.webhook_id = self.made_id = ""
        self.values = dict.fromkeys(_FIELDS, "") | {"event_types": "*", "timeout_s": "15"}
        self.ordered = False
        await self._start()

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def start_edit(self) -> Any:
        """A form with what the webhook has."""
        rt, actor = current(), await handler_actor(self)
        try:
            webhook = await service.get_webhook(rt, actor, str(self.router.url.path.split("/")[2])[:64])
        except ProblemError as error:
            return [rx.toast.error(error.detail), rx.redirect("/webhooks")]
        self.webhook_id, self.made_id, self.ordered = webhook.id, "", webhook.ordered
        own_schedule = tuple(webhook.retry.schedule_s) != DEFAULT_SCHEDULE_S
        self.values = {
            "url": webhook.url,
            "name": webhook.name,
            "description": webhook.description,
            "tenant": webhook.tenant or "",
            "event_types": ", ".join(webhook.event_types),
            "headers": "\n".join(f"{name}: {value}" for name, value in webhook.headers.items()),
            "rate_limit": "" if webhook.rate_limit is None else f"{webhook.rate_limit:g}",
            "timeout_s": f"{webhook.timeout_s:g}",
            "retry": ", ".join(f"{delay:g}" for delay in webhook.retry.schedule_s) if own_schedule else "",
        }
        await self._start()
        return None

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def change(self, name: str, value: str) -> None:
        """One field was changed; it is checked at once."""
        if name not in _FIELDS:
            return
        self.values = self.values | {name: str(value)[:_TEXT_MAX]}
        self.errors = {key: text for key, text in self.errors.items() if key != name}
        if name == "url":
            await self._check_url()
        elif name == "event_types":
            self._show_matching()
        elif name == "retry":
            self._show_timeline()

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def set_order(self, on: bool) -> None:
        """Whether events go one after the other."""
        self.ordered = bool(on)

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    def add_type(self, name: str) -> None:
        """Pick a type of the catalogue."""
        chosen = [each for each in _listed(self.values.get("event_types", "")) if each not in ("*", name)]
        self.values = self.values | {"event_types": ", ".join([*chosen, str(name)[:128]])}
        self._show_matching()

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def save(self) -> Any:
        """Make or change the webhook; what is wrong is shown at its field."""
        rt, actor = current(), await handler_actor(self)
        self.problem = ""
        try:
            data = self._data()
            if self.webhook_id:
                await service.update_webhook(rt, actor, self.webhook_id, WebhookPatch.model_validate(data))
                return [rx.toast.success("Saved."), rx.redirect(f"/webhooks/{self.webhook_id}")]
            given = {key: value for key, value in data.items() if value is not None}
            self.made_id = (await service.create_webhook(rt, actor, WebhookCreate.model_validate(given))).id
        except ValidationError as error:
            self._place(from_validation(error.errors()))
        except InvalidError as error:
            self._place(error)
        except ProblemError as error:
            self.problem = error.detail
        return None

    async def _start(self) -> None:
        self.errors, self.problem, self.url_ok = {}, "", False
        page = await event_types.list_event_types(current(), await handler_actor(self), limit=200, archived=False)
        self.known_types = [view.name for view in page.data]
        self._show_matching()
        self._show_timeline()

    async def _check_url(self) -> None:
        self.url_ok = False
        url = self.values["url"].strip()
        if len(url) < len("http://a.b"):
            return
        try:
            await service.check_url(current(), url)
            self.url_ok = True
        except InvalidError as error:
            self.errors = self.errors | {"url": _sentence(error.errors[0].detail)}

    def _show_matching(self) -> None:
        patterns = _listed(self.values.get("event_types", ""))
        try:
            for pattern in patterns:
                check_pattern(pattern)
        except ValueError as error:
            self.errors = self.errors | {"event_types": _sentence(str(error))}
        self.matching = [name for name in self.known_types if any(matches(p, name) for p in patterns)][:30]

    def _show_timeline(self) -> None:
        try:
            delays = _numbers(self.values.get("retry", "")) or list(DEFAULT_SCHEDULE_S)
        except ValueError:
            return
        steps = delays if delays[0] == 0 else [0.0, *delays]
        self.timeline = ["at once" if place == 0 else f"+{spoken(delay)}" for place, delay in enumerate(steps[:20])]

    def _data(self) -> dict[str, Any]:
        typed = {name: self.values.get(name, "").strip() for name in _FIELDS}
        problems: list[tuple[str, str]] = []
        data: dict[str, Any] = {name: typed[name] for name in ("url", "name", "description")}
        data |= {
            "tenant": typed["tenant"] or None,
            "event_types": _listed(typed["event_types"]),
            "ordered": self.ordered,
        }
        if not typed["url"]:
            problems.append(("url", "enter the URL that events are sent to"))
        if not data["event_types"]:
            problems.append(("event_types", "enter at least one event type, or * for all"))
        for name, text in (("rate_limit", typed["rate_limit"]), ("timeout_s", typed["timeout_s"] or "15")):
            try:
                data[name] = float(text) if text else None
            except ValueError:
                problems.append((name, "must be a number"))
        try:
            delays = _numbers(typed["retry"])
            data["retry"] = {"schedule_s": delays} if delays else None
        except ValueError:
            problems.append(("retry", "must be seconds, separated by commas"))
        try:
            data["headers"] = dict(_header(line) for line in typed["headers"].splitlines() if line.strip())
        except ValueError:
            problems.append(("headers", "one per line, as Name: value"))
        if problems:
            raise InvalidError([error for name, text in problems for error in InvalidError.at(f"/{name}", text).errors])
        return data

    def _place(self, error: InvalidError) -> None:
        placed: dict[str, str] = {}
        for each in error.errors:
            name = each.pointer.removeprefix("/").split("/")[0]
            placed.setdefault(name, _sentence(each.detail))
        self.errors = placed
        self.problem = "" if set(placed) <= set(_FIELDS) else error.detail


def _listed(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.replace(",", " ").split()]


def _header(line: str) -> tuple[str, str]:
    name, separator, value = line.partition(":")
    if not separator:
        raise ValueError(line)
    return name.strip(), value.strip()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
