"""What the audit log says of webhooks: names and fields, and never a value that could be a credential. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from novapulse.webhooks.models import WebhookStatus

Target = tuple[str, str, str]
_TYPES_MAX = 20
_FIELDS = (
    "url", "name", "description", "tenant", "event_types", "rate_limit", "timeout_s", "retry_schedule", "ordered",
    "status",
)  # fmt: skip


def webhook_target(webhook: Any) -> Target:
    """A webhook as the target of an act."""
    return ("webhook", webhook.id, webhook.name or _host(webhook.url))


def delivery_facts(delivery: Any) -> dict[str, Any]:
    """`target` and `detail` of what was done to a delivery."""
    target = ("delivery", delivery.id, delivery.event_type)
    return {"target": target, "detail": {"webhook_id": delivery.webhook_id, "event_id": delivery.event_id}}


def creation(webhook: Any) -> dict[str, Any]:
    """What a new webhook is."""
    return {"event_types": webhook.event_types[:_TYPES_MAX], "host": _host(webhook.url)}


def state_of(webhook: Any, headers: Mapping[str, str]) -> dict[str, Any]:
    """What can be changed of a webhook; to compare, not to be recorded."""
    return {name: getattr(webhook, name) for name in _FIELDS} | {"headers": dict(headers)}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Action and detail of each thing that a change was. Of URLs only hosts: the rest may be a credential."""
    fields = sorted(name for name in before if before[name] != after[name])
    found: list[tuple[str, dict[str, Any]]] = []
    if "status" in fields:
        fields.remove("status")
        action = "webhook.enabled" if after["status"] == WebhookStatus.ACTIVE else "webhook.paused"
        found.append((action, {"from": str(before["status"])}))
    if fields:
        detail: dict[str, Any] = {"fields": fields}
        old, new = _host(before["url"]), _host(after["url"])
        if old != new:
            detail["host"] = {"from": old, "to": new}
        found.append(("webhook.changed", detail))
    return found


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
