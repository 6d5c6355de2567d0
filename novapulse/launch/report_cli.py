"""`novapulse report`: reports, from a shell."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from novapulse.launch import shell
from novapulse.launch.errors import StartError
from novapulse.launch.shell import AsJson, Cursor, Limit, with_runtime

report = typer.Typer(help="Reports.", no_args_is_help=True)
_Id = Annotated[str, typer.Argument(help="Its id, rpt_...")]


@report.command()
def make(
    kind: Annotated[str, typer.Argument(help="deliveries, endpoints, queues or audit.")],
    out: Annotated[Path, typer.Option(help="The file to write; its name ends in .pdf, .csv or .xlsx.")],
    range_: Annotated[
        str, typer.Option("--range", help="today, yesterday, last_24_hours, last_7_days, last_30_days, last_week, ...")
    ] = "",
    since: Annotated[str, typer.Option(help="In place of --range: from this RFC 3339 time.")] = "",
    until: Annotated[str, typer.Option(help="Up to this RFC 3339 time.")] = "",
    timezone: Annotated[str, typer.Option(help="Whose days a range is made of, e.g. Europe/Paris.")] = "UTC",
    webhook_id: Annotated[str, typer.Option(help="Of this webhook only.")] = "",
    tenant: Annotated[str, typer.Option(help="Of this tenant only.")] = "",
) -> None:
    """Make a report here and now; no worker is needed. That it was made is a row of the audit log."""
    from novapulse.reports.command import make_here

    def tell(done: float, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:4.0%}  {text}", end="", file=sys.stderr, flush=True)

    params = {"range": range_, "since": since, "until": until, "webhook_id": webhook_id, "tenant": tenant}
    given = {name: value for name, value in params.items() if value} | {"timezone": timezone}
    asked: dict[str, object] = {"kind": kind, "format": out.suffix.removeprefix("."), "params": given}
    made = with_runtime(lambda rt: make_here(rt, asked, out, tell))
    typer.echo(f"{out}: {made.rows:,} rows, {made.bytes:,} bytes", err=True)


@report.command("list")
def list_(
    kind: Annotated[str | None, typer.Option(help="deliveries, endpoints, queues or audit.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> None:
    """List reports, newest first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.reports.service import list_reports

    page = with_runtime(lambda rt: list_reports(rt, SYSTEM, kind=kind, limit=limit, cursor=cursor))
    rows = [
        (
            each.id,
            each.status if each.progress is None else f"{each.status} {each.progress:.0%}",
            each.kind,
            each.format,
            f"{each.params['since'][:10]} to {each.params['until'][:10]}",
            each.rows,
            each.created_at,
            each.error,
        )
        for each in page.data
    ]
    head = ("id", "status", "kind", "format", "range", "rows", "made", "error")
    shell.show(page, json, lambda: shell.table(head, rows))
    shell.more(page.next_cursor)


@report.command()
def show(report_id: _Id, json: AsJson = False) -> None:
    """Print what is known of a report, and how far it is."""
    from novapulse.core.actor import SYSTEM
    from novapulse.reports.service import get_report

    view = with_runtime(lambda rt: get_report(rt, SYSTEM, report_id))
    shell.show(view, json, lambda: shell.facts(view.model_dump().items()))


@report.command()
def download(
    report_id: _Id,
    out: Annotated[Path | None, typer.Option(help="A file or folder; without it, its own name, here.")] = None,
) -> None:
    """Copy the file of a finished report; prints where it is. That it was downloaded is a row of the audit log."""
    from novapulse.core.actor import SYSTEM
    from novapulse.reports.service import open_report

    if out is not None and out.is_file():
        raise StartError(f"{out} is there already.", "Choose another place.")
    file = with_runtime(lambda rt: open_report(rt, SYSTEM, report_id))
    to = Path(file.name) if out is None else out / file.name if out.is_dir() else out
    try:
        with file.path.open("rb") as source, to.open("xb") as target:
            shutil.copyfileobj(source, target)
    except FileExistsError:
        raise StartError(f"{to} is there already.", "Choose another place with --out.") from None
    typer.echo(to)


@report.command()
def delete(report_id: _Id) -> None:
    """Delete a report with its file; one that is in the making is called off."""
    from novapulse.core.actor import SYSTEM
    from novapulse.reports.service import delete_report

    with_runtime(lambda rt: delete_report(rt, SYSTEM, report_id))
    typer.echo(f"{report_id} is deleted")
