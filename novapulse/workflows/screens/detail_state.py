"""One workflow: its definition in an editor, its runs, its secrets. `/workflows/new` is one that is not there yet."""

from __future__ import annotations

from typing import Any

import reflex as rx

from novapulse.core import exact
from novapulse.core.actor import Permission
from novapulse.core.errors import InvalidError, NotFoundError, ProblemError
from novapulse.core.runtime import current
from novapulse.security.handlers import handler, handler_actor
from novapulse.ui import says
from novapulse.ui.urls import chosen, with_query
from novapulse.workflows import runs, service
from novapulse.workflows.check import read_definition
from novapulse.workflows.schemas import DefinitionIn, WorkflowDetail, WorkflowIn, WorkflowPut
from novapulse.workflows.screens.list_state import RUN_STATES
from novapulse.workflows.screens.shown import graph, run_row, workflow_row
from novapulse.workflows.screens.starters import BLANK, STARTERS
from novapulse.workflows.source import SOURCE_MAX, read_source

_PAGE = 25
TABS = ("definition", "runs", "secrets")


class WorkflowState(rx.State):
    """What `/workflows/[workflow_id]` and `/workflows/new` show."""

    workflow: dict[str, Any] = {}  # noqa: RUF012 - Reflex copies defaults
    source: str = ""  # as saved; what is typed stays in the browser
    revision: str = ""  # of the source: another one replaces what the editor holds
    errors: list[dict[str, Any]] = []  # noqa: RUF012
    picture: dict[str, Any] = {}  # noqa: RUF012
    versions: list[dict[str, Any]] = []  # noqa: RUF012
    secrets: list[dict[str, Any]] = []  # noqa: RUF012
    rows: list[dict[str, Any]] = []  # noqa: RUF012
    first_href: str = ""
    next_href: str = ""
    tab: str = "definition"
    state: str = ""
    version: int = 0  # that is shown; 0: the latest
    loaded: bool = False
    problem: str = ""
    typed_name: str = ""
    run_input: str = "{}"
    run_problem: str = ""

    @rx.var
    def missing_secrets(self) -> list[str]:
        """Those that steps use and nobody has set."""
        return [str(secret["name"]) for secret in self.secrets if not secret["set"]]

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def load(self) -> Any:
        """Read what the URL describes."""
        query = self.router.url.query_parameters
        wanted = self._wanted()
        if wanted != self.workflow.get("id"):
            self.loaded, self.workflow, self.rows, self.errors, self.source = False, {}, [], [], ""
        self.tab = chosen(query, "tab", TABS, TABS[0])
        self.state = chosen(query, "state", RUN_STATES)
        given = str(query.get("version", ""))
        self.version = int(given) if given.isdigit() and len(given) < 8 else 0
        try:
            await self._read()
        except NotFoundError as error:
            return [says.error(error.detail), rx.redirect("/workflows")]
        except ProblemError as error:
            self.problem = error.detail
        return None

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def load_new(self) -> None:
        """Begin one, from a starter if the URL names one."""
        key = str(self.router.url.query_parameters.get("from", ""))
        sources = {starter.key: starter.source for starter in STARTERS} | {"blank": BLANK}
        self.workflow, self.problem = {}, ""
        self.source = sources.get(key, "")
        self.revision = f"new-{key}"
        self._check(self.source)
        self.loaded = True

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def refresh(self) -> None:
        """Something happened to this workflow or a run of it."""
        try:
            await self._read()
        except ProblemError as error:
            self.problem = error.detail

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def go(self, name: str, value: str) -> Any:
        """Change one part of the view, by going to the URL that has it."""
        if name not in ("tab", "state", "version"):
            return None
        plain = "" if value in ("all", TABS[0], str(self.workflow.get("version"))) else str(value)
        return rx.redirect(with_query(self.router.url, **{"cursor": "", name: plain}))

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    async def check(self, source: str) -> None:
        """Say what is wrong with what is typed, and draw it."""
        checked = await service.validate(current(), await handler_actor(self), _given(source))
        self.errors = [error.model_dump() for error in checked.errors]
        if checked.valid:
            self._check(source)

    @handler(Permission.WORKFLOWS_WRITE)
    @rx.event
    async def save(self, source: str) -> Any:
        """Make it, or save a new version."""
        rt, actor = current(), await handler_actor(self)
        new = not self.workflow
        try:
            if new:
                view = await service.create_workflow(rt, actor, WorkflowIn.model_validate({"source": _text(source)}))
            else:
                put = WorkflowPut.model_validate(
                    {"source": _text(source), "expected_version": int(self.workflow["version"])}
                )
                view = await service.update_workflow(rt, actor, str(self.workflow["id"]), put)
        except InvalidError:
            checked = await service.validate(rt, actor, _given(source))
            self.errors = [error.model_dump() for error in checked.errors]
            return says.error("Not saved: see what is marked.")
        except ProblemError as error:
            return says.error(error.detail)
        self.errors, self.version = [], 0
        self._show(view)
        if new:
            return [says.success(f"{view.name} is made."), rx.redirect(f"/workflows/{view.id}")]
        return says.success(f"Version {view.version} is saved.")

    @handler(Permission.WORKFLOWS_WRITE)
    @rx.event
    async def enable(self, on: bool) -> Any:
        """Have its triggers start runs, or not."""
        try:
            rt, actor = current(), await handler_actor(self)
            view = await service.set_enabled(rt, actor, str(self.workflow.get("id", "")), bool(on))
        except ProblemError as error:
            return says.error(error.detail)
        self.workflow = workflow_row(view)
        return says.success("Its triggers start runs." if on else "Its triggers start nothing.")

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def type_input(self, text: str) -> None:
        """What a run is given, as it is typed."""
        self.run_input, self.run_problem = str(text)[:SOURCE_MAX], ""

    @handler(Permission.WORKFLOWS_WRITE)
    @rx.event
    async def start(self) -> Any:
        """Start a run by hand, and go there."""
        try:
            given = exact.loads(self.run_input or "{}")
        except ValueError as error:
            self.run_problem = f"This is not JSON: {error}"
            return None
        if not isinstance(given, dict):
            self.run_problem = "An input is an object: { ... }"
            return None
        try:
            rt, actor = current(), await handler_actor(self)
            run = await runs.start_run(rt, actor, str(self.workflow.get("id", "")), given, trigger="hand")
        except ProblemError as error:
            self.run_problem = error.detail
            return None
        return rx.redirect(f"/workflows/runs/{run.id}")

    @handler(Permission.WORKFLOWS_WRITE)
    @rx.event
    async def forget(self, name: str) -> Any:
        """Forget a secret."""
        rt, actor = current(), await handler_actor(self)
        try:
            await service.delete_secret(rt, actor, str(self.workflow.get("id", "")), str(name))
            await self._read()
        except ProblemError as error:
            return says.error(error.detail)
        return says.success(f"{name} is forgotten.")

    @handler(Permission.WORKFLOWS_READ)
    @rx.event
    def type_name(self, text: str) -> None:
        """The name that confirms the deletion, as it is typed."""
        self.typed_name = str(text)[:200]

    @handler(Permission.WORKFLOWS_WRITE, sudo=True)
    @rx.event
    async def delete(self, typed: str) -> Any:
        """Delete it, if its name was typed."""
        if typed != self.workflow.get("name"):
            return says.error("That is not its name.")
        try:
            await service.delete_workflow(current(), await handler_actor(self), str(self.workflow.get("id", "")))
        except ProblemError as error:
            return says.error(error.detail)
        return [says.success(f"{typed} is deleted."), rx.redirect("/workflows")]

    def _wanted(self) -> str:
        return self.router.url.path.rstrip("/").rpartition("/")[2][:64]

    async def _read(self) -> None:
        rt, actor, id_ = current(), await handler_actor(self), self._wanted()
        cursor = str(self.router.url.query_parameters.get("cursor", ""))[:200]
        view = await service.get_workflow(rt, actor, id_, self.version or None)
        found = await runs.list_runs(
            rt, actor, workflow_id=id_, state=self.state or None, limit=_PAGE, cursor=cursor or None
        )
        self.rows = [run_row(each) for each in found.data]
        self.first_href = with_query(self.router.url, cursor="") if cursor else ""
        self.next_href = with_query(self.router.url, cursor=found.next_cursor) if found.next_cursor else ""
        self._show(view)
        self.problem, self.loaded = "", True

    def _show(self, view: WorkflowDetail) -> None:
        self.workflow = workflow_row(view)
        self.versions = [version.model_dump() for version in view.versions]
        self.secrets = [secret.model_dump() for secret in view.secrets]
        revision = f"{view.id}-{self.version or view.version}"
        if revision != self.revision or not self.loaded:
            self.source, self.revision, self.errors = view.source, revision, []
            self._check(view.source)

    def _check(self, source: str) -> None:
        try:
            self.picture = graph(read_definition(read_source(source).value))
        except InvalidError:
            self.picture = {}


def _text(source: object) -> str:
    return str(source).replace("\0", "")[: SOURCE_MAX + 1]


def _given(source: object) -> DefinitionIn:
    # Its length is checked with the rest, where that is said at its place.
    return DefinitionIn.model_construct(_fields_set={"source"}, source=_text(source))
