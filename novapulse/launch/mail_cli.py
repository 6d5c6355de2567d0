"""`novapulse mail`: the outbox, from a shell."""

from __future__ import annotations

import base64
import mimetypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from novapulse.launch import shell
from novapulse.launch.shell import AsJson, Cursor, Limit, with_runtime

if TYPE_CHECKING:
    from novapulse.core.runtime import Runtime
    from novapulse.mail.schemas import EmailDetail
    from novapulse.mail.service import Message

mail = typer.Typer(help="E-mail.", no_args_is_help=True)
_Id = Annotated[str, typer.Argument(help="Its id, eml_...")]


@mail.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="pending, sending, sent, failed, cancelled or kept.")] = None,
    to: Annotated[str | None, typer.Option(help="A part of an address.")] = None,
    q: Annotated[str | None, typer.Option("--search", help="A part of an address or subject.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    json: AsJson = False,
) -> None:
    """List messages, newest first."""
    from novapulse.core.actor import SYSTEM
    from novapulse.mail.listing import list_emails
    from novapulse.mail.schemas import Status

    shell.one_of("--status", status, get_args(Status))
    page = with_runtime(
        lambda rt: list_emails(rt, SYSTEM, status=status, to=to or None, q=q or None, limit=limit, cursor=cursor)
    )
    rows = [(each.id, each.status, each.created_at, ", ".join(each.to), each.subject, each.error) for each in page.data]
    shell.show(page, json, lambda: shell.table(("id", "status", "made", "to", "subject", "error"), rows))
    shell.more(page.next_cursor)


@mail.command()
def show(email_id: _Id, json: AsJson = False) -> None:
    """Print what became of a message and, while it is kept, what it says; also where no page shows that.

    The link of a private message opens a door. With `--json` it is not in the answer.
    """
    found, message = with_runtime(lambda rt: read(rt, email_id))
    shell.show(found, json, lambda: _told(found, message))


@mail.command()
def send(
    to: Annotated[list[str], typer.Argument(help="One or more addresses, who see each other.")],
    subject: Annotated[str | None, typer.Option(help="Needed without a template.")] = None,
    text: Annotated[str | None, typer.Option(help="What it says; `-` reads standard input.")] = None,
    html: Annotated[Path | None, typer.Option(help="A file with its HTML part.", exists=True, dir_okay=False)] = None,
    template: Annotated[str | None, typer.Option(help="The name of a template, in place of words.")] = None,
    context: Annotated[str | None, typer.Option(help="What goes into the template: an object, as JSON.")] = None,
    attach: Annotated[
        list[Path] | None, typer.Option(help="A file to go with it; may be repeated.", exists=True, dir_okay=False)
    ] = None,
    reply_to: Annotated[str | None, typer.Option(help="Where answers go.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Shown to nobody, and erased when it is sent.")] = False,
    json: AsJson = False,
) -> None:
    """Put a message into the outbox; prints its id. It is sent by a worker, at once if one is there."""
    from novapulse.core.actor import SYSTEM
    from novapulse.mail.schemas import EmailIn
    from novapulse.mail.sending import send_email

    given: dict[str, Any] = {
        "subject": subject,
        "text": sys.stdin.read() if text == "-" else text,
        "html": html.read_text("utf-8") if html else None,
        "template": template,
        "context": shell.read_object("--context", context) if context else None,
        "reply_to": reply_to,
        "attachments": [_file(path) for path in attach or []] or None,
    }
    body = {"to": to, "private": private} | {name: value for name, value in given.items() if value is not None}
    asked = shell.valid(EmailIn, body)
    accepted = with_runtime(lambda rt: send_email(rt, SYSTEM, asked))
    shell.show(accepted, json, lambda: typer.echo(accepted.id))


@mail.command()
def retry(email_id: _Id, json: AsJson = False) -> None:
    """Send a message again, to those who were not sent it."""
    from novapulse.core.actor import SYSTEM
    from novapulse.mail.sending import retry_email

    accepted = with_runtime(lambda rt: retry_email(rt, SYSTEM, email_id))
    shell.show(accepted, json, lambda: typer.echo(f"{accepted.id} is {accepted.status}"))


@mail.command()
def test(to: Annotated[str, typer.Argument(help="Where to send it.")]) -> None:
    """Send a trial message now and say what the mail server answers."""
    from novapulse.core.actor import SYSTEM
    from novapulse.core.errors import ConflictError
    from novapulse.mail.schemas import TrialIn
    from novapulse.mail.sending import try_server

    asked = shell.valid(TrialIn, {"to": to})
    tried = with_runtime(lambda rt: try_server(rt, SYSTEM, asked.to))
    if not tried.ok:
        raise ConflictError(f"The message was not taken: {tried.words}")
    how = "encrypted" if tried.encrypted else "not encrypted"
    typer.echo(f"The message was taken ({how}, {tried.duration_ms} ms): {tried.words}")


async def read(rt: Runtime, email_id: str) -> tuple[EmailDetail, Message | None]:
    """A message, and what it says, private or not: who may read the data folder and the key may read it anyway.

    Raises:
        NotFoundError: there is none.
    """
    from novapulse.core.actor import SYSTEM
    from novapulse.mail.listing import get_email
    from novapulse.mail.sending import find
    from novapulse.mail.service import open_message

    found = await get_email(rt, SYSTEM, email_id)
    async with rt.database.read() as session:
        row = await find(session, SYSTEM, email_id)
    return found, None if row.content is None else open_message(rt, row.id, row.content)


def _file(path: Path) -> dict[str, str]:
    kind, encoding = mimetypes.guess_type(path.name)
    media_type = kind if kind and not encoding else "application/octet-stream"
    return {"name": path.name, "media_type": media_type, "content": base64.b64encode(path.read_bytes()).decode()}


def _told(found: EmailDetail, message: Message | None) -> None:
    typer.echo(f"To: {', '.join(found.to)}\nSubject: {shell.plain(found.subject)}")
    names = ("status", "error", "attempts", "next_attempt_at", "template", "created_by", "created_at", "finished_at")
    shell.facts((name, getattr(found, name)) for name in names)
    for each in found.recipients:
        if each.words:
            typer.echo(shell.plain(f"{each.address}: {each.state}: {each.words}"))
    for file in found.files:
        typer.echo(shell.plain(f"{file.name} ({file.media_type}, {file.size:,} bytes)"))
    said = "What this message said is erased." if message is None else message.text or message.html
    typer.echo("\n" + "\n".join(map(shell.plain, said.splitlines())))
