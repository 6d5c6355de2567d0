"""The URL of the webhook form, checked while it is typed."""

from __future__ import annotations

import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import InvalidError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.webhooks.guard import URL_MAX
from novapulse.webhooks.reach import Reach, look_up
from novapulse.webhooks.screens.wording import sentence

_BEGINNINGS = ("https://", "http://")


class UrlState(rx.State):
    """What is known of the URL."""

    verdict: str = ""  # "checking", "fine", "unsure" or "refused"; "": there is nothing to say yet
    says: str = ""
    _asked: int = 0

    # In the background, so that a slow name server holds nothing else up.
    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event(background=True)
    async def check(self, url: str) -> None:
        """Look the URL up, without sending anything."""
        url = str(url).strip()[: URL_MAX + 1]
        is_begun = any(beginning.startswith(url.lower()) for beginning in _BEGINNINGS)
        async with self:
            self._asked += 1
            asked = self._asked
            self.verdict, self.says = ("", "") if is_begun else ("checking", "")
        if is_begun:
            return
        try:
            reach = await look_up(current(), await handler_actor(self), url)
            verdict, says = ("fine" if reach.addresses else "unsure"), _told(reach)
        except InvalidError as error:
            verdict, says = "refused", sentence(error.errors[0].detail)
        async with self:
            if asked == self._asked:  # or it was typed on meanwhile
                self.verdict, self.says = verdict, says


def forget_url(state: UrlState) -> None:
    """Say nothing about any URL."""
    state._asked += 1
    state.verdict = state.says = ""


def _told(reach: Reach) -> str:
    if not reach.addresses:
        return (
            f"No address of {reach.host} can be looked up from here now. It can be saved; deliveries are retried "
            "until the name has one."
        )
    first, more = reach.addresses[0], len(reach.addresses) - 1
    where = "" if reach.is_address else f" {reach.host} is {first}{f' and {more} more' if more else ''}."
    return f"Deliveries may go here.{where}" + ("" if reach.encrypted else " They go unencrypted: prefer https.")
