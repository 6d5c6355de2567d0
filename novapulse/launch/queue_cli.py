"""`novapulse queue` and `novapulse workers`: how the queues are, what they were, and what an operator does to them."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from novapulse.launch import shell
from novapulse.launch.shell import AsJson, with_runtime

queue = typer.Typer(help="Queues: how they are; begin nothing new, or go on.", no_args_is_help=True)
_Name = Annotated[str, typer.Argument(help="email, webhook, workflow or report.")]
_Note = Annotated[str, typer.Option(help="Why, for the others to read.")]
_Time = Annotated[str | None, typer.Option(help="An RFC 3339 time of the last 24 hours.")]
_COUNTS = ("waiting", "active", "delayed", "completed", "failed", "dead")
_POINT = ("waiting", "active", "delayed", "dead", "workers", "throughput_per_s", "failed_per_s")


@queue.command("list")
def list_queues(json: AsJson = False) -> None:
    """The queues, how many jobs are in each state, and how they are."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.counts import queue_stats

    stats = with_runtime(lambda rt: queue_stats(rt, SYSTEM))
    rows = [
        (each.name, *(_known(getattr(each, name)) for name in (*_COUNTS, "workers")), each.health or "?")
        for each in stats.queues
    ]

    def told() -> None:
        shell.table(("queue", *_COUNTS, "workers", "health"), rows)
        for each in stats.queues:
            for reason in each.reasons:
                typer.echo(shell.plain(f"{each.name}: {reason}"))

    shell.show(stats, json, told)


@queue.command()
def history(
    name: _Name,
    window: Annotated[str, typer.Option(help="15m, 1h, 6h, 24h or 7d, up to now.")] = "1h",
    json: AsJson = False,
) -> None:
    """A queue over time, and what happened in that time; steps that nobody looked at are left out."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.history import Window, queue_history

    known = {each: each for each in get_args(Window)}
    shell.one_of("--window", window, list(known))
    found = with_runtime(lambda rt: queue_history(rt, SYSTEM, name, known[window]))

    def told() -> None:
        seen = [each for each in found.points if each.waiting is not None]
        rows = [(each.at, *(_known(getattr(each, column)) for column in _POINT)) for each in seen]
        shell.table(("at", *_POINT), rows)
        for mark in found.marks:
            typer.echo(shell.plain(f"{mark.at}  {mark.text}"))

    shell.show(found, json, told)


@queue.command()
def rewind(
    at: _Time = None,
    since: _Time = None,
    until: _Time = None,
    json: AsJson = False,
) -> None:
    """All queues `--at` a moment of the last 24 hours, or from `--since` to `--until`, and what was done then."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.history import rewind

    given = {"at": at, "since": since, "until": until}
    times = {name: shell.read_time(f"--{name}", text) for name, text in given.items()}
    found = with_runtime(lambda rt: rewind(rt, SYSTEM, **times))

    def told() -> None:
        rows = [
            (moment.at, name, *(_known(None if point is None else getattr(point, column)) for column in _POINT))
            for moment in found.moments
            for name, point in moment.queues.items()
        ]
        shell.table(("at", "queue", *_POINT), rows)
        for mark in found.marks:
            typer.echo(shell.plain(f"{mark.at}  {mark.text}"))

    shell.show(found, json, told)


@queue.command()
def conservation(
    mend: Annotated[bool, typer.Option("--repair", help="Put every queue right that is not.")] = False,
    json: AsJson = False,
) -> None:
    """Whether everything that was enqueued is where it can be found. Exit code 1: it is not."""
    from novapulse.core.actor import SYSTEM
    from novapulse.core.runtime import Runtime
    from novapulse.jobs.conservation import conservation, repair
    from novapulse.jobs.shapes import ConservationView

    async def look(rt: Runtime) -> tuple[list[str], ConservationView]:
        found, done = await conservation(rt, SYSTEM), []
        for each in found.queues:
            if mend and not each.ok:
                done += [f"{each.name}: {line}" for line in (await repair(rt, SYSTEM, each.name)).done]
        return done, await conservation(rt, SYSTEM) if done else found

    done, found = with_runtime(look)
    states = ("enqueued", "waiting", "active", "delayed", "completed", "dead", "cancelled", "gone", "drift", "missing")

    def told() -> None:
        rows = [
            (each.name, *(_known(getattr(each, name)) for name in states), "yes" if each.ok else "no")
            for each in found.queues
        ]
        shell.table(("queue", *states, "adds up"), rows)
        for line in done:
            typer.echo(line)

    shell.show(found, json, told)
    if not found.ok:
        raise typer.Exit(1)


@queue.command()
def repair(name: _Name, json: AsJson = False) -> None:
    """Make the counters what the rows say, and hand out again what Valkey lost."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.conservation import repair

    said = with_runtime(lambda rt: repair(rt, SYSTEM, name))
    shell.show(said, json, lambda: typer.echo("\n".join(said.done or ["There was nothing to repair."])))


@queue.command()
def pause(name: _Name, note: _Note = "", json: AsJson = False) -> None:
    """Begin nothing new on any worker; what runs finishes."""
    _say("pause", name, note, json)


@queue.command()
def resume(name: _Name, note: _Note = "", json: AsJson = False) -> None:
    """Go on."""
    _say("resume", name, note, json)


@queue.command()
def drain(name: _Name, note: _Note = "", json: AsJson = False) -> None:
    """Work off what was made so far, then pause."""
    _say("drain", name, note, json)


def workers(json: AsJson = False) -> None:
    """The workers that are alive, and what each is doing."""
    from novapulse.core.actor import SYSTEM
    from novapulse.jobs.workers import list_workers

    found = with_runtime(lambda rt: list_workers(rt, SYSTEM))

    def told() -> None:
        rows = [
            (
                each.name,
                each.version,
                " ".join(f"{name} {each.running.get(name, 0)}/{each.slots.get(name, 0)}" for name in each.queues),
                "?" if each.rss_bytes is None else f"{each.rss_bytes / 2**20:.0f} MiB",
                f"{each.heartbeat_age_s:.1f} s",
            )
            for each in found.data
        ]
        shell.table(("worker", "version", "runs/slots", "memory", "last seen"), rows)
        for each in found.data:
            for job in each.jobs:
                typer.echo(f"{each.name}: {job.task} {job.id} for {job.run_ms / 1000:.1f} s")

    shell.show(found, json, told)


def _known(value: float | None) -> str:
    return "?" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _say(act: str, name: str, note: str, json: bool) -> None:
    from novapulse.core.actor import SYSTEM
    from novapulse.core.clock import rfc3339
    from novapulse.jobs import modes
    from novapulse.jobs.schemas import QueueModeView

    acts = {"pause": modes.pause, "resume": modes.resume, "drain": modes.drain}
    said = with_runtime(lambda rt: acts[act](rt, SYSTEM, name, note))
    view = QueueModeView.model_validate(said.model_dump() | {"changed_at": rfc3339(said.changed_at)})
    shell.show(view, json, lambda: typer.echo(f"{said.name} is {said.mode}"))
