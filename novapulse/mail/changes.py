"""Telling open pages that mail has changed."""

from __future__ import annotations

from novapulse.core.runtime import Runtime
from novapulse.webhooks.feed import Feed


def tell_changed(rt: Runtime) -> None:
    """A message or a template is not what it was."""
    rt.part(Feed).tell("mail", [None], lambda _: {})
