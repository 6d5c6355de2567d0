"""What is dropped of accounts when its time is over."""

from __future__ import annotations

from novapulse.core.runtime import Runtime
from novapulse.security import attempts, authenticators, challenges, devices, links, mfa_resets, sessions, throttle


async def tidy_accounts(rt: Runtime) -> None:
    """Drop what ended, and what nobody came back to; carry out the resets of second factors whose time has come."""
    for each in (
        sessions.delete_ended,
        challenges.delete_expired,
        links.delete_expired,
        authenticators.delete_pending,
        devices.delete_unseen,
        attempts.delete_old,
        throttle.delete_old,
        mfa_resets.carry_out_due,
    ):
        await each(rt)
