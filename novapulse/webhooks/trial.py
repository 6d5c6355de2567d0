"""Test sends: a real signed delivery, made now and waited for."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from novapulse.core import exact, trace
from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import NotFoundError
from novapulse.core.ids import new_id
from novapulse.core.runtime import Runtime
from novapulse.core.version import VERSION
from novapulse.jobs.enqueue import count_enqueued
from novapulse.security import audit
from novapulse.webhooks import audited, deliveries
from novapulse.webhooks.engine.claim import Claim
from novapulse.webhooks.engine.record import Result, feed_item, write_results
from novapulse.webhooks.engine.request import build_headers, loggable
from novapulse.webhooks.engine.targets import Targets
from novapulse.webhooks.feed import Feed
from novapulse.webhooks.guard import Guard
from novapulse.webhooks.handout import TRIAL_OWNER
from novapulse.webhooks.models import Delivery, DeliveryStatus, Event, EventType, Webhook
from novapulse.webhooks.schemas import AttemptView
from novapulse.webhooks.sender import Sender

DEFAULT_TYPE = "novapulse.test"
EXAMPLE: dict[str, Any] = {"message": "This is a test delivery from NovaPulse."}
_RECORD_MS = 15_000  # beyond the attempt's own limit, for recording it

_EVENT = table_of(Event)
_DELIVERY = table_of(Delivery)


class _TrialSender:
    """The sender of the web process."""

    def __init__(self, rt: Runtime) -> None:
        guard = Guard(rt.settings.allow_private_networks, rt.settings.allowed_ports)
        self.sender = Sender(guard, user_agent=f"NovaPulse/{VERSION}")
        self.targets = Targets(rt.keyring)


async def send_test(
    rt: Runtime, actor: Actor, webhook_id: str, event_type: str | None = None, data: Any = None
) -> AttemptView:
    """Send one test event to one webhook, active or not, and answer with the recorded attempt.

    Without `data` the type's own example is sent. It is one attempt: a failure is not retried.

    Raises:
        NotFoundError: no such webhook (of this tenant).
    """
    actor.require(Permission.WEBHOOKS_WRITE)
    part = rt.part(_TrialSender)
    owner = TRIAL_OWNER + new_id("req")
    async with rt.database.write() as session:
        webhook = await session.get(Webhook, webhook_id)
        if webhook is None or actor.tenant not in (None, webhook.tenant):
            raise NotFoundError("webhook", webhook_id)
        type_ = event_type or DEFAULT_TYPE
        if data is None:
            known = await session.get(EventType, type_)
            data = known.example if known is not None and known.example is not None else EXAMPLE
        now = now_ms()
        target = (await (await session.connection()).run_sync(part.targets.load, [webhook_id], now))[webhook_id]
        event_id, delivery_id = new_id("evt"), new_id("dlv")
        body = f'{{"type":{exact.dumps(type_)},"timestamp":"{rfc3339(now)}","data":{exact.dumps(data)}}}'
        place = trace.current()
        mark = None if place is None else place.mark
        event = {
            "id": event_id,
            "trace": mark,
            "type": type_,
            "tenant": webhook.tenant,
            "tenant_key": webhook.tenant or "",
        }
        await session.execute(
            insert(_EVENT), [event | {"body": body, "timestamp": now, "created_at": now, "deliveries": 1}]
        )
        delivery = {"id": delivery_id, "event_id": event_id, "webhook_id": webhook_id, "event_type": type_}
        state = {"status": DeliveryStatus.SENDING.value, "attempts": 0, "schedule_from": 0, "manual": True}
        claim_ = {"claims": 1, "crashes": 0, "claimed_by": owner, "enqueued_at": now}
        lease = now + round(target.timeout_s * 1000) + _RECORD_MS
        await session.execute(
            insert(_DELIVERY),
            [
                delivery
                | state
                | claim_
                | {"tenant": webhook.tenant, "lease_until": lease, "next_attempt_at": now, "created_at": now}
            ],
        )
        await (await session.connection()).run_sync(count_enqueued, "webhook", 1)
        facts = {"event_type": type_, "delivery_id": delivery_id}
        await audit.append(rt, session, actor, "webhook.tested", target=audited.webhook_target(webhook), detail=facts)
    item = Claim(delivery_id, event_id, webhook_id, type_, 0, 0, True, 0, 1, now, body.encode(), mark)
    headers = build_headers(item, target)
    outcome = await part.sender.post(target.url, item.body, headers, target.timeout_s)
    result = Result(item, target, outcome, loggable(headers, target))
    await write_results(rt, owner, [result])
    rt.part(Feed).tell("delivery", [result], feed_item)
    detail = await deliveries.get_delivery(rt, actor, delivery_id)
    return detail.attempts[0]
