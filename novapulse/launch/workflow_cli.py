"""`novapulse workflow`: checking, saving, running and watching workflows, from a shell."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from novapulse.launch import shell
from novapulse.launch.errors import StartError
from novapulse.launch.shell import AsJson, Cursor, Limit, with_runtime

if TYPE_CHECKING:
    from novapulse.core.runtime import Runtime
    from novapulse.workflows.schemas import RunDetail, RunView, WorkflowDetail

workflow = typer.Typer(help="Workflows.", no_args_is_help=True)
_File = Annotated[Path, typer.Argument(help="A definition, YAML or JSON.", exists=True, dir_okay=False)]
_Which = Annotated[str, typer.Argument(help="The id (wf_...) or the exact name of a workflow.")]
_Run = Annotated[str, typer.Argument(help="The id of a run, run_...")]


@workflow.command("list")
def list_(
    q: Annotated[str | None, typer.Option("--search", help="A part of a name.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> None:
    """List workflows, newest first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows.service import list_workflows

    page = with_runtime(lambda rt: list_workflows(rt, SYSTEM, q=q or None, limit=limit, cursor=cursor))
    rows = [
        (
            each.id,
            "on" if each.enabled else "off",
            each.version,
            each.running,
            each.completed_24h,
            each.failed_24h,
            f"{each.last_run.state} {each.last_run.created_at}" if each.last_run else None,
            each.name,
        )
        for each in page.data
    ]
    head = ("id", "triggers", "version", "running", "done 24 h", "failed 24 h", "last run", "name")
    shell.show(page, json, lambda: shell.table(head, rows))
    shell.more(page.next_cursor)


@workflow.command()
def show(
    which: Annotated[str, typer.Argument(help="The id or exact name of a workflow, or the id of a run (run_...).")],
    version: Annotated[int | None, typer.Option(min=1, help="An earlier one, of a workflow.")] = None,
    json: AsJson = False,
) -> None:
    """Print a workflow's definition, as it can be saved again; or a run with each of its steps."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows.runs import get_run
    from novapulse.workflows.service import get_workflow

    if which.startswith("run_"):
        ran = with_runtime(lambda rt: get_run(rt, SYSTEM, which))
        shell.show(ran, json, lambda: _told(ran))
        return

    async def read(rt: Runtime) -> WorkflowDetail:
        return await get_workflow(rt, SYSTEM, await _found(rt, which), version)

    found = with_runtime(read)
    shell.show(found, json, lambda: typer.echo(found.source))


@workflow.command()
def validate(file: _File) -> None:
    """Say what is wrong with a definition, line by line; nothing is saved."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows import service
    from novapulse.workflows.schemas import DefinitionIn

    given = DefinitionIn.model_construct(_fields_set={"source"}, source=file.read_text("utf-8"))
    checked = with_runtime(lambda rt: service.validate(rt, SYSTEM, given))
    _refuse(file, checked)
    typer.echo(f"{file}: {checked.steps} steps, nothing is wrong with it")


@workflow.command()
def save(
    file: _File,
    tenant: Annotated[str | None, typer.Option(help="Whose it is, when it is made.")] = None,
) -> None:
    """Make the workflow of a file, or save a new version of the one of this name; prints its id."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows import service
    from novapulse.workflows.schemas import DefinitionIn, WorkflowIn, WorkflowPut
    from novapulse.workflows.source import read_source

    text = file.read_text("utf-8")

    async def work(rt: Runtime) -> Any:
        given = DefinitionIn.model_construct(_fields_set={"source"}, source=text)
        checked = await service.validate(rt, SYSTEM, given)
        if not checked.valid:
            return checked
        there = await _named(rt, str(read_source(text).value["name"]))
        if len(there) > 1:
            raise StartError("There are several workflows of this name.", "Rename all but one of them.")
        if there:
            return await service.update_workflow(rt, SYSTEM, there[0], WorkflowPut.model_validate({"source": text}))
        return await service.create_workflow(rt, SYSTEM, WorkflowIn.model_validate({"source": text, "tenant": tenant}))

    found = with_runtime(work)
    if hasattr(found, "errors"):
        _refuse(file, found)
    typer.echo(found.id)


@workflow.command()
def run(
    which: _Which,
    input_: Annotated[str, typer.Option("--input", help="What steps find as `input`: an object, as JSON.")] = "{}",
    wait: Annotated[bool, typer.Option("--wait", help="Until it is over; then exit 1 if it failed.")] = False,
) -> None:
    """Start a run now; prints its id."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows import runs

    given = shell.read_object("--input", input_)

    async def work(rt: Runtime) -> RunView:
        started = await runs.start_run(rt, SYSTEM, await _found(rt, which), given)
        typer.echo(started.id)
        while wait and started.state == "running":
            await asyncio.sleep(0.5)
            started = await runs.get_run(rt, SYSTEM, started.id)
        return started

    done = with_runtime(work)
    if done.state in ("failed", "cancelled"):
        typer.echo(done.error or done.state, err=True)
        raise typer.Exit(1)


@workflow.command("runs")
def list_runs(
    which: Annotated[str | None, typer.Argument(help="Of this workflow only: its id or exact name.")] = None,
    state: Annotated[str | None, typer.Option(help="running, completed, failed or cancelled.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> None:
    """List runs, newest first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.core.pagination import Page
    from novapulse.workflows import runs
    from novapulse.workflows.schemas import RunStateIn

    shell.one_of("--state", state, get_args(RunStateIn))

    async def read(rt: Runtime) -> Page[RunView]:
        of = None if which is None else await _found(rt, which)
        return await runs.list_runs(rt, SYSTEM, workflow_id=of, state=state, limit=limit, cursor=cursor)

    page = with_runtime(read)
    rows = [
        (each.id, each.state, each.trigger, each.created_at, _seconds(each), each.workflow, _failed(each))
        for each in page.data
    ]
    head = ("id", "state", "by", "began", "took", "workflow", "error")
    shell.show(page, json, lambda: shell.table(head, rows))
    shell.more(page.next_cursor)


@workflow.command()
def cancel(run_id: _Run, json: AsJson = False) -> None:
    """Stop a run. What was done stays done."""
    _act("cancel_run", run_id, json)


@workflow.command()
def retry(run_id: _Run, json: AsJson = False) -> None:
    """Do again what failed in a run, and go on from there."""
    _act("retry_run", run_id, json)


@workflow.command()
def enable(
    which: _Which, off: Annotated[bool, typer.Option("--off", help="No longer.")] = False, json: AsJson = False
) -> None:
    """Have its triggers start runs."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows.service import set_enabled

    async def work(rt: Runtime) -> WorkflowDetail:
        return await set_enabled(rt, SYSTEM, await _found(rt, which), not off)

    found = with_runtime(work)
    shell.show(found, json, lambda: typer.echo(f"{found.id}: triggers are {'on' if found.enabled else 'off'}"))


@workflow.command()
def delete(which: _Which) -> None:
    """Delete a workflow with its runs; those that are not over are cancelled."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows.service import delete_workflow

    async def work(rt: Runtime) -> str:
        id_ = await _found(rt, which)
        await delete_workflow(rt, SYSTEM, id_)
        return id_

    typer.echo(f"{with_runtime(work)} is deleted")


def _refuse(file: Path, checked: Any) -> None:
    for error in checked.errors:
        typer.echo(f"{file}:{error.line or 1}: {error.pointer} {error.detail}", err=True)
    if not checked.valid:
        raise typer.Exit(1)


def _act(act: str, run_id: str, json: bool) -> None:
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows import runs

    found = with_runtime(lambda rt: getattr(runs, act)(rt, SYSTEM, run_id))
    shell.show(found, json, lambda: typer.echo(f"{found.id} is {found.state}"))


def _told(found: RunDetail) -> None:
    names = ("id", "workflow", "version", "state", "error", "trigger", "created_by", "created_at", "finished_at")
    shell.facts([(name, getattr(found, name)) for name in names] + [("input", found.input)])
    rows = [(each.key, each.type, each.state, each.attempts, each.wake_at, each.error) for each in found.steps]
    shell.table(("step", "type", "state", "attempts", "goes on at", "error"), rows)


def _seconds(found: RunView) -> str | None:
    return None if found.duration_s is None else f"{found.duration_s:.1f} s"


def _failed(found: RunView) -> str | None:
    return f"{found.failed_step}: {found.error}" if found.failed_step else found.error


async def _found(rt: Runtime, which: str) -> str:
    ids = [which] if which.startswith("wf_") else await _named(rt, which)
    if len(ids) != 1:
        number = "no workflow" if not ids else "more than one workflow"
        raise StartError(f"There is {number} of this name.", "Give its id; `novapulse workflow list` has them.")
    return ids[0]


async def _named(rt: Runtime, name: str) -> list[str]:
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows import service

    page = await service.list_workflows(rt, SYSTEM, q=name[:100], limit=200)
    return [view.id for view in page.data if view.name == name]
