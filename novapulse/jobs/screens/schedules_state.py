"""Schedules: the list, and the form in which one is made or changed."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
import reflex as rx
from pydantic import ValidationError

from novapulse.core.actor import Actor, Permission
from novapulse.core.errors import InvalidError, ProblemError
from novapulse.core.problems import from_validation
from novapulse.core.runtime import current
from novapulse.jobs import schedules
from novapulse.jobs.schemas import CronIn, ScheduleIn, SchedulePatch
from novapulse.jobs.screens.shown import schedule_row
from novapulse.jobs.service import list_tasks
from novapulse.live.watching import Shown, show
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.listing import Listing
from novapulse.ui.urls import address
from novapulse.webhooks.screens.wording import sentence

_PAGE = 50
PATH = "/jobs/schedules"
_TEXT_MAX = 300_000
FIELDS = ("name", "task", "cron", "timezone", "payload", "overlap")
_NEW = {"name": "", "task": "", "cron": "0 9 * * MON-FRI", "timezone": "UTC", "payload": "{}", "overlap": "skip"}


class SchedulesState(Listing, rx.State):
    """What `/jobs/schedules` shows."""

    tasks: list[str] = []  # noqa: RUF012 - that may be asked for; Reflex copies defaults
    editing: str = ""  # an id, or `new`; '': no form is open
    texts: dict[str, str] = {}  # noqa: RUF012 - what the form begins with
    timezone: str = "UTC"
    meaning: str = ""
    fires: list[str] = []  # noqa: RUF012
    errors: dict[str, str] = {}  # noqa: RUF012
    refused: str = ""

    @handler(Permission.JOBS_READ)
    @rx.event
    async def load(self) -> None:
        """Read the page of the list that the URL names."""
        self.editing = ""
        self._of_url()
        self.tasks = [task.name for task in list_tasks(await handler_actor(self)) if task.api]
        await self._read()

    @handler(Permission.JOBS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Read it again."""
        await self._read()

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def open(self, schedule_id: str) -> Any:
        """Begin to make one (`new`), or to change one."""
        row = next((row for row in self.rows if row["id"] == schedule_id), None)
        if row is None and schedule_id != "new":
            return None
        self.texts = {name: row[name] for name in FIELDS} if row else _NEW | {"task": next(iter(self.tasks), "")}
        self.errors, self.refused, self.timezone = {}, "", self.texts["timezone"]
        await self._look(self.texts["cron"])
        self.editing = str(schedule_id)
        return None

    @handler(Permission.JOBS_WRITE)
    @rx.event
    def close(self) -> None:
        """Forget the form."""
        self.editing = ""

    @handler(Permission.JOBS_READ)
    @rx.event
    async def look_at_cron(self, text: str) -> None:
        """Say what is typed means, or what is wrong with it."""
        self.texts = self.texts | {"cron": str(text)[:200]}
        await self._look(self.texts["cron"])

    @handler(Permission.JOBS_READ)
    @rx.event
    async def look_at_timezone(self, text: str) -> None:
        """The same times elsewhere."""
        self.timezone = str(text)[:200]
        await self._look(self.texts.get("cron", ""))

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def save(self, form: dict[str, Any]) -> Any:
        """Make or change it; what is wrong is shown at its field."""
        if not self.editing:
            return None
        self.errors, self.refused = {}, ""
        rt, actor = current(), await handler_actor(self)
        try:
            data = _data(form)
            if self.editing == "new":
                await schedules.create_schedule(rt, actor, ScheduleIn.model_validate(data))
            else:
                # Only what was changed: a credential that is not shown is not written over.
                now = {name: str(form.get(name, self.texts[name])) for name in FIELDS}
                changed = {
                    name: data[name] for name in FIELDS if name != "task" and now[name] != self.texts.get(name, "")
                }
                patch = SchedulePatch.model_validate(changed)
                await schedules.update_schedule(rt, actor, self.editing, patch)
        except ValidationError as error:
            self._place(from_validation(error.errors()))
            return None
        except InvalidError as error:
            self._place(error)
            return None
        except ProblemError as error:
            self.refused = error.detail
            return None
        said = "Made." if self.editing == "new" else "Saved."
        self.editing = ""
        await self._read()
        return says.success(said)

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def enable(self, schedule_id: str, on: bool) -> Any:
        """Have it fire, or not."""
        patch = SchedulePatch.model_validate({"enabled": bool(on)})
        return await self._do(
            schedules.update_schedule, schedule_id, patch, said="On." if on else "Off: it does not fire."
        )

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def run_now(self, schedule_id: str) -> Any:
        """Make its job now."""
        return await self._do(schedules.run_schedule, schedule_id, said="Its job is made, and runs next.")

    @handler(Permission.JOBS_WRITE)
    @rx.event
    async def delete(self, schedule_id: str) -> Any:
        """Make no further jobs by it."""
        return await self._do(schedules.delete_schedule, schedule_id, said="Deleted. The jobs it made stay.")

    async def _do(self, act: Any, schedule_id: str, *more: Any, said: str) -> Any:
        try:
            await act(current(), await handler_actor(self), str(schedule_id)[:64], *more)
        except ProblemError as error:
            return says.error(error.detail)
        finally:
            await self._read()
        return says.success(said)

    async def _read(self) -> None:
        try:
            await show(self, await handler_actor(self), "schedules", self.cursor, partial(_page, self.cursor))
        except ProblemError as error:
            self.problem = error.detail

    async def _look(self, cron: str) -> None:
        kept = {name: text for name, text in self.errors.items() if name not in ("cron", "timezone")}
        self.meaning, self.fires = "", []
        try:
            given = CronIn.model_validate({"cron": cron, "timezone": self.timezone})
            view = schedules.look_at_cron(await handler_actor(self), given)
        except ValidationError as error:
            self._place(from_validation(error.errors()), kept)
        except InvalidError as error:
            self._place(error, kept)
        else:
            self.errors, self.meaning, self.fires = kept, view.explanation, view.next

    def _place(self, error: InvalidError, kept: dict[str, str] | None = None) -> None:
        placed = dict(kept or {})
        for each in error.errors:
            name, _, within = each.pointer.removeprefix("/").partition("/")
            placed.setdefault(name, (f"{within}: " if within else "") + sentence(each.detail))
        self.errors = placed
        self.refused = "" if set(placed) <= set(FIELDS) else error.detail


def _data(form: dict[str, Any]) -> dict[str, Any]:
    """What the form holds, as the service takes it.

    Raises:
        InvalidError: the payload is no JSON object.
    """
    texts = {name: str(form.get(name, ""))[:_TEXT_MAX].strip() for name in FIELDS}
    try:
        payload = orjson.loads(texts["payload"] or "{}")
    except orjson.JSONDecodeError as error:
        raise InvalidError.at("/payload", f"is not JSON: {error.msg}, line {error.lineno}") from None
    return texts | {"payload": payload}


async def _page(cursor: str, actor: Actor) -> Shown:
    page = await schedules.list_schedules(current(), actor, limit=_PAGE, cursor=cursor or None)
    shown = {
        "rows": [schedule_row(each) for each in page.data],
        "first_href": PATH if cursor else "",
        "next_href": address(PATH, {"cursor": page.next_cursor}) if page.next_cursor else "",
        "problem": "",
        "loaded": True,
    }
    # What a schedule makes is counted before anything else happens to it.
    return Shown(shown, moves=False)
