"""The request of one attempt: Standard Webhooks headers over the owner's own."""

from __future__ import annotations

import time

from novapulse.core.trace import traceparent
from novapulse.core.version import VERSION
from novapulse.webhooks.engine.claim import Claim
from novapulse.webhooks.engine.targets import Target

_USER_AGENT = f"NovaPulse/{VERSION}"
_CREDENTIAL = ("authorization", "cookie", "token", "key", "secret", "password")


def build_headers(claim: Claim, target: Target) -> dict[str, str]:
    """The headers of one attempt, signed for this moment (Standard Webhooks, "Signature scheme")."""
    timestamp = int(time.time())
    return {
        **target.headers,
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
        "webhook-id": claim.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": target.signer.sign(claim.event_id, timestamp, claim.body),
        # Its span, if any is written, is named by this header: see `traced`.
        "traceparent": traceparent(claim.place),
    }


def loggable(headers: dict[str, str], target: Target) -> dict[str, str]:
    """The same headers for the attempt log: the owner's credentials are not written down in plain text."""
    hidden = {name for name in target.headers if any(word in name.lower() for word in _CREDENTIAL)}
    return {name: "***" if name in hidden else value for name, value in headers.items()} if hidden else headers
