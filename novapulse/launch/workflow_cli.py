"""`novapulse workflow`: checking, saving and running workflows, from a shell."""

from __future__ import annotations

import asyncio
import json as json_
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError

if TYPE_CHECKING:
    from novapulse.core.runtime import Runtime

workflow = typer.Typer(help="Workflows.", no_args_is_help=True)
_File = Annotated[Path, typer.Argument(help="A definition, YAML or JSON.", exists=True, dir_okay=False)]
_Which = Annotated[str, typer.Argument(help="The id (wf_...) or the exact name of a workflow.")]


@workflow.command()
def validate(file: _File) -> None:
    """Say what is wrong with a definition, line by line; nothing is saved."""
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows import service
    from novapulse.workflows.schemas import DefinitionIn

    given = DefinitionIn.model_construct(_fields_set={"source"}, source=file.read_text("utf-8"))
    checked = _with_runtime(lambda rt: service.validate(rt, SYSTEM, given))
    for error in checked.errors:
        typer.echo(f"{file}:{error.line or 1}: {error.pointer} {error.detail}", err=True)
    if not checked.valid:
        raise typer.Exit(1)
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

    found = _with_runtime(work)
    if hasattr(found, "errors"):
        for error in found.errors:
            typer.echo(f"{file}:{error.line or 1}: {error.pointer} {error.detail}", err=True)
        raise typer.Exit(1)
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

    try:
        given = json_.loads(input_)
    except ValueError as error:
        raise StartError(f"--input is no JSON: {error}.", 'Write it as {"name": "value"}.') from None
    if not isinstance(given, dict):
        raise StartError("--input is no object.", 'Write it as {"name": "value"}.')

    async def work(rt: Runtime) -> Any:
        ids = [which] if which.startswith("wf_") else await _named(rt, which)
        if len(ids) != 1:
            number = "no workflow" if not ids else "more than one workflow"
            raise StartError(f"There is {number} of this name.", "Give its id; `GET /workflows` lists them.")
        started = await runs.start_run(rt, SYSTEM, ids[0], given)
        typer.echo(started.id)
        while wait and started.state == "running":
            await asyncio.sleep(0.5)
            started = await runs.get_run(rt, SYSTEM, started.id)
        return started

    done = _with_runtime(work)
    if done.state in ("failed", "cancelled"):
        typer.echo(done.error or done.state, err=True)
        raise typer.Exit(1)


async def _named(rt: Runtime, name: str) -> list[str]:
    from novapulse.core.actor import SYSTEM
    from novapulse.workflows import service

    page = await service.list_workflows(rt, SYSTEM, q=name[:100], limit=200)
    return [view.id for view in page.data if view.name == name]


def _with_runtime(work: Callable[[Runtime], Awaitable[Any]]) -> Any:
    from novapulse.launch.local import local_runtime

    async def act() -> Any:
        async with local_runtime(load_settings()) as rt:
            return await work(rt)

    return asyncio.run(act())
