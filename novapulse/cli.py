"""The command line. Each command reads its arguments, calls the part that does the work, and prints the result."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError
from novapulse.launch.jobs_cli import jobs
from novapulse.launch.key_cli import key
from novapulse.launch.mail_cli import mail
from novapulse.launch.queue_cli import queue, workers
from novapulse.launch.recovery_cli import backup, db, restore
from novapulse.launch.report_cli import report
from novapulse.launch.schedules_cli import schedules
from novapulse.launch.workflow_cli import workflow

T = TypeVar("T")

app = typer.Typer(
    name="novapulse",
    help="Send webhooks, run background jobs, watch both live.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
user = typer.Typer(help="People who may sign in.", no_args_is_help=True)
apikey = typer.Typer(help="Keys for programs.", no_args_is_help=True)
audit = typer.Typer(help="The audit log.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(user, name="user")
app.add_typer(apikey, name="apikey")
app.add_typer(audit, name="audit")
app.add_typer(jobs, name="jobs")
app.add_typer(queue, name="queue")
app.add_typer(schedules, name="schedules")
app.add_typer(workflow, name="workflow")
app.add_typer(mail, name="mail")
app.add_typer(report, name="report")
app.command("workers")(workers)
app.add_typer(backup, name="backup")
app.command("restore")(restore)
app.add_typer(key, name="key")


def _run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(work)


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on (NOVAPULSE_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (NOVAPULSE_PORT).")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for all data (NOVAPULSE_DATA_DIR).")] = None,
) -> None:
    """Start everything: web, worker, scheduler and, unless another is set, an embedded Valkey. Ctrl-C stops it."""
    from novapulse.launch.up import up

    for name, value in {"HOST": host, "PORT": port, "DATA_DIR": data_dir}.items():
        if value is not None:
            os.environ[f"NOVAPULSE_{name}"] = str(value)
    up(load_settings())


@app.command()
def web() -> None:
    """Serve pages, API and websocket."""
    from novapulse.launch.child import leave, run
    from novapulse.launch.up import ensure_frontend

    settings = load_settings()
    ensure_frontend()
    leave(run("web", settings))


@app.command()
def worker(
    queues: Annotated[
        str, typer.Option(help="Queues to work on, separated by commas.")
    ] = "email,webhook,workflow,report",
) -> None:
    """Work on queues: deliver webhooks and run the other jobs."""
    from novapulse.launch.child import QUEUES, leave, run

    wanted = [name for name in queues.replace(",", " ").split() if name]
    if unknown := sorted(set(wanted) - set(QUEUES)):
        raise StartError(f"There is no queue {', '.join(unknown)}.", f"The queues are {', '.join(QUEUES)}.")
    leave(run("worker", load_settings(), wanted))


@app.command()
def scheduler() -> None:
    """Hand out what is due. Any number may run, one of them works."""
    from novapulse.launch.child import leave, run

    leave(run("scheduler", load_settings()))


@app.command()
def prepare() -> None:
    """Once, before the processes of a deployment start: check, migrate, make the first admin or print a set-up link."""
    from novapulse.launch.preflight import check_data_dir
    from novapulse.launch.prepare import prepare

    settings = load_settings()
    check_data_dir(settings.data_dir.resolve())
    setup_url = _run(prepare(settings))
    typer.echo("Valkey answers, the database is up to date.", err=True)
    if setup_url:
        typer.echo(setup_url)


@user.command("create")
def user_create(
    email: Annotated[str, typer.Option(help="To sign in with.")],
    role: Annotated[str, typer.Option(help="admin, operator or viewer.")] = "viewer",
) -> None:
    """Make a user. The password is asked for, or read from standard input when that is no terminal."""
    from novapulse.launch import commands

    password = (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().rstrip("\n")
    )
    typer.echo(_run(commands.create_user(load_settings(), email, role, password)))


@user.command("reset-link")
def user_reset_link(email: Annotated[str, typer.Option(help="Of the user.")]) -> None:
    """Print a link by which a user chooses a new password, once, within 30 minutes. Second factors stay."""
    from novapulse.launch import commands

    typer.echo(_run(commands.make_reset_link(load_settings(), email)))


@apikey.command("create")
def apikey_create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option(help="A permission such as events:write; may be repeated.")],
) -> None:
    """Make an API key and print it, alone, on standard output. It is shown this once."""
    from novapulse.launch import commands

    scopes = [part for entry in scope for part in entry.replace(",", " ").split()]
    typer.echo(_run(commands.create_api_key(load_settings(), name, scopes)))


@audit.command("verify")
def audit_verify(
    expect: Annotated[str | None, typer.Option(help="A head noted before, SEQ:SEAL: shows an older copy, too.")] = None,
) -> None:
    """Verify that no row was changed, removed or inserted. Prints one line; exit code 1 if the log is broken."""
    from novapulse.launch import commands

    verdict = _run(commands.verify_audit(load_settings(), expect))
    typer.echo(str(verdict))
    raise typer.Exit(0 if verdict.intact else 1)


@audit.command("export")
def audit_export(
    format: Annotated[str, typer.Option(help="csv, json or jsonl.")] = "jsonl",  # noqa: A002 - its name
    since: Annotated[str, typer.Option(help="No rows before this RFC 3339 time.")] = "",
    until: Annotated[str, typer.Option(help="Only rows before this RFC 3339 time.")] = "",
) -> None:
    """Write the log to standard output, newest first. That it was exported is a row of it."""
    from novapulse.launch import commands

    _run(commands.export_audit(load_settings(), format, since, until, sys.stdout.buffer))


@app.command()
def send(
    type: Annotated[str, typer.Argument(help="The event's type, e.g. invoice.paid.")],  # noqa: A002 - its name
    data: Annotated[str, typer.Option(help="The event's data as JSON; `-` reads standard input.")] = "{}",
    tenant: Annotated[str | None, typer.Option(help="For the webhooks of this tenant only.")] = None,
) -> None:
    """Send an event, as `POST /api/v1/events` would; prints its id and the number of deliveries as JSON."""
    from novapulse.launch import commands

    text = sys.stdin.read() if data == "-" else data
    typer.echo(_run(commands.send_event(load_settings(), type, text, tenant)))


@app.command()
def listen(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 9000,
    secret: Annotated[str, typer.Option(help="The webhook's secret (whsec_...); without it nothing is verified.")] = "",
) -> None:
    """Receive webhooks on this machine, verify and print them."""
    from novapulse.tools.listen import listen

    _run(listen(port=port, secret=secret))


@app.command()
def demo(remove: Annotated[bool, typer.Option("--remove", help="Remove everything the demo made.")] = False) -> None:
    """Fill a running NovaPulse with realistic traffic to local receivers."""
    from novapulse.launch import commands

    _run(commands.demo(load_settings(), remove=remove))


@app.command()
def health(
    process: Annotated[str, typer.Argument(help="web, worker or scheduler: is this process ready? Else: all.")] = "",
    live: Annotated[bool, typer.Option("--live", help="Only whether it lives, which a new start could mend.")] = False,
) -> None:
    """Ask a running process of this machine how it is, as a probe: exit code 0 if it is well, else 1."""
    from novapulse.launch.health import ask

    settings = load_settings()
    what = "/health/live" if live else "/health/ready" if process else "/health"
    if process in ("", "web"):
        answer = ask(settings.host, settings.port, f"/api/v1{what}")
    elif process in ("worker", "scheduler"):
        if not settings.probe_port:
            raise StartError(f"This {process} answers no probes.", "Set NOVAPULSE_PROBE_PORT, for it and for this.")
        answer = ask(settings.probe_host, settings.probe_port, what)
    else:
        raise StartError(f"There is no process {process}.", "It is web, worker or scheduler.")
    typer.echo(answer.words)
    raise typer.Exit(0 if answer.good else 1)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Check everything NovaPulse needs, and say what is wrong and what to do. Exit code 1: something does not work."""
    from novapulse.launch.doctor import examine

    findings = _run(examine())
    sound = all(finding.sound for finding in findings)
    if as_json:
        typer.echo(json.dumps({"sound": sound, "findings": [each.as_dict() for each in findings]}, indent=2))
    else:
        for finding in findings:
            typer.echo(str(finding))
    raise typer.Exit(0 if sound else 1)


@app.command()
def version() -> None:
    """Print the version."""
    from novapulse.core.version import VERSION

    typer.echo(VERSION)


def main() -> None:
    """Entry point: every failure is one line on standard error and an exit code."""
    try:
        app()  # ends by SystemExit, also for a wrong option
    except StartError as error:
        _fail(str(error))
    except Exception as error:
        if os.environ.get("NOVAPULSE_LOG_LEVEL") == "debug":
            raise
        _fail(_explain(error))


def _explain(error: Exception) -> str:
    from novapulse.launch.failures import explain

    return explain(error)


def _fail(message: str) -> NoReturn:
    print(f"novapulse: {message}", file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
