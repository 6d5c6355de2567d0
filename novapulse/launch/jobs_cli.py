"""`novapulse jobs` and `novapulse queue`: what an operator does to jobs and queues, from a shell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError

if TYPE_CHECKING:
    from novapulse.core.runtime import Runtime
    from novapulse.jobs.schemas import JobView

jobs = typer.Typer(help="Jobs: what waits, runs, and failed.", no_args_is_help=True)
queue = typer.Typer(help="Queues: begin nothing new, or go on.", no_args_is_help=True)
_Id = Annotated[str, typer.Argument(help="Of a job (job_...) or delivery (dlv_...).")]
_Name = Annotated[str, typer.Argument(help="email, webhook, workflow or report.")]
_Note = Annotated[str, typer.Option(help="Why, for the others to read.")]
_WIDTHS = (36, 9, 8, 20)


@jobs.command("list")
def list_(
    queue: Annotated[str | None, typer.Option(help="email, webhook, workflow or report.")] = None,
    state: Annotated[str | None, typer.Option(help="waiting, active, delayed, completed, dead or cancelled.")] = None,
    task: Annotated[str | None, typer.Option(help="The name of a task.")] = None,
    q: Annotated[str | None, typer.Option("--search", help="An id, or text in task, payload or unique key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List jobs and deliveries, newest first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schemas import QueueNameIn, State
    from novapulse.jobs.service import list_jobs

    for option, value, known in (("--queue", queue, get_args(QueueNameIn)), ("--state", state, get_args(State))):
        if value is not None and value not in known:
            raise StartError(f"{option} '{value}' is none.", f"It is one of {', '.join(known)}.")
    page = _with_runtime(
        lambda rt: list_jobs(rt, SYSTEM, queue=queue, state=state, task=task, q=q or None, limit=limit)
    )
    for job in page.data:
        typer.echo(job.model_dump_json() if json else _line(job))
    if page.searched_back_to is not None:
        typer.echo(f"Searched back to {page.searched_back_to}; there may be older ones.", err=True)
    elif page.next_cursor is not None:
        typer.echo("There are more: raise --limit, or narrow the list.", err=True)


@jobs.command()
def show(job_id: _Id) -> None:
    """Print all that is known of a job, as JSON."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.service import get_job

    typer.echo(_with_runtime(lambda rt: get_job(rt, SYSTEM, job_id)).model_dump_json(indent=2))


@jobs.command()
def retry(job_id: _Id) -> None:
    """Run a job now: a delayed one without waiting on, an ended one once more."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.service import retry_job

    typer.echo(_line(_with_runtime(lambda rt: retry_job(rt, SYSTEM, job_id))))


@jobs.command()
def cancel(job_id: _Id) -> None:
    """Call off a job that waits, or have a running one stopped."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.service import cancel_job

    job = _with_runtime(lambda rt: cancel_job(rt, SYSTEM, job_id))
    typer.echo(_line(job) + (" (is being stopped)" if job.cancel_asked else ""))


@queue.command()
def pause(name: _Name, note: _Note = "") -> None:
    """Begin nothing new on any worker; what runs finishes."""
    _say("pause", name, note)


@queue.command()
def resume(name: _Name, note: _Note = "") -> None:
    """Go on."""
    _say("resume", name, note)


@queue.command()
def drain(name: _Name, note: _Note = "") -> None:
    """Work off what was made so far, then pause."""
    _say("drain", name, note)


def _say(act: str, name: str, note: str) -> None:
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs import modes

    acts = {"pause": modes.pause, "resume": modes.resume, "drain": modes.drain}
    said = _with_runtime(lambda rt: acts[act](rt, SYSTEM, name, note))
    typer.echo(f"{said.name} is {said.mode}")


def _line(job: JobView) -> str:
    cells = (job.id, job.state, job.queue, job.task)
    text = " ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))
    return f"{text} {job.error or job.summary}".replace("\n", " ")[:200].rstrip()


def _with_runtime(work: Callable[[Runtime], Awaitable[Any]]) -> Any:
    from novapulse.launch.local import local_runtime
    from novapulse.tasks import load_all_tasks

    async def run() -> Any:
        settings = load_settings()
        load_all_tasks(settings)
        async with local_runtime(settings) as rt:
            return await work(rt)

    return asyncio.run(run())
