"""`/emails`, `/email-templates` and `/email-server`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Response

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import parse_rfc3339
from novapulse.core.errors import InvalidError, NotFoundError
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, LIMIT_MAX, Page
from novapulse.core.runtime import Runtime, current
from novapulse.mail import listing, sending, templates_store
from novapulse.mail.schemas import (
    EmailAccepted,
    EmailDetail,
    EmailIn,
    EmailView,
    MailServerView,
    PreviewIn,
    PreviewView,
    Status,
    TemplateIn,
    TemplatePatch,
    TemplateView,
    TrialIn,
    TrialView,
)
from novapulse.security.policy import RateClass, needs

router = APIRouter(route_class=ApiRoute)

Rt = Annotated[Runtime, Depends(current)]
Reads = Annotated[Actor, needs(Permission.EMAILS_READ)]
Writes = Annotated[Actor, needs(Permission.EMAILS_WRITE)]
Tries = Annotated[Actor, needs(Permission.EMAILS_WRITE, rate=RateClass.SENSITIVE)]
Id = Annotated[str, Path(max_length=64)]
Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=100)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=256)]
Text = Annotated[str | None, Query(max_length=200)]
Moment = Annotated[str | None, Query(max_length=40, description="An RFC 3339 time.")]

# For a frame that may do nothing: no script, no network, no form; not even links lead out of it.
_HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; sandbox"
)


def _moment(name: str, value: str | None) -> int | None:
    try:
        return None if value is None else parse_rfc3339(value)
    except (ValueError, OverflowError):
        raise InvalidError.at(f"/{name}", "must be an RFC 3339 time such as 2026-11-23T12:00:00Z") from None


@router.post("/emails", status_code=202, tags=["Mail"])
async def send_email(rt: Rt, actor: Writes, body: EmailIn) -> EmailAccepted:
    """Send a message. Accepted means that it is on disk; `GET /emails/{id}` tells what became of it."""
    return await sending.send_email(rt, actor, body)


@router.get("/emails", tags=["Mail"])
async def list_emails(
    rt: Rt,
    actor: Reads,
    status: Status | None = None,
    kind: Text = None,
    to: Text = None,
    q: Text = None,
    since: Moment = None,
    until: Moment = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[EmailView]:
    """Messages, newest first."""
    return await listing.list_emails(
        rt,
        actor,
        status=status,
        kind=kind,
        to=to,
        q=q,
        since=_moment("since", since),
        until=_moment("until", until),
        limit=limit,
        cursor=cursor,
    )


@router.post("/emails/test", tags=["Mail"])
async def try_server(rt: Rt, actor: Tries, body: TrialIn) -> TrialView:
    """Send a trial message now, past the queue, and answer with what the server said."""
    return await sending.try_server(rt, actor, body.to)


@router.get("/emails/{id}", tags=["Mail"])
async def get_email(rt: Rt, actor: Reads, id: Id) -> EmailDetail:
    """One message: what the server said of each recipient and, where that may be shown, what it says."""
    return await listing.get_email(rt, actor, id)


@router.get(
    "/emails/{id}/html",
    tags=["Mail"],
    response_class=Response,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_html(rt: Rt, actor: Reads, id: Id) -> Response:
    """The HTML part of a message, for a frame of ours: it runs no script and loads nothing."""
    html = await listing.get_html(rt, actor, id)
    if html is None:
        raise NotFoundError("HTML part of e-mail", id)
    headers = {"content-security-policy": _HTML_POLICY, "x-frame-options": "SAMEORIGIN", "cache-control": "no-store"}
    return Response(html, headers=headers, media_type="text/html")


@router.get(
    "/emails/{id}/attachments/{number}",
    tags=["Mail"],
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def get_attachment(rt: Rt, actor: Reads, id: Id, number: Number) -> Response:
    """A file of a message."""
    file = await sending.get_attachment(rt, actor, id, number)
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "cache-control": "no-store",
    }
    # Not as what it says it is: nothing from elsewhere is shown as a page of ours.
    return Response(file.data, headers=headers, media_type="application/octet-stream")


@router.post("/emails/{id}/retry", status_code=202, tags=["Mail"])
async def retry_email(rt: Rt, actor: Writes, id: Id) -> EmailAccepted:
    """Send a message again, to those who were not sent it."""
    return await sending.retry_email(rt, actor, id)


@router.get("/email-server", tags=["Mail"])
async def mail_server(rt: Rt, actor: Reads) -> MailServerView:
    """How mail is sent."""
    return sending.mail_server(rt, actor)


@router.post("/email-templates", status_code=201, tags=["Mail"])
async def create_template(rt: Rt, actor: Writes, body: TemplateIn) -> TemplateView:
    """Store a template. One with a mistake is refused, with its part and line."""
    return await templates_store.create_template(rt, actor, body)


@router.get("/email-templates", tags=["Mail"])
async def list_templates(
    rt: Rt, actor: Reads, limit: Limit = LIMIT_DEFAULT, cursor: Cursor = None
) -> Page[TemplateView]:
    """The templates, by name."""
    return await templates_store.list_templates(rt, actor, limit=limit, cursor=cursor)


@router.post("/email-templates/preview", tags=["Mail"])
async def preview_template(rt: Rt, actor: Reads, body: PreviewIn) -> PreviewView:
    """Fill a template in; nothing is stored or sent."""
    return await templates_store.preview(rt, actor, body)


@router.get("/email-templates/{name}", tags=["Mail"])
async def get_template(rt: Rt, actor: Reads, name: Name) -> TemplateView:
    """One template."""
    return await templates_store.get_template(rt, actor, name)


@router.patch("/email-templates/{name}", tags=["Mail"])
async def update_template(rt: Rt, actor: Writes, name: Name, body: TemplatePatch) -> TemplateView:
    """Change what the body names."""
    return await templates_store.update_template(rt, actor, name, body)


@router.delete("/email-templates/{name}", status_code=204, tags=["Mail"])
async def delete_template(rt: Rt, actor: Writes, name: Name) -> Response:
    """Delete a template."""
    await templates_store.delete_template(rt, actor, name)
    return Response(status_code=204)
