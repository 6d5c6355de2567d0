"""What is dropped of accounts when its time is over."""

from __future__ import annotations

from novapulse.core.runtime import Runtime
from novapulse.security import attempts, authenticators, challenges, devices, links, sessions, throttle


async def tidy_accounts(rt: Runtime) -> None:
    """Drop sessions that ended, devices nobody came back with, steps and links nobody followed, old counts."""
    for each in (
        sessions.delete_ended,
        challenges.delete_expired,
        links.delete_expired,
        authenticators.delete_pending,
        devices.delete_unseen,
        attempts.delete_old,
        throttle.delete_old,
    ):
        await each(rt)
