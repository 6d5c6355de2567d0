"""The request of one attempt: Standard Webhooks headers over the owner's own."""

from __future__ import annotations

import random
import time

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
        # W3C Trace Context: all attempts of an event are one trace, named by the event's own 128 bits. The id of the
        # span only has to be different, and not to be zero; asking the kernel for it was a twentieth of the work.
        "traceparent": f"00-{claim.event_id.removeprefix('evt_')}-{random.getrandbits(64) | 1:016x}-01",
    }


def loggable(headers: dict[str, str], target: Target) -> dict[str, str]:
    """The same headers for the attempt log: the owner's credentials are not written down in plain text."""
    hidden = {name for name in target.headers if any(word in name.lower() for word in _CREDENTIAL)}
    return {name: "***" if name in hidden else value for name, value in headers.items()} if hidden else headers
