"""The access log: one line for each call that failed or was slow, and for a share of the others.

A line says who and from which network, and which kind of address: never the address itself, whose query may be a
secret, nor anything that was sent.
"""

from __future__ import annotations

import random
import time

import structlog
from starlette.datastructures import Headers

from novapulse.core.actor import Actor
from novapulse.core.http import Call
from novapulse.metrics.http import other_route
from novapulse.security.devices import network_of
from novapulse.security.origins import client_ip
from novapulse.settings import Settings

_SLOW_S = 1.0
_WELL_PER_S = 50.0  # lines of calls that went well, of this process; a burst may be as large
_TELL_EVERY_S = 60.0

log = structlog.get_logger("novapulse.access")


class AccessLog:
    """Writes the lines of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._allowance = _WELL_PER_S
        self._counted_at = time.monotonic()
        self._left_out = 0
        self._told_at = self._counted_at

    def __call__(self, call: Call) -> None:
        """Log a call that is over, unless it went well and is left out."""
        well = call.status < 400 and call.seconds < _SLOW_S
        if well and (call.quiet or not self._keeps()):
            return
        scope = call.scope
        peer = scope["client"][0] if scope.get("client") else ""
        ip = client_ip(self._settings, peer, Headers(scope=scope).get("x-forwarded-for", ""))
        level = log.warning if call.status >= 500 else log.info
        level(
            "call",
            method=call.method[:10],
            route=call.route or other_route(call.path),
            status=call.status,
            ms=round(call.seconds * 1000, 1),
            bytes=call.sent_bytes,
            who=_who(call),
            network=network_of(ip),
        )

    def _keeps(self) -> bool:
        share = self._settings.access_log_sample
        if share < 1 and random.random() >= share:
            return False
        now = time.monotonic()
        self._allowance = min(_WELL_PER_S, self._allowance + (now - self._counted_at) * _WELL_PER_S)
        self._counted_at = now
        if self._allowance >= 1:
            self._allowance -= 1
            return True
        self._left_out += 1
        if now - self._told_at >= _TELL_EVERY_S:
            log.info("calls_left_out", count=self._left_out, why="more than 50 a second went well")
            self._told_at, self._left_out = now, 0
        return False


def _who(call: Call) -> str | None:
    """The id of the user or key, once it is known."""
    found = call.state.get("actor") or call.state.get("guarded")
    if isinstance(found, Actor):
        return found.id
    user = getattr(found, "user", None)
    return None if user is None else user.id
