"""Stored templates: made, changed, tried, and filled in. A template with a mistake is refused when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ConflictError, InvalidError, NotFoundError
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.mail.changes import tell_changed
from novapulse.mail.models import EmailTemplate
from novapulse.mail.schemas import PreviewIn, PreviewView, TemplateIn, TemplatePatch, TemplateView
from novapulse.security import audit

TEMPLATE = table_of(EmailTemplate)
PARTS = ("subject", "text", "html")
_SUBJECT_MAX = 500
_EXAMPLE_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Filled:
    """A message that a template makes."""

    subject: str
    text: str
    html: str


def fill(sources: Mapping[str, str], values: Mapping[str, Any]) -> Filled:
    """The message that these parts make with these values.

    Raises:
        InvalidError: a mistake in a part, or a value that is missing; says where.
    """
    from novapulse.mail.sandbox import Part  # here: most processes fill in nothing

    made = {name: Part(name, sources[name]).fill(values) if sources[name] else "" for name in PARTS}
    subject = " ".join("".join(char if char.isprintable() else " " for char in made["subject"]).split())
    if not subject:
        raise InvalidError.at("/context", "the subject comes out empty")
    return Filled(subject[:_SUBJECT_MAX], made["text"], made["html"])


async def create_template(rt: Runtime, actor: Actor, body: TemplateIn) -> TemplateView:
    """Store a template.

    Raises:
        InvalidError: it has a mistake; says in which part and line.
        ConflictError: there is one of this name.
    """
    actor.require(Permission.EMAILS_WRITE)
    now = now_ms()
    row = EmailTemplate(
        tenant=actor.tenant or "",
        name=body.name,
        subject=body.subject,
        text=body.text,
        html=body.html,
        example=_encoded(body.example),
        created_at=now,
        updated_at=now,
        updated_by=actor.name,
    )
    view = _checked(row)
    try:
        async with rt.database.write() as session:
            session.add(row)
            await session.flush()
            await audit.append(rt, session, actor, "mail_template.created", target=_target(body.name))
    except IntegrityError:
        raise ConflictError(f"There is a template '{body.name}' already.") from None
    tell_changed(rt)
    return view


async def list_templates(
    rt: Runtime, actor: Actor, *, limit: int = 50, cursor: str | None = None
) -> Page[TemplateView]:
    """The templates, by name."""
    actor.require(Permission.EMAILS_READ)
    conditions = [TEMPLATE.c.tenant == (actor.tenant or "")]
    if cursor is not None:
        conditions.append(TEMPLATE.c.name > decode_cursor(cursor, ""))
    query = select(TEMPLATE).where(*conditions).order_by(TEMPLATE.c.name).limit(limit + 1)
    async with rt.database.read() as session:
        rows = (await session.execute(query)).all()
    return page_of(rows, limit, _view, lambda row: row.name)


async def get_template(rt: Runtime, actor: Actor, name: str) -> TemplateView:
    """One template.

    Raises:
        NotFoundError: none of this name that the actor may see.
    """
    actor.require(Permission.EMAILS_READ)
    async with rt.database.read() as session:
        return _view(await _find(session, actor, name))


async def update_template(rt: Runtime, actor: Actor, name: str, body: TemplatePatch) -> TemplateView:
    """Change what the body names. Messages that wait already stay as they are.

    Raises:
        NotFoundError: none of this name.
        InvalidError: it has a mistake.
    """
    actor.require(Permission.EMAILS_WRITE)
    changed = {field: value for field, value in body.model_dump().items() if value is not None}
    async with rt.database.write() as session:
        row = await _find(session, actor, name, lock=True)
        for field, value in changed.items():
            setattr(row, field, _encoded(value) if field == "example" else value)
        row.updated_at, row.updated_by = now_ms(), actor.name
        view = _checked(row)
        session.add(row)
        detail = {"changed": sorted(changed)}
        await audit.append(rt, session, actor, "mail_template.changed", target=_target(name), detail=detail)
    tell_changed(rt)
    return view


async def delete_template(rt: Runtime, actor: Actor, name: str) -> None:
    """Delete a template. Messages that wait already are sent.

    Raises:
        NotFoundError: none of this name.
    """
    actor.require(Permission.EMAILS_WRITE)
    async with rt.database.write() as session:
        await session.delete(await _find(session, actor, name, lock=True))
        await audit.append(rt, session, actor, "mail_template.deleted", target=_target(name))
    tell_changed(rt)


async def preview(rt: Runtime, actor: Actor, body: PreviewIn) -> PreviewView:
    """The message that a template makes; nothing is stored or sent.

    Raises:
        NotFoundError: no template of this name.
        InvalidError: it has a mistake, or a value is missing.
    """
    actor.require(Permission.EMAILS_READ)
    sources, values = {name: getattr(body, name) for name in PARTS}, body.context
    if body.template is not None:
        async with rt.database.read() as session:
            row = await _find(session, actor, body.template)
        sources = sources_of(row)
        values = orjson.loads(row.example) if values is None else values
    made = fill(sources, values or {})
    return PreviewView(subject=made.subject, text=made.text, html=made.html)


async def find_template(session: AsyncSession, tenant: str | None, name: str) -> EmailTemplate | None:
    """The template that mail of this tenant means by this name: its own, or else that of the house."""
    return await session.get(EmailTemplate, (tenant or "", name)) or await session.get(EmailTemplate, ("", name))


def sources_of(row: EmailTemplate) -> dict[str, str]:
    """The parts of a template."""
    return {"subject": row.subject, "text": row.text, "html": row.html}


async def _find(session: AsyncSession, actor: Actor, name: str, *, lock: bool = False) -> EmailTemplate:
    row = await session.get(EmailTemplate, (actor.tenant or "", name), with_for_update=lock)
    if row is None:
        raise NotFoundError("template", name)
    return row


def _checked(row: EmailTemplate) -> TemplateView:
    if not (row.text or row.html):
        raise InvalidError.at("/text", "give text or html, or both")
    view = _view(row)
    example = orjson.loads(row.example)
    if example:
        try:
            fill(sources_of(row), example)
        except InvalidError as error:
            places = [(each.pointer.replace("/context", "/example"), each.detail) for each in error.errors]
            raise InvalidError.at(*places[0]) from None
    return view


def _encoded(example: Mapping[str, Any]) -> str:
    text = orjson.dumps(example).decode()
    if len(text) > _EXAMPLE_MAX:
        raise InvalidError.at("/example", f"longer than {_EXAMPLE_MAX // 1024} KiB")
    return text


def _target(name: str) -> tuple[str, str, str]:
    return "mail_template", name, name


def _view(row: Any) -> TemplateView:
    from novapulse.mail.sandbox import Part

    parts = [Part(name, source) for name, source in sources_of(row).items() if source]
    return TemplateView(
        name=row.name,
        subject=row.subject,
        text=row.text,
        html=row.html,
        example=orjson.loads(row.example),
        variables=sorted(set[str]().union(*(part.variables for part in parts))),
        tenant=row.tenant or None,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
        updated_by=row.updated_by,
    )
