"""`/webhooks`, `/events`, `/event-types` and `/deliveries`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import ValidationError

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import parse_rfc3339
from novapulse.core.errors import InvalidError, ProblemError
from novapulse.core.http import ApiRoute
from novapulse.core.pagination import LIMIT_DEFAULT, LIMIT_MAX, Page
from novapulse.core.problems import from_validation
from novapulse.core.runtime import Runtime, current
from novapulse.security.policy import RateClass, needs
from novapulse.webhooks import deliveries, event_types, events, ingest, service, stats, trial
from novapulse.webhooks.models import DeliveryStatus
from novapulse.webhooks.schemas import (
    AttemptView,
    CreatedWebhook,
    DeliveryDetail,
    DeliveryView,
    EventAccepted,
    EventBatchIn,
    EventDetail,
    EventIn,
    EventTypeIn,
    EventTypePatch,
    EventTypeView,
    EventView,
    RotateIn,
    SecretView,
    StatsView,
    TestIn,
    WebhookCreate,
    WebhookPatch,
    WebhookView,
)

router = APIRouter(route_class=ApiRoute)

Rt = Annotated[Runtime, Depends(current)]
WritesWebhooks = Annotated[Actor, needs(Permission.WEBHOOKS_WRITE)]
ReadsWebhooks = Annotated[Actor, needs(Permission.WEBHOOKS_READ)]
DeletesWebhooks = Annotated[Actor, needs(Permission.WEBHOOKS_WRITE, sudo=True)]
ReadsSecrets = Annotated[Actor, needs(Permission.WEBHOOKS_SECRET, rate=RateClass.SENSITIVE)]
RotatesSecrets = Annotated[
    Actor, needs(Permission.WEBHOOKS_SECRET, Permission.WEBHOOKS_WRITE, rate=RateClass.SENSITIVE)
]
ReadsLog = Annotated[Actor, needs(Permission.WEBHOOKS_READ, Permission.DELIVERIES_READ)]
SendsEvents = Annotated[Actor, needs(Permission.EVENTS_WRITE, rate=RateClass.INGEST)]
ReadsEvents = Annotated[Actor, needs(Permission.EVENTS_READ)]
ReadsDeliveries = Annotated[Actor, needs(Permission.DELIVERIES_READ)]
WritesDeliveries = Annotated[Actor, needs(Permission.DELIVERIES_WRITE)]
Id = Annotated[str, Path(max_length=64)]
TypeName = Annotated[str, Path(max_length=128)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Cursor = Annotated[str | None, Query(max_length=256)]
Text = Annotated[str | None, Query(max_length=200)]
Health = Literal["healthy", "degraded", "failing", "idle"]
Status = Literal["active", "paused", "disabled"]

_WINDOW = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


_Moment = Annotated[str | None, Query(max_length=40, description="An RFC 3339 time.")]


def _since(since: _Moment = None) -> int | None:
    return _moment("since", since)


def _until(until: _Moment = None) -> int | None:
    return _moment("until", until)


def _moment(name: str, value: str | None) -> int | None:
    try:
        return None if value is None else parse_rfc3339(value)
    except (ValueError, OverflowError):
        raise InvalidError.at(f"/{name}", "must be an RFC 3339 time such as 2026-11-23T12:00:00Z") from None


Since = Annotated[int | None, Depends(_since)]
Until = Annotated[int | None, Depends(_until)]


def _window(window: Annotated[str, Query(max_length=10)] = "1h") -> int:
    found = _WINDOW.fullmatch(window)
    seconds = int(found[1]) * _UNIT_S[found[2]] if found else 0
    if not 60 <= seconds <= stats.WINDOW_MAX_S:
        raise InvalidError.at("/window", "must be a span such as 15m, 1h or 7d, from 1m to 30d")
    return seconds


@router.post("/webhooks", status_code=201, tags=["Webhooks"])
async def create_webhook(rt: Rt, actor: WritesWebhooks, body: WebhookCreate) -> CreatedWebhook:
    """Make a webhook. The signing secret is in this answer, and at `/secret`."""
    return await service.create_webhook(rt, actor, body)


@router.get("/webhooks", tags=["Webhooks"])
async def list_webhooks(
    rt: Rt,
    actor: ReadsWebhooks,
    tenant: Text = None,
    status: Status | None = None,
    health: Health | None = None,
    event_type: Text = None,
    q: Text = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[WebhookView]:
    """Webhooks, newest first."""
    return await service.list_webhooks(
        rt,
        actor,
        tenant=tenant,
        status=status,
        health=health,
        event_type=event_type,
        q=q,
        limit=limit,
        cursor=cursor,
    )


@router.get("/webhooks/{id}", tags=["Webhooks"])
async def get_webhook(rt: Rt, actor: ReadsWebhooks, id: Id) -> WebhookView:
    """One webhook."""
    return await service.get_webhook(rt, actor, id)


@router.patch("/webhooks/{id}", tags=["Webhooks"])
async def update_webhook(rt: Rt, actor: WritesWebhooks, id: Id, body: WebhookPatch) -> WebhookView:
    """Change what the body names."""
    return await service.update_webhook(rt, actor, id, body)


@router.delete("/webhooks/{id}", status_code=204, tags=["Webhooks"])
async def delete_webhook(rt: Rt, actor: DeletesWebhooks, id: Id) -> Response:
    """Delete a webhook with its deliveries."""
    await service.delete_webhook(rt, actor, id)
    return Response(status_code=204)


@router.get("/webhooks/{id}/secret", tags=["Webhooks"])
async def get_secret(rt: Rt, actor: ReadsSecrets, id: Id, response: Response) -> SecretView:
    """The signing secret."""
    response.headers["Cache-Control"] = "no-store"
    return await service.get_secret(rt, actor, id)


@router.post("/webhooks/{id}/rotate-secret", tags=["Webhooks"])
async def rotate_secret(
    rt: Rt,
    actor: RotatesSecrets,
    id: Id,
    response: Response,
    body: RotateIn | None = None,
) -> SecretView:
    """Make a new secret; the old one goes on signing during the overlap."""
    response.headers["Cache-Control"] = "no-store"
    return await service.rotate_secret(rt, actor, id, (body or RotateIn()).overlap_s)


@router.post("/webhooks/{id}/test", tags=["Webhooks"])
async def test_webhook(rt: Rt, actor: WritesWebhooks, id: Id, body: TestIn | None = None) -> AttemptView:
    """Send a real signed delivery now and answer with the attempt."""
    wanted = body or TestIn()
    return await trial.send_test(rt, actor, id, wanted.event_type, wanted.data)


@router.get("/webhooks/{id}/deliveries", tags=["Webhooks"])
async def list_webhook_deliveries(
    rt: Rt,
    actor: ReadsLog,
    id: Id,
    status: DeliveryStatus | None = None,
    event_type: Text = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[DeliveryView]:
    """The deliveries of one webhook, newest first."""
    await service.get_webhook(rt, actor, id)
    return await deliveries.list_deliveries(
        rt,
        actor,
        webhook_id=id,
        status=status,
        event_type=event_type,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )


@router.get("/webhooks/{id}/stats", tags=["Webhooks"])
async def webhook_stats(rt: Rt, actor: ReadsWebhooks, id: Id, window_s: Annotated[int, Depends(_window)]) -> StatsView:
    """Counts, success rate, percentiles and a series, for a window such as `1h`."""
    return await stats.webhook_stats(rt, actor, id, window_s)


@router.post("/events", status_code=202, tags=["Events"])
async def send_event(rt: Rt, actor: SendsEvents, body: EventIn) -> EventAccepted:
    """Send an event. The answer comes when it and its deliveries are on disk."""
    return await ingest.accept(rt, actor, body)


@router.post("/events/batch", status_code=202, tags=["Events"])
async def send_events(rt: Rt, actor: SendsEvents, body: EventBatchIn) -> dict[str, Any]:
    """Send up to 1,000 events in one transaction; one that cannot be taken gets an `error` of its own."""
    answers: list[dict[str, Any] | None] = []
    good: list[EventIn] = []
    for item in body.events:
        try:
            good.append(EventIn.model_validate(item))
            answers.append(None)
        except ValidationError as error:
            answers.append({"error": _short(from_validation(error.errors()))})
    accepted = iter(await ingest.accept_batch(rt, actor, good) if good else [])
    merged = [_item(next(accepted)) if answer is None else answer for answer in answers]
    return {"accepted": sum("id" in item for item in merged), "events": merged}


def _item(answer: EventAccepted | ProblemError) -> dict[str, Any]:
    if isinstance(answer, ProblemError):
        return {"error": _short(answer)}
    return {"id": answer.id, "deliveries": answer.deliveries}


def _short(error: ProblemError) -> dict[str, Any]:
    errors = [{"pointer": each.pointer, "detail": each.detail} for each in error.errors]
    return {"status": error.status, "title": error.title, "detail": error.detail, "errors": errors}


@router.get("/events", tags=["Events"])
async def list_events(
    rt: Rt,
    actor: ReadsEvents,
    type: Text = None,
    tenant: Text = None,
    since: Since = None,
    until: Until = None,
    q: Text = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[EventView]:
    """Events, newest first."""
    return await events.list_events(
        rt, actor, type=type, tenant=tenant, since=since, until=until, q=q, limit=limit, cursor=cursor
    )


@router.get("/events/{id}", tags=["Events"])
async def get_event(rt: Rt, actor: ReadsEvents, id: Id) -> EventDetail:
    """One event with its data and deliveries."""
    return await events.get_event(rt, actor, id)


@router.get("/event-types", tags=["Event types"])
async def list_event_types(
    rt: Rt,
    actor: ReadsWebhooks,
    archived: bool | None = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[EventTypeView]:
    """The catalogue, by name."""
    return await event_types.list_event_types(rt, actor, limit=limit, cursor=cursor, archived=archived)


@router.post("/event-types", status_code=201, tags=["Event types"])
async def create_event_type(rt: Rt, actor: WritesWebhooks, body: EventTypeIn) -> EventTypeView:
    """Add a type."""
    return await event_types.create_event_type(rt, actor, body)


@router.get("/event-types/{name}", tags=["Event types"])
async def get_event_type(rt: Rt, actor: ReadsWebhooks, name: TypeName) -> EventTypeView:
    """One type."""
    return await event_types.get_event_type(rt, actor, name)


@router.patch("/event-types/{name}", tags=["Event types"])
async def update_event_type(rt: Rt, actor: WritesWebhooks, name: TypeName, body: EventTypePatch) -> EventTypeView:
    """Change what the body names."""
    return await event_types.update_event_type(rt, actor, name, body)


@router.delete("/event-types/{name}", status_code=204, tags=["Event types"])
async def delete_event_type(rt: Rt, actor: WritesWebhooks, name: TypeName) -> Response:
    """Take a type out of the catalogue."""
    await event_types.delete_event_type(rt, actor, name)
    return Response(status_code=204)


@router.get("/deliveries", tags=["Deliveries"])
async def list_deliveries(
    rt: Rt,
    actor: ReadsDeliveries,
    webhook_id: Text = None,
    event_id: Text = None,
    status: DeliveryStatus | None = None,
    event_type: Text = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT_DEFAULT,
    cursor: Cursor = None,
) -> Page[DeliveryView]:
    """Deliveries, newest first."""
    return await deliveries.list_deliveries(
        rt,
        actor,
        webhook_id=webhook_id,
        event_id=event_id,
        status=status,
        event_type=event_type,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )


@router.get("/deliveries/{id}", tags=["Deliveries"])
async def get_delivery(rt: Rt, actor: ReadsDeliveries, id: Id) -> DeliveryDetail:
    """One delivery with every attempt."""
    return await deliveries.get_delivery(rt, actor, id)


@router.post("/deliveries/{id}/retry", status_code=202, tags=["Deliveries"])
async def retry_delivery(rt: Rt, actor: WritesDeliveries, id: Id) -> DeliveryView:
    """Send now, once more."""
    return await deliveries.retry_delivery(rt, actor, id)


@router.post("/deliveries/{id}/cancel", tags=["Deliveries"])
async def cancel_delivery(rt: Rt, actor: WritesDeliveries, id: Id) -> DeliveryView:
    """Make no further attempt."""
    return await deliveries.cancel_delivery(rt, actor, id)
