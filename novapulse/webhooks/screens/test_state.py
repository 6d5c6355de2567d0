"""Sending a test from a webhook's page."""

from __future__ import annotations

from typing import Any

import orjson
import reflex as rx

from novapulse.core.actor import Permission
from novapulse.core.errors import NotFoundError, ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.webhooks import event_types, trial
from novapulse.webhooks.matching import check_event_type
from novapulse.webhooks.screens.shown import attempt_shown

_EXAMPLE_MAX = 64 * 1024
_TYPES_MAX = 200


class TestState(rx.State):
    """What the test dialog holds."""

    __test__ = False  # not a test class, whatever its name says to pytest

    shown: bool = False
    type: str = trial.DEFAULT_TYPE
    types: list[str] = []  # noqa: RUF012 - Reflex copies defaults
    data: str = ""
    problem: str = ""
    attempt: dict[str, Any] = {}  # noqa: RUF012

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def show(self, on: bool) -> None:
        """Open or close the dialog."""
        self.shown = bool(on)
        self.problem, self.attempt = "", {}
        if self.shown:
            page = await event_types.list_event_types(
                current(), await handler_actor(self), limit=_TYPES_MAX, archived=False
            )
            self.types = list(dict.fromkeys([trial.DEFAULT_TYPE, *(view.name for view in page.data)]))
            await self._example()

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def pick(self, name: str) -> None:
        """Another event type, with its example."""
        self.type = str(name)[:128]
        await self._example()

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    def write(self, text: str) -> None:
        """The example, edited."""
        self.data = str(text)[:_EXAMPLE_MAX]

    @handler(Permission.WEBHOOKS_WRITE)
    @rx.event
    async def send(self, webhook_id: str) -> None:
        """Send the test and show its attempt."""
        self.problem, self.attempt = "", {}
        try:
            check_event_type(self.type)
            data = orjson.loads(self.data or "{}")
        except orjson.JSONDecodeError as error:
            self.problem = f"This is not JSON: {error.msg} at line {error.lineno}."
            return
        except ValueError as error:
            self.problem = str(error)
            return
        try:
            attempt = await trial.send_test(current(), await handler_actor(self), str(webhook_id)[:64], self.type, data)
        except ProblemError as error:
            self.problem = error.detail
        else:
            self.attempt = attempt_shown(attempt)

    async def _example(self) -> None:
        try:
            example = (await event_types.get_event_type(current(), await handler_actor(self), self.type)).example
        except NotFoundError:
            example = None
        shown = trial.EXAMPLE if example is None else example
        self.data = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
