"""`novapulse jobs` and `novapulse queue`: what an operator does to jobs and queues, from a shell."""

from __future__ import annotations

import asyncio
import json as json_
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args

import typer

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from novapulse.core.runtime import Runtime
    from novapulse.jobs.schemas import JobView

jobs = typer.Typer(help="Jobs: what waits, runs, and failed.", no_args_is_help=True)
queue = typer.Typer(help="Queues: begin nothing new, or go on.", no_args_is_help=True)
schedules = typer.Typer(help="What is done again and again.", no_args_is_help=True)
_Id = Annotated[str, typer.Argument(help="Of a job (job_...) or delivery (dlv_...).")]
_Name = Annotated[str, typer.Argument(help="email, webhook, workflow or report.")]
_Note = Annotated[str, typer.Option(help="Why, for the others to read.")]
_WIDTHS = (36, 9, 8, 20)
_COUNTS = ("waiting", "active", "delayed", "completed", "failed", "dead")
M = TypeVar("M", bound="BaseModel")


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


@jobs.command()
def create(
    task: Annotated[str, typer.Argument(help="One of `GET /jobs/tasks`, such as http.request.")],
    payload: Annotated[str, typer.Option(help="What the task takes: an object, as JSON.")] = "{}",
    run_at: Annotated[str | None, typer.Option(help="Not before this RFC 3339 time.")] = None,
    priority: Annotated[int, typer.Option(help="From 0 (first) to 9 (last).")] = 5,
    key: Annotated[str | None, typer.Option(help="Of jobs with the same key one may be open.")] = None,
) -> None:
    """Make a job of a task that may be asked for."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schemas import JobIn
    from novapulse.jobs.service import create_job

    asked = {"payload": _object("--payload", payload), "run_at": run_at, "priority": priority, "unique_key": key}
    given = _valid(JobIn, {"task": task} | asked)
    typer.echo(_line(_with_runtime(lambda rt: create_job(rt, SYSTEM, given))))


@jobs.command()
def discard(job_id: _Id) -> None:
    """Have a job deleted in ten seconds, unless `undo` takes that back."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.service import discard_job

    typer.echo(_line(_with_runtime(lambda rt: discard_job(rt, SYSTEM, job_id))))


@jobs.command()
def undo(job_id: _Id) -> None:
    """Take back a cancel or a discard of the last ten seconds."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.service import undo_job

    typer.echo(_line(_with_runtime(lambda rt: undo_job(rt, SYSTEM, job_id))))


@jobs.command()
def pin(job_id: _Id, off: Annotated[bool, typer.Option("--off", help="No longer.")] = False) -> None:
    """Keep a job beyond its time."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.service import pin_job

    typer.echo(_line(_with_runtime(lambda rt: pin_job(rt, SYSTEM, job_id, not off))))


@jobs.command()
def why(job_id: _Id) -> None:
    """Say why a job is not running, and when it may begin."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.waiting_reason import explain

    said = _with_runtime(lambda rt: explain(rt, SYSTEM, job_id))
    for reason in said.reasons:
        typer.echo(reason.text)
    begins = "" if said.estimate_s is None else f"It may begin in about {said.estimate_s:.0f} s. "
    if begins or said.basis:
        typer.echo(begins + said.basis)


@jobs.command()
def failures(
    queue: Annotated[str | None, typer.Option(help="email, webhook, workflow or report.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """What failed, by what failures have in common, the most frequent first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.failures import list_failures

    for group in _with_runtime(lambda rt: list_failures(rt, SYSTEM, queue=queue)).data:
        text = f"{group.dead:>7} dead {group.retrying:>7} retrying  {group.task:<20} {group.fingerprint}  {group.error}"
        typer.echo(group.model_dump_json() if json else text.replace("\n", " ")[:240])


@jobs.command()
def bulk(
    action: Annotated[str, typer.Argument(help="retry, cancel or discard.")],
    queue: Annotated[str | None, typer.Option(help="email, webhook, workflow or report.")] = None,
    state: Annotated[str | None, typer.Option(help="waiting, active, delayed, completed, dead or cancelled.")] = None,
    task: Annotated[str | None, typer.Option(help="The name of a task.")] = None,
    q: Annotated[str | None, typer.Option("--search", help="An id, or text in task, payload or unique key.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Of failures; `novapulse jobs failures` has them.")] = None,
    canary: Annotated[bool, typer.Option("--canary", help="Retry one first; stop after three new failures.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what would be touched and repeated.")] = False,
) -> None:
    """Do it to all jobs that match, by a job whose id is printed."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.bulk import preview_bulk, start_bulk
    from novapulse.jobs.schemas import BulkIn, PreviewIn

    found = {"queue": queue, "state": state, "task": task, "q": q, "fingerprint": fingerprint}
    given = {"action": action, "filter": {name: value for name, value in found.items() if value is not None}}
    if preview:
        asked = _valid(PreviewIn, given)
        typer.echo(_with_runtime(lambda rt: preview_bulk(rt, SYSTEM, asked)).model_dump_json(indent=2))
        return
    order = _valid(BulkIn, given | ({"canary": {}} if canary else {}))
    typer.echo(_with_runtime(lambda rt: start_bulk(rt, SYSTEM, order)).job_id)


@queue.command("list")
def list_queues(json: Annotated[bool, typer.Option("--json", help="As `GET /queue/stats` answers.")] = False) -> None:
    """The queues, how many jobs are in each state, and how they are."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.counts import queue_stats

    stats = _with_runtime(lambda rt: queue_stats(rt, SYSTEM))
    if json:
        typer.echo(stats.model_dump_json(indent=2))
        return
    typer.echo("queue    " + "".join(f"{name:>11}" for name in (*_COUNTS, "workers")) + "  health")
    for each in stats.queues:
        numbers = [getattr(each, name) for name in (*_COUNTS, "workers")]
        shown = "".join(f"{'?' if number is None else number:>11}" for number in numbers)
        typer.echo(f"{each.name:<9}{shown}  {each.health or '?'} {' '.join(each.reasons)}".rstrip())


@queue.command()
def workers() -> None:
    """The workers that are alive and what each is doing, one JSON object per line."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.workers import list_workers

    for worker in _with_runtime(lambda rt: list_workers(rt, SYSTEM)).data:
        typer.echo(worker.model_dump_json())


@queue.command()
def repair(name: _Name) -> None:
    """Make the counters what the rows say, and hand out again what Valkey lost."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.conservation import repair

    for line in _with_runtime(lambda rt: repair(rt, SYSTEM, name)).done or ["There was nothing to repair."]:
        typer.echo(line)


@schedules.command("list")
def list_schedules(json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False) -> None:
    """What is done again and again."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import list_schedules

    for each in _with_runtime(lambda rt: list_schedules(rt, SYSTEM, limit=200)).data:
        text = f"{each.id} {each.next_run_at or 'off':<25}{each.name} ({each.explanation})"
        typer.echo(each.model_dump_json() if json else text)


@schedules.command("run")
def run_schedule(schedule_id: Annotated[str, typer.Argument(help="Its id, sch_...")]) -> None:
    """Make its job now, beside its times."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import run_schedule

    typer.echo(_line(_with_runtime(lambda rt: run_schedule(rt, SYSTEM, schedule_id))))


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


def _object(option: str, text: str) -> dict[str, Any]:
    try:
        value = json_.loads(text)
    except ValueError as error:
        raise StartError(f"{option} is no JSON: {error}.", 'Write it as {"name": "value"}.') from None
    if not isinstance(value, dict):
        raise StartError(f"{option} is no object.", 'Write it as {"name": "value"}.')
    return cast("dict[str, Any]", value)


def _valid(model: type[M], given: dict[str, Any]) -> M:
    from pydantic import ValidationError

    from novapulse.core.problems import from_validation

    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise from_validation(error.errors()) from None


def _with_runtime(work: Callable[[Runtime], Awaitable[Any]]) -> Any:
    from novapulse.launch.local import local_runtime
    from novapulse.tasks import load_all_tasks

    async def run() -> Any:
        settings = load_settings()
        load_all_tasks(settings)
        async with local_runtime(settings) as rt:
            return await work(rt)

    return asyncio.run(run())
