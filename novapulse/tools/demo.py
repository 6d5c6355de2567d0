"""`novapulse demo`: realistic traffic to local receivers, of which some are slow and some fail."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from ipaddress import ip_address
from typing import Any

from sqlalchemy import delete, select

from novapulse.core.actor import SYSTEM
from novapulse.core.database import table_of
from novapulse.core.runtime import Runtime
from novapulse.launch.errors import StartError
from novapulse.tools.receiver import Reply, Request, start_server
from novapulse.webhooks import ingest, service
from novapulse.webhooks.models import Event, Webhook
from novapulse.webhooks.schemas import EventIn, WebhookCreate

_TENANT = "demo"
_EVERY_S = 0.4  # seconds between events, on average
_RECOVERS_AFTER_S = 60.0
_SCHEDULE_S = [0, 3, 8, 20, 60]
_WEBHOOK = table_of(Webhook)
_EVENT = table_of(Event)

_HOOKS = (
    ("Billing (demo)", "/billing", ["invoice.*", "payment.*"]),
    ("Warehouse (demo)", "/warehouse", ["order.*"]),
    ("Analytics (demo, slow)", "/slow", ["*"]),
    ("Legacy CRM (demo, fails)", "/fails", ["user.*"]),
    ("Partner (demo, recovers)", "/recovers", ["order.*", "user.*"]),
)


async def run(rt: Runtime) -> None:
    """Send traffic until cancelled. What it makes is marked as demo; `remove` takes it away.

    Raises:
        StartError: deliveries to this machine are not allowed.
    """
    if not any(ip_address("127.0.0.1") in network for network in rt.settings.allow_private_networks):
        raise StartError(
            "The demo's receivers are on this machine, where deliveries may not go.",
            "Start NovaPulse and the demo with NOVAPULSE_ALLOW_PRIVATE_NETWORKS=127.0.0.1/32.",
        )
    await remove(rt)
    server = await start_server("127.0.0.1", 0, _Receivers().handle)
    port = server.sockets[0].getsockname()[1]
    for name, path, types in _HOOKS:
        url = f"http://127.0.0.1:{port}{path}"
        hook = {"url": url, "name": name, "event_types": types, "tenant": _TENANT, "retry": {"schedule_s": _SCHEDULE_S}}
        await service.create_webhook(rt, SYSTEM, WebhookCreate.model_validate(hook), demo=True)
    print(f"The demo is running: watch {rt.settings.base_url}. Ctrl-C stops it.", file=sys.stderr)
    print("`novapulse demo --remove` takes away what it made.", file=sys.stderr, flush=True)
    async with server:
        while True:
            type_, data = _happening()
            await ingest.accept(rt, SYSTEM, EventIn.model_validate({"type": type_, "data": data, "tenant": _TENANT}))
            await asyncio.sleep(random.expovariate(1 / _EVERY_S))


async def remove(rt: Runtime) -> None:
    """Delete the demo's webhooks and events, with everything that came of them."""
    async with rt.database.read() as session:
        ids = list((await session.execute(select(_WEBHOOK.c.id).where(_WEBHOOK.c.demo.is_(True)))).scalars())
    for webhook_id in ids:
        await service.delete_webhook(rt, SYSTEM, webhook_id)
    async with rt.database.write() as session:
        await session.execute(delete(_EVENT).where(_EVENT.c.tenant == _TENANT))


class _Receivers:
    """The other side, with its moods."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    async def handle(self, request: Request) -> Reply:
        mood = request.path.strip("/")
        if mood == "slow":
            await asyncio.sleep(random.uniform(0.6, 2.5))
        elif mood == "fails":
            return Reply(500, b'{"error": "database is locked"}')
        elif mood == "recovers" and time.monotonic() - self._started < _RECOVERS_AFTER_S:
            return Reply(503, b'{"error": "maintenance"}', {"retry-after": "10"})
        else:
            await asyncio.sleep(random.uniform(0.01, 0.09))
        return Reply()


def _happening() -> tuple[str, dict[str, Any]]:
    number = random.randint(1000, 9999)
    amount = random.choice([900, 1900, 4900, 12900])
    return random.choice(
        [
            ("invoice.paid", {"invoice": f"in_{number}", "amount": amount, "currency": "EUR"}),
            ("payment.failed", {"payment": f"pay_{number}", "reason": "card_declined", "amount": amount}),
            ("order.created", {"order": number, "items": random.randint(1, 6), "total": amount}),
            (
                "order.shipped",
                {"order": number, "carrier": "DHL", "tracking": f"JD{number}{amount}"},
            ),
            ("user.signed_up", {"user": f"u{number}", "plan": random.choice(["free", "team", "scale"])}),
        ]
    )
