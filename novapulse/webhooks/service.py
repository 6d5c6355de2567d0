"""Webhooks: making, changing, listing and deleting them. The only code that writes their tables."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import ForbiddenError, InvalidError, NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.pagination import Page, decode_cursor, page_of
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.webhooks import audited
from novapulse.webhooks.engine.claim import release_held, release_next
from novapulse.webhooks.feed import tell_changed
from novapulse.webhooks.guard import Guard, RefusedDestinationError
from novapulse.webhooks.matching import matches
from novapulse.webhooks.models import RoutingVersion, Webhook, WebhookMinute, WebhookSecret, WebhookStatus
from novapulse.webhooks.retry import DEFAULT_SCHEDULE_S
from novapulse.webhooks.schemas import (
    MASK,
    CreatedWebhook,
    PreviousSecret,
    RetryIn,
    SecretView,
    WebhookCreate,
    WebhookPatch,
    WebhookView,
    is_credential,
)
from novapulse.webhooks.signing import new_secret

_WEBHOOK = table_of(Webhook)
_SECRET = table_of(WebhookSecret)
_MINUTE = table_of(WebhookMinute)
_ROUTING = table_of(RoutingVersion)

_DEGRADED_SHARE = 0.05  # of the last hour's attempts
_HEALTH_MINUTES = 60


async def check_url(rt: Runtime, url: str) -> None:
    """Refuse a URL that no delivery may go to.

    Raises:
        InvalidError: at `/url`, with the rule.
    """
    try:
        await Guard(rt.settings.allow_private_networks, rt.settings.allowed_ports).check_save(url)
    except RefusedDestinationError as error:
        raise InvalidError.at("/url", str(error)) from None


async def create_webhook(rt: Runtime, actor: Actor, data: WebhookCreate, *, demo: bool = False) -> CreatedWebhook:
    """Make a webhook with a fresh secret.

    Raises:
        InvalidError: a URL that may not be sent to.
    """
    actor.require(Permission.WEBHOOKS_WRITE)
    tenant = _own_tenant(actor, data.tenant)
    await check_url(rt, data.url)
    now = now_ms()
    webhook_id, secret = new_id("wh"), new_secret()
    webhook = Webhook(
        id=webhook_id,
        name=data.name,
        url=data.url,
        description=data.description,
        tenant=tenant,
        event_types=data.event_types,
        headers=_seal_headers(rt, webhook_id, data.headers),
        rate_limit=data.rate_limit,
        timeout_s=data.timeout_s,
        retry_schedule=data.retry.schedule_s if data.retry else None,
        ordered=data.ordered,
        demo=demo,
        created_at=now,
        updated_at=now,
    )
    async with rt.database.write() as session:
        session.add(webhook)
        await session.flush()
        session.add(_secret_row(rt, webhook_id, secret, now))
        await bump_routing(session)
        target, facts = audited.webhook_target(webhook), audited.creation(webhook)
        await audit.append(rt, session, actor, "webhook.created", target=target, detail=facts)
    tell_changed(rt, webhook_id)
    return CreatedWebhook(**_view(rt, webhook, "idle").model_dump(), secret=secret)


async def get_webhook(rt: Runtime, actor: Actor, webhook_id: str) -> WebhookView:
    """One webhook.

    Raises:
        NotFoundError: none of this id that the actor may see.
    """
    actor.require(Permission.WEBHOOKS_READ)
    async with rt.database.read() as session:
        webhook = await find(session, actor, webhook_id)
        health = (await session.execute(_with_health(_WEBHOOK.c.id == webhook_id))).one().health
    return _view(rt, webhook, health)


async def list_webhooks(
    rt: Runtime,
    actor: Actor,
    *,
    tenant: str | None = None,
    status: str | None = None,
    health: str | None = None,
    event_type: str | None = None,
    q: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[WebhookView]:
    """Webhooks, newest first. `event_type`: those that would get it; `q`: in the name, URL, description or id."""
    actor.require(Permission.WEBHOOKS_READ)
    w = _WEBHOOK.c
    conditions: list[Any] = []
    tenant = actor.tenant if actor.tenant is not None else tenant
    if tenant is not None:
        conditions.append(w.tenant == tenant)
    if status is not None:
        conditions.append(w.status == status)
    if q:
        pattern = f"%{_escaped(q)}%"
        conditions.append(or_(*(col.ilike(pattern, escape="\\") for col in (w.name, w.url, w.description, w.id))))
    if event_type is not None:
        async with rt.database.read() as session:
            all_types = (await session.execute(select(w.id, w.event_types))).all()
        fitting = [id_ for id_, patterns in all_types if any(matches(p, event_type) for p in patterns)]
        conditions.append(w.id.in_(fitting))
    if cursor is not None:
        conditions.append(w.id < decode_cursor(cursor, "wh_"))
    query = _with_health(and_(*conditions) if conditions else None)
    if health is not None:
        inner = query.subquery()
        query = select(inner).where(inner.c.health == health).order_by(inner.c.id.desc())
    else:
        query = query.order_by(w.id.desc())
    async with rt.database.read() as session:
        rows = (await session.execute(query.limit(limit + 1))).all()
    return page_of(rows, limit, lambda row: _view(rt, row, row.health), lambda row: row.id)


async def update_webhook(rt: Runtime, actor: Actor, webhook_id: str, patch: WebhookPatch) -> WebhookView:
    """Change what the patch names. Making a webhook active lets its waiting deliveries go.

    Raises:
        NotFoundError: none of this id that the actor may see.
        InvalidError: a URL that may not be sent to, or null where a value is needed.
    """
    actor.require(Permission.WEBHOOKS_WRITE)
    given = patch.model_fields_set
    for name in given - {"tenant", "rate_limit", "retry"}:
        if getattr(patch, name) is None:
            raise InvalidError.at(f"/{name}", "must not be null; leave it out to keep it")
    if patch.url is not None:
        await check_url(rt, patch.url)
    now = now_ms()
    async with rt.database.write() as session:
        webhook = await find(session, actor, webhook_id)
        before = audited.state_of(webhook, _open_headers(rt, webhook))
        for name in given & {"url", "name", "description", "event_types", "rate_limit", "timeout_s"}:
            setattr(webhook, name, getattr(patch, name))
        if "tenant" in given:
            webhook.tenant = _own_tenant(actor, patch.tenant)
        if "headers" in given and patch.headers is not None:
            kept = _unmasked(patch.headers, _open_headers(rt, webhook))
            webhook.headers = _seal_headers(rt, webhook_id, kept)
        if "retry" in given:
            webhook.retry_schedule = patch.retry.schedule_s if patch.retry else None
        if patch.ordered is not None and patch.ordered != webhook.ordered:
            webhook.ordered = patch.ordered
            if not patch.ordered and webhook.status == WebhookStatus.ACTIVE:
                await (await session.connection()).run_sync(release_held, webhook_id, now=now)
        if patch.status is not None and patch.status != webhook.status:
            await _set_status(session, webhook, patch.status, now)
        webhook.updated_at = now
        session.add(webhook)
        await bump_routing(session)
        after = audited.state_of(webhook, _open_headers(rt, webhook))
        for action, detail in audited.changes(before, after):
            await audit.append(rt, session, actor, action, target=audited.webhook_target(webhook), detail=detail)
    tell_changed(rt, webhook_id)
    return (
        await get_webhook(rt, actor, webhook_id) if actor.may(Permission.WEBHOOKS_READ) else _view(rt, webhook, "idle")
    )


async def delete_webhook(rt: Runtime, actor: Actor, webhook_id: str) -> None:
    """Delete a webhook with its deliveries, their attempts and its statistics.

    Raises:
        NotFoundError: none of this id that the actor may see.
        ReauthenticationError: a person who has not proven lately that it is them.
    """
    actor.require(Permission.WEBHOOKS_WRITE)
    actor.require_sudo()
    async with rt.database.write() as session:
        webhook = await find(session, actor, webhook_id)
        await session.delete(webhook)
        await bump_routing(session)
        await audit.append(rt, session, actor, "webhook.deleted", target=audited.webhook_target(webhook))
    tell_changed(rt, webhook_id)


async def get_secret(rt: Runtime, actor: Actor, webhook_id: str) -> SecretView:
    """The signing secrets: the current one, and those whose overlap has not ended."""
    actor.require(Permission.WEBHOOKS_SECRET)
    async with rt.database.write() as session:
        webhook = await find(session, actor, webhook_id)
        rows = await _live_secrets(session, webhook_id, now_ms())
        await audit.append(rt, session, actor, "webhook.secret_revealed", target=audited.webhook_target(webhook))
    return _opened(rt, rows)


def _opened(rt: Runtime, rows: list[Any]) -> SecretView:
    opened = [(rt.keyring.decrypt(row.secret, f"webhook_secret:secret:{row.id}"), row.expires_at) for row in rows]
    current = next(secret for secret, expires_at in opened if expires_at is None)
    previous = [PreviousSecret(secret=s, expires_at=rfc3339(at)) for s, at in opened if at is not None]
    return SecretView(secret=current, previous=previous)


async def rotate_secret(rt: Runtime, actor: Actor, webhook_id: str, overlap_s: int = 86_400) -> SecretView:
    """Make a new secret; for `overlap_s` seconds deliveries carry the signatures of both."""
    actor.require(Permission.WEBHOOKS_SECRET)
    actor.require(Permission.WEBHOOKS_WRITE)
    now = now_ms()
    secret = new_secret()
    async with rt.database.write() as session:
        webhook = await find(session, actor, webhook_id)
        await session.execute(
            update(_SECRET)
            .where(_SECRET.c.webhook_id == webhook_id, _SECRET.c.expires_at.is_(None))
            .values(expires_at=now + overlap_s * 1000)
        )
        session.add(_secret_row(rt, webhook_id, secret, now))
        await session.flush()
        await bump_routing(session)
        rows = await _live_secrets(session, webhook_id, now)
        facts = {"overlap_s": overlap_s}
        await audit.append(
            rt, session, actor, "webhook.secret_rotated", target=audited.webhook_target(webhook), detail=facts
        )
    return _opened(rt, rows)


async def find(session: AsyncSession, actor: Actor, webhook_id: str) -> Webhook:
    """The row of a webhook the actor may see.

    Raises:
        NotFoundError: there is none.
    """
    webhook = await session.get(Webhook, webhook_id)
    if webhook is None or actor.tenant not in (None, webhook.tenant):
        raise NotFoundError("webhook", webhook_id)
    return webhook


async def bump_routing(session: AsyncSession) -> None:
    """Have every process read the webhooks anew. For the transaction that changes them."""
    await session.execute(update(_ROUTING).values(version=_ROUTING.c.version + 1))


async def _set_status(session: AsyncSession, webhook: Webhook, status: str, now: int) -> None:
    webhook.status = status
    if status == WebhookStatus.ACTIVE:
        webhook.disabled_reason = None
        webhook.failing_since = None  # the clock that disables starts anew
        release = release_next if webhook.ordered else release_held
        await (await session.connection()).run_sync(release, webhook.id, now=now)


async def _live_secrets(session: AsyncSession, webhook_id: str, now: int) -> list[Any]:
    s = _SECRET.c
    live = or_(s.expires_at.is_(None), s.expires_at > now)
    rows = await session.execute(select(_SECRET).where(s.webhook_id == webhook_id, live).order_by(s.created_at.desc()))
    return list(rows.all())


def _secret_row(rt: Runtime, webhook_id: str, secret: str, now: int) -> WebhookSecret:
    id_ = new_id("sec")
    sealed = rt.keyring.encrypt(secret, f"webhook_secret:secret:{id_}")
    return WebhookSecret(id=id_, webhook_id=webhook_id, secret=sealed, created_at=now)


def _seal_headers(rt: Runtime, webhook_id: str, headers: dict[str, str]) -> str:
    return rt.keyring.encrypt(orjson.dumps(headers).decode(), f"webhook:headers:{webhook_id}") if headers else ""


def _open_headers(rt: Runtime, webhook: Any) -> dict[str, str]:
    if not webhook.headers:
        return {}
    return orjson.loads(rt.keyring.decrypt(webhook.headers, f"webhook:headers:{webhook.id}"))


def _unmasked(given: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    unknown = [name for name, value in given.items() if value == MASK and name not in known]
    if unknown:
        raise InvalidError.at(f"/headers/{unknown[0]}", "is masked, and there is no value of this name to keep")
    return {name: known[name] if value == MASK else value for name, value in given.items()}


def _own_tenant(actor: Actor, tenant: str | None) -> str | None:
    if actor.tenant is not None and tenant not in (None, actor.tenant):
        raise ForbiddenError(f"This key may only act for tenant '{actor.tenant}'.")
    return tenant if actor.tenant is None else actor.tenant


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _with_health(condition: Any) -> Any:
    """Webhooks with their health of the last hour."""
    w, m = _WEBHOOK.c, _MINUTE.c
    since = now_ms() // 60_000 - _HEALTH_MINUTES
    sums = (
        select(m.webhook_id, func.sum(m.attempts).label("attempts"), func.sum(m.failed_attempts).label("failed"))
        .where(m.minute >= since)
        .group_by(m.webhook_id)
        .subquery()
    )
    attempts, failed = func.coalesce(sums.c.attempts, 0), func.coalesce(sums.c.failed, 0)
    health = case(
        (and_(attempts == 0, w.failing_since.is_(None)), "idle"),
        (and_(w.failing_since.is_not(None), failed >= attempts), "failing"),
        (failed > attempts * _DEGRADED_SHARE, "degraded"),
        else_="healthy",
    )
    query = select(_WEBHOOK, health.label("health")).outerjoin(sums, sums.c.webhook_id == w.id)
    return query if condition is None else query.where(condition)


def _view(rt: Runtime, webhook: Any, health: str) -> WebhookView:
    headers = _open_headers(rt, webhook)
    schedule = webhook.retry_schedule
    return WebhookView(
        id=webhook.id,
        name=webhook.name,
        url=webhook.url,
        description=webhook.description,
        tenant=webhook.tenant,
        event_types=webhook.event_types,
        headers={name: MASK if is_credential(name) else value for name, value in headers.items()},
        rate_limit=webhook.rate_limit,
        timeout_s=webhook.timeout_s,
        retry=RetryIn(schedule_s=list(DEFAULT_SCHEDULE_S) if schedule is None else schedule),
        ordered=webhook.ordered,
        status=webhook.status,
        disabled_reason=webhook.disabled_reason,
        health=health,  # pyright: ignore[reportArgumentType]
        demo=webhook.demo,
        created_at=rfc3339(webhook.created_at),
        updated_at=rfc3339(webhook.updated_at),
    )
