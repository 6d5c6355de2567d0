"""`novapulse schedules`: what is done again and again, from a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from novapulse.launch import shell
from novapulse.launch.shell import AsJson, Cursor, Limit, with_runtime

if TYPE_CHECKING:
    from novapulse.jobs.schemas import ScheduleView

schedules = typer.Typer(help="What is done again and again.", no_args_is_help=True)
_Id = Annotated[str, typer.Argument(help="Its id, sch_...")]
_Payload = Annotated[str | None, typer.Option(help="What the task takes: an object, as JSON.")]
_Zone = Annotated[str | None, typer.Option(help="As in the IANA database, e.g. Europe/Paris; without it UTC.")]
_Overlap = Annotated[str | None, typer.Option(help="If the job before is still open: skip this one, or queue it.")]


@schedules.command("list")
def list_schedules(limit: Limit = 50, cursor: Cursor = None, json: AsJson = False) -> None:
    """What is done again and again, newest first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import list_schedules

    page = with_runtime(lambda rt: list_schedules(rt, SYSTEM, limit=limit, cursor=cursor))
    rows = [
        (each.id, each.next_run_at or "off", each.task, each.explanation, each.last_error or each.last_state, each.name)
        for each in page.data
    ]
    shell.show(page, json, lambda: shell.table(("id", "next", "task", "when", "last", "name"), rows))
    shell.more(page.next_cursor)


@schedules.command()
def show(schedule_id: _Id, json: AsJson = False) -> None:
    """Print what is known of a schedule."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import get_schedule

    view = with_runtime(lambda rt: get_schedule(rt, SYSTEM, schedule_id))
    shell.show(view, json, lambda: shell.facts(view.model_dump().items()))


@schedules.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    task: Annotated[str, typer.Argument(help="One of `novapulse jobs tasks`, such as http.request.")],
    cron: Annotated[str, typer.Argument(help="Five fields: minute, hour, day of month, month, day of week.")],
    payload: _Payload = None,
    timezone: _Zone = None,
    overlap: _Overlap = None,
    disabled: Annotated[bool, typer.Option("--off", help="Make it, and make no jobs by it yet.")] = False,
    json: AsJson = False,
) -> None:
    """Have a job made again and again. What cannot run, or never fires, is refused now."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import create_schedule
    from novapulse.jobs.schemas import ScheduleIn

    given = {"name": name, "task": task, "cron": cron, "enabled": not disabled}
    asked = shell.valid(ScheduleIn, given | _given(payload=payload, timezone=timezone, overlap=overlap))
    _tell(with_runtime(lambda rt: create_schedule(rt, SYSTEM, asked)), json)


@schedules.command()
def change(
    schedule_id: _Id,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    cron: Annotated[str | None, typer.Option(help="Five fields, as for `create`.")] = None,
    payload: _Payload = None,
    timezone: _Zone = None,
    overlap: _Overlap = None,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Make jobs by it, or not.")] = None,
    json: AsJson = False,
) -> None:
    """Change what is named; the rest stays."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import update_schedule
    from novapulse.jobs.schemas import SchedulePatch

    given = _given(name=name, cron=cron, payload=payload, timezone=timezone, overlap=overlap, enabled=enabled)
    patch = shell.valid(SchedulePatch, given)
    _tell(with_runtime(lambda rt: update_schedule(rt, SYSTEM, schedule_id, patch)), json)


@schedules.command()
def delete(schedule_id: _Id) -> None:
    """Make no further jobs by it; those that it made stay."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import delete_schedule

    with_runtime(lambda rt: delete_schedule(rt, SYSTEM, schedule_id))
    typer.echo(f"{schedule_id} is deleted")


@schedules.command()
def run(schedule_id: _Id, json: AsJson = False) -> None:
    """Make its job now, beside its times."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import run_schedule
    from novapulse.launch.jobs_cli import line

    job = with_runtime(lambda rt: run_schedule(rt, SYSTEM, schedule_id))
    shell.show(job, json, lambda: typer.echo(line(job)))


@schedules.command()
def preview(
    cron: Annotated[str, typer.Argument(help="Five fields, as for `create`.")],
    timezone: _Zone = None,
    json: AsJson = False,
) -> None:
    """Say an expression in words, with the next times."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.schedules import look_at_cron
    from novapulse.jobs.schemas import CronIn

    seen = look_at_cron(SYSTEM, shell.valid(CronIn, {"cron": cron} | _given(timezone=timezone)))
    shell.show(seen, json, lambda: typer.echo("\n".join([seen.explanation, *seen.next])))


def _given(payload: str | None = None, **others: Any) -> dict[str, Any]:
    given = {name: value for name, value in others.items() if value is not None}
    return given if payload is None else given | {"payload": shell.read_object("--payload", payload)}


def _tell(view: ScheduleView, json: bool) -> None:
    text = f"{view.id}  {view.next_run_at or 'off'}  {view.task}  {view.name} ({view.explanation})"
    shell.show(view, json, lambda: typer.echo(shell.plain(text)))
