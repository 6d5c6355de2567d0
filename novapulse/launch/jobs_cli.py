"""`novapulse jobs`: what an operator does to jobs, from a shell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from novapulse.launch import shell
from novapulse.launch.shell import AsJson, Cursor, Limit, with_runtime

if TYPE_CHECKING:
    from novapulse.jobs.schemas import JobDetail, JobView

jobs = typer.Typer(help="Jobs: what waits, runs, and failed.", no_args_is_help=True)
_Id = Annotated[str, typer.Argument(help="Of a job (job_...) or delivery (dlv_...).")]
_Queue = Annotated[str | None, typer.Option(help="email, webhook, workflow or report.")]
_State = Annotated[str | None, typer.Option(help="waiting, active, delayed, completed, dead or cancelled.")]
_Task = Annotated[str | None, typer.Option(help="The name of a task.")]
_Search = Annotated[str | None, typer.Option("--search", help="An id, or text in task, payload or unique key.")]


@jobs.command("list")
def list_(
    queue: _Queue = None,
    state: _State = None,
    task: _Task = None,
    q: _Search = None,
    fingerprint: Annotated[str | None, typer.Option(help="Of failures; `novapulse jobs failures` has them.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> None:
    """List jobs and deliveries, newest first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schemas import QueueNameIn, State
    from novapulse.jobs.service import list_jobs

    shell.one_of("--queue", queue, get_args(QueueNameIn))
    shell.one_of("--state", state, get_args(State))
    found: dict[str, Any] = {"queue": queue, "state": state, "task": task, "q": q or None, "fingerprint": fingerprint}
    page = with_runtime(lambda rt: list_jobs(rt, SYSTEM, **found, limit=limit, cursor=cursor))
    shell.show(page, json, lambda: _listed(page.data))
    if page.searched_back_to is not None:
        typer.echo(f"Searched back to {page.searched_back_to}; there may be older ones.", err=True)
    shell.more(page.next_cursor)


@jobs.command()
def show(job_id: _Id, json: AsJson = False) -> None:
    """Print what is known of a job."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.service import get_job

    job = with_runtime(lambda rt: get_job(rt, SYSTEM, job_id))
    shell.show(job, json, lambda: _told(job))


@jobs.command()
def tasks(json: AsJson = False) -> None:
    """The kinds of jobs; those marked may be asked for by `create` and schedules."""
    from novapulse.core.actor import SYSTEM
    from novapulse.core.pagination import Page
    from novapulse.jobs.service import list_tasks
    from novapulse.launch.configuration import load_settings
    from novapulse.tasks import load_all_tasks

    load_all_tasks(load_settings())
    known = list_tasks(SYSTEM)
    rows = [(each.name, each.queue, "yes" if each.api else "no", each.about) for each in known]
    shell.show(
        Page(data=known, next_cursor=None), json, lambda: shell.table(("task", "queue", "by hand", "does"), rows)
    )


@jobs.command()
def retry(job_id: _Id, json: AsJson = False) -> None:
    """Run a job now: a delayed one without waiting on, an ended one once more."""
    _act("retry_job", job_id, json)


@jobs.command()
def cancel(job_id: _Id, json: AsJson = False) -> None:
    """Call off a job that waits, or have a running one stopped."""
    _act("cancel_job", job_id, json)


@jobs.command()
def discard(job_id: _Id, json: AsJson = False) -> None:
    """Have a job deleted in ten seconds, unless `undo` takes that back."""
    _act("discard_job", job_id, json)


@jobs.command()
def undo(job_id: _Id, json: AsJson = False) -> None:
    """Take back a cancel or a discard of the last ten seconds."""
    _act("undo_job", job_id, json)


@jobs.command()
def pin(
    job_id: _Id, off: Annotated[bool, typer.Option("--off", help="No longer.")] = False, json: AsJson = False
) -> None:
    """Keep a job beyond its time."""
    _act("pin_job", job_id, json, not off)


@jobs.command()
def create(
    task: Annotated[str, typer.Argument(help="One of `novapulse jobs tasks`, such as http.request.")],
    payload: Annotated[str, typer.Option(help="What the task takes: an object, as JSON.")] = "{}",
    run_at: Annotated[str | None, typer.Option(help="Not before this RFC 3339 time.")] = None,
    priority: Annotated[int, typer.Option(help="From 0 (first) to 9 (last).")] = 5,
    key: Annotated[str | None, typer.Option(help="Of jobs with the same key one may be open.")] = None,
    json: AsJson = False,
) -> None:
    """Make a job of a task that may be asked for."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schemas import JobIn
    from novapulse.jobs.service import create_job

    asked = {"payload": shell.read_object("--payload", payload), "priority": priority, "unique_key": key}
    given = shell.valid(JobIn, {"task": task, "run_at": run_at} | asked)
    job = with_runtime(lambda rt: create_job(rt, SYSTEM, given))
    shell.show(job, json, lambda: typer.echo(line(job)))


@jobs.command()
def why(job_id: _Id, json: AsJson = False) -> None:
    """Say why a job is not running, and when it may begin."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.waiting_reason import explain

    said = with_runtime(lambda rt: explain(rt, SYSTEM, job_id))

    def told() -> None:
        for reason in said.reasons:
            typer.echo(shell.plain(reason.text))
        begins = "" if said.estimate_s is None else f"It may begin in about {said.estimate_s:.0f} s. "
        if begins or said.basis:
            typer.echo(begins + said.basis)

    shell.show(said, json, told)


@jobs.command()
def failures(queue: _Queue = None, json: AsJson = False) -> None:
    """What failed, by what failures have in common, the most frequent first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.failures import list_failures

    found = with_runtime(lambda rt: list_failures(rt, SYSTEM, queue=queue))
    rows = [(each.dead, each.retrying, each.task, each.fingerprint, each.example_id, each.error) for each in found.data]
    head = ("dead", "retrying", "task", "fingerprint", "example", "error")
    shell.show(found, json, lambda: shell.table(head, rows))
    if not found.complete:
        typer.echo("More failed than were looked at; the numbers are of the newest.", err=True)


@jobs.command()
def bulk(
    action: Annotated[str, typer.Argument(help="retry, cancel or discard.")],
    queue: _Queue = None,
    state: _State = None,
    task: _Task = None,
    q: _Search = None,
    fingerprint: Annotated[str | None, typer.Option(help="Of failures; `novapulse jobs failures` has them.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only this job; may be repeated.")] = None,
    schedule_id: Annotated[str | None, typer.Option("--schedule", help="Made by this schedule, sch_...")] = None,
    since: Annotated[str | None, typer.Option(help="Made at or after this RFC 3339 time.")] = None,
    until: Annotated[str | None, typer.Option(help="Made before this RFC 3339 time.")] = None,
    canary: Annotated[bool, typer.Option("--canary", help="Retry one first; stop after three new failures.")] = False,
    per_s: Annotated[int, typer.Option("--per-s", help="At most so many a second.")] = 500,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what would be touched and repeated.")] = False,
    json: AsJson = False,
) -> None:
    """Do it to all jobs that match, by a job whose id is printed: it is watched and stopped like any other."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.bulk import preview_bulk, start_bulk
    from novapulse.jobs.schemas import BulkIn, PreviewIn

    found = {"queue": queue, "state": state, "task": task, "q": q, "fingerprint": fingerprint, "ids": ids or None}
    found |= {"schedule_id": schedule_id, "since": since, "until": until}
    given = {"action": action, "filter": {name: value for name, value in found.items() if value is not None}}
    if preview:
        asked = shell.valid(PreviewIn, given)
        seen = with_runtime(lambda rt: preview_bulk(rt, SYSTEM, asked))
        rows = [(name, value) for name, value in seen.model_dump().items() if name != "complete"]
        shell.show(seen, json, lambda: shell.facts(rows))
        if not seen.complete:
            typer.echo("There are more than were looked at: at least so many.", err=True)
        return
    order = shell.valid(BulkIn, given | {"per_s": per_s} | ({"canary": {}} if canary else {}))
    begun = with_runtime(lambda rt: start_bulk(rt, SYSTEM, order))
    shell.show(begun, json, lambda: typer.echo(begun.job_id))


def line(job: JobView) -> str:
    """A job as one line."""
    stopping = " (is being stopped)" if job.cancel_asked else ""
    text = f"{job.id}  {job.state}  {job.queue}  {job.task}  {job.error or job.summary}{stopping}"
    return shell.plain(text).rstrip()


def _act(act: str, job_id: str, json: bool, *more: Any) -> None:
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs import service

    job = with_runtime(lambda rt: getattr(service, act)(rt, SYSTEM, job_id, *more))
    shell.show(job, json, lambda: typer.echo(line(job)))


def _listed(data: Sequence[JobView]) -> None:
    rows = [(each.id, each.state, each.queue, each.task, each.created_at, each.error or each.summary) for each in data]
    shell.table(("id", "state", "queue", "task", "made", "error or content"), rows)


def _told(job: JobDetail) -> None:
    typer.echo(line(job))
    names = ("about", "payload", "result", "error", "progress", "progress_text", "priority", "unique_key", "tenant")
    names += ("created_by", "worker", "crashes", "trace_id", "schedule_id", "parent_id", "children", "undo_until")
    shell.facts((name, getattr(job, name)) for name in names)
    for each in job.timeline:
        typer.echo(shell.plain(f"{each.at}  {each.what}  {each.detail}").rstrip())
    for each in job.logs:
        typer.echo(shell.plain(f"{each.at}  {each.level}  {each.line}"))
