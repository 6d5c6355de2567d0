"""Templates as their pages show them: the list, and one that is being written with what it makes."""

from __future__ import annotations

from typing import Any

import orjson
import reflex as rx
from pydantic import ValidationError

from novapulse.core.actor import Permission
from novapulse.core.errors import ForbiddenError, InvalidError, NotFoundError, ProblemError
from novapulse.core.problems import from_validation
from novapulse.core.runtime import current
from novapulse.mail import templates_store
from novapulse.mail.schemas import PreviewIn, TemplateIn, TemplatePatch, TemplateView
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says

_MAX = {"name": 64, "subject": 1000, "text": 100_000, "html": 100_000, "example": 65_536}
_LIST_MAX = 200
_LIST = "/mail/templates"
_BEGIN = {
    "name": "",
    "subject": "Hello {{ name }}",
    "text": "Hello {{ name }},\n\nyour order comes on {{ day }}.\n",
    "html": "<p>Hello {{ name }},</p>\n<p>your order comes on <b>{{ day }}</b>.</p>\n",
    "example": '{\n  "name": "Ada",\n  "day": "Thursday"\n}',
}
_SOUND = dict.fromkeys(_MAX, "")


class TemplatesState(rx.State):
    """What `/mail/templates` and its form show."""

    rows: list[dict[str, str]] = []  # noqa: RUF012 - Reflex copies defaults
    loaded: bool = False
    allowed: bool = True
    may_write: bool = False

    form: dict[str, str] = _BEGIN
    existing: bool = False  # it is changed, not made
    missing: str = ""  # the name in the URL, if there is no such template
    problems: dict[str, str] = _SOUND
    made: dict[str, str] = {}  # noqa: RUF012 - the message it makes; empty: none

    @handler(Permission.WEBHOOKS_READ)  # everybody, to be told who may; the service checks
    @rx.event
    async def load(self) -> None:
        """Read the list."""
        actor = await handler_actor(self)
        self.may_write, self.allowed = actor.may(Permission.EMAILS_WRITE), True
        try:
            page = await templates_store.list_templates(current(), actor, limit=_LIST_MAX)
        except ForbiddenError:
            self.rows, self.allowed = [], False
        else:
            self.rows = [
                {
                    "name": view.name,
                    "subject": view.subject,
                    "parts": " and ".join(part for part, text in (("text", view.text), ("HTML", view.html)) if text),
                    "at": view.updated_at,
                    "by": view.updated_by,
                }
                for view in page.data
            ]
        self.loaded = True

    @handler(Permission.WEBHOOKS_READ)
    @rx.event
    async def load_form(self) -> None:
        """Read the template that the URL names, or begin a new one."""
        self.problems, self.made, self.missing, self.allowed = dict(_SOUND), {}, "", True
        actor = await handler_actor(self)
        self.may_write = actor.may(Permission.EMAILS_WRITE)
        name = str(self.router.url.query_parameters.get("name", ""))[: _MAX["name"]]
        self.existing, self.form = bool(name), dict(_BEGIN)
        try:
            if name:
                self.form = _form(await templates_store.get_template(current(), actor, name))
            await self._preview()
        except ForbiddenError:
            self.allowed = False
        except NotFoundError:
            self.missing = name
        self.loaded = True

    @handler(Permission.EMAILS_READ)
    @rx.event
    async def write(self, part: str, text: str) -> None:
        """A part of the form, edited; what it makes follows."""
        if part in _MAX and not (part == "name" and self.existing):
            self.form = self.form | {part: str(text)[: _MAX[part]]}
            await self._preview()

    @handler(Permission.EMAILS_WRITE)
    @rx.event
    async def save(self) -> Any:
        """Store it."""
        actor = await handler_actor(self)
        try:
            values = self._values()
            if self.existing:
                name = values.pop("name")
                await templates_store.update_template(current(), actor, name, TemplatePatch.model_validate(values))
            else:
                await templates_store.create_template(current(), actor, TemplateIn.model_validate(values))
        except ValidationError as error:
            self._say(from_validation(error.errors()))
        except ProblemError as error:
            self._say(error)
        else:
            return [says.success("The template is saved."), rx.redirect(_LIST)]
        return says.error("It is not saved: there is a mistake in it.")

    @handler(Permission.EMAILS_WRITE)
    @rx.event
    async def delete(self) -> Any:
        """Delete it."""
        try:
            await templates_store.delete_template(current(), await handler_actor(self), self.form["name"])
        except ProblemError as error:
            return says.error(error.detail)
        return [says.success("The template is deleted."), rx.redirect(_LIST)]

    async def _preview(self) -> None:
        self.problems = dict(_SOUND)
        try:
            values = self._values()
            body = PreviewIn.model_validate(
                {part: values[part] for part in templates_store.PARTS} | {"context": values["example"]}
            )
            view = await templates_store.preview(current(), await handler_actor(self), body)
        except ValidationError as error:
            self._say(from_validation(error.errors()))
        except InvalidError as error:
            self._say(error)
        else:
            self.made = view.model_dump()

    def _values(self) -> dict[str, Any]:
        try:
            example = orjson.loads(self.form["example"] or "{}")
        except orjson.JSONDecodeError as error:
            raise InvalidError.at("/example", f"This is not JSON: {error.msg} at line {error.lineno}.") from None
        if not isinstance(example, dict):
            raise InvalidError.at("/example", "This must be a JSON object, such as {}.")
        return self.form | {"example": example}

    def _say(self, error: ProblemError) -> None:
        problems: dict[str, str] = {}
        for each in error.errors:
            part = each.pointer.split("/")[1] if "/" in each.pointer else ""
            # A value that a template misses is one that its example lacks.
            problems.setdefault("example" if part == "context" else part if part in _MAX else "name", each.detail)
        self.problems = _SOUND | (problems or {"name": error.detail})


def _form(view: TemplateView) -> dict[str, str]:
    return {
        "name": view.name,
        "subject": view.subject,
        "text": view.text,
        "html": view.html,
        "example": orjson.dumps(view.example, option=orjson.OPT_INDENT_2).decode(),
    }
