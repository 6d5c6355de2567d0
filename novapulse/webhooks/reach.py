"""Whether a URL could be sent to, found out without sending anything: the guard's rules, and its name looked up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import InvalidError
from novapulse.core.runtime import Runtime
from novapulse.webhooks.guard import Guard, RefusedDestinationError, Target, UnresolvedNameError

_LOOK_UP_S = 4.0  # a form does not wait longer for a name server


@dataclass(frozen=True, slots=True)
class Reach:
    """A URL that deliveries may go to."""

    host: str  # canonical: of an international name, what is looked up
    is_address: bool
    encrypted: bool
    addresses: list[str]  # empty: the name has none now, as far as this process can tell


async def look_up(rt: Runtime, actor: Actor, url: str) -> Reach:
    """What is known of a URL before anything is sent there.

    Raises:
        InvalidError: at `/url`, with the rule that refuses it.
    """
    actor.require(Permission.WEBHOOKS_WRITE)
    guard = Guard(rt.settings.allow_private_networks, rt.settings.allowed_ports)
    try:
        target = guard.check_url(url)
        addresses = await _addresses(guard, target)
    except RefusedDestinationError as error:
        raise InvalidError.at("/url", str(error)) from None
    return Reach(target.host, target.is_address, target.scheme == "https", addresses)


async def _addresses(guard: Guard, target: Target) -> list[str]:
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            return await guard.resolve(target)
    except (UnresolvedNameError, TimeoutError):
        return []
