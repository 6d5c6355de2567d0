"""What the commands that work on a NovaPulse of this machine do. Who may read its data folder may do all of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, get_args

import orjson
from pydantic import ValidationError

from novapulse.core.actor import SYSTEM
from novapulse.core.clock import parse_rfc3339
from novapulse.core.errors import BadRequestError, InvalidError
from novapulse.launch.local import local_runtime
from novapulse.settings import Settings

if TYPE_CHECKING:
    from novapulse.security.audit_verify import Verdict


async def create_user(settings: Settings, email: str, role: str, password: str) -> str:
    """Make a user; returns its id."""
    from novapulse.core.actor import Role
    from novapulse.security.users import create_user as create

    if role not in set(Role):
        raise InvalidError.at("/role", f"must be one of {', '.join(Role)}")
    async with local_runtime(settings) as rt:
        view = await create(rt, SYSTEM, email=email, password=password, role=Role(role))
        return view.id


async def make_reset_link(settings: Settings, email: str) -> str:
    """Make a link by which a user chooses a new password."""
    from novapulse.security.password_change import make_reset_link as make

    async with local_runtime(settings) as rt:
        return await make(rt, SYSTEM, email)


async def create_api_key(settings: Settings, name: str, scopes: list[str]) -> str:
    """Make an API key; returns the key itself."""
    from novapulse.security.api_keys import create_api_key as create

    async with local_runtime(settings) as rt:
        _, key = await create(rt, SYSTEM, name, scopes)
        return key


async def send_event(settings: Settings, type_: str, data: str, tenant: str | None) -> str:
    """Take in one event; returns what the API would answer, as JSON.

    Raises:
        BadRequestError: the data is no JSON.
        InvalidError: the event cannot be accepted.
    """
    from novapulse.webhooks.ingest import accept
    from novapulse.webhooks.schemas import EventIn

    try:
        event = EventIn.model_validate({"type": type_, "data": orjson.loads(data), "tenant": tenant})
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"--data is no JSON: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidError.at(
            "/" + "/".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        ) from error
    async with local_runtime(settings) as rt:
        accepted = await accept(rt, SYSTEM, event)
        return json.dumps(accepted.model_dump(mode="json"))


async def try_mail(settings: Settings, to: str) -> str:
    """Send a trial message; what the server said.

    Raises:
        InvalidError: not an address.
        ConflictError: no server is set, or it did not take the message.
    """
    from novapulse.core.errors import ConflictError
    from novapulse.mail.schemas import check_address
    from novapulse.mail.sending import try_server

    try:
        check_address(to)
    except ValueError as error:
        raise InvalidError.at("/to", str(error)) from None
    async with local_runtime(settings) as rt:
        tried = await try_server(rt, SYSTEM, to)
    if not tried.ok:
        raise ConflictError(f"The message was not taken: {tried.words}")
    how = "encrypted" if tried.encrypted else "not encrypted"
    return f"The message was taken ({how}, {tried.duration_ms} ms): {tried.words}"


async def show_email(settings: Settings, email_id: str) -> str:
    """What a message says, private or not: who may read the data folder and the key may read it anyway.

    Raises:
        NotFoundError: there is none.
        ConflictError: it is erased.
    """
    from novapulse.core.errors import ConflictError
    from novapulse.mail.sending import find
    from novapulse.mail.service import open_message

    async with local_runtime(settings) as rt:
        async with rt.database.read() as session:
            row = await find(session, SYSTEM, email_id)
        if row.content is None:
            raise ConflictError("What this message said is erased.")
        message = open_message(rt, row.id, row.content)
    return f"To: {row.recipient}\nSubject: {message.subject}\n\n{message.text or message.html}"


async def verify_audit(settings: Settings, expect: str | None) -> Verdict:
    """Verify the audit log, and that it still has the row noted as `SEQ:SEAL`."""
    from novapulse.security.audit_verify import verify

    async with local_runtime(settings) as rt:
        return await verify(rt, SYSTEM, expect)


async def export_audit(settings: Settings, format_: str, since: str, until: str, to: BinaryIO) -> None:
    """Write the audit log to a stream.

    Raises:
        InvalidError: no such format, or not a time.
    """
    from novapulse.security.audit_export import Format, export
    from novapulse.security.audit_log import AuditFilter

    known = [name for name in get_args(Format) if name == format_]
    if not known:
        raise InvalidError.at("/format", f"must be one of {', '.join(get_args(Format))}")
    try:
        from_, to_ = (parse_rfc3339(text) if text else None for text in (since, until))
    except ValueError as error:
        raise BadRequestError(str(error)) from None
    async with local_runtime(settings) as rt:
        async for piece in await export(rt, SYSTEM, AuditFilter(since=from_, until=to_), known[0]):
            to.write(piece)
        to.flush()


async def demo(settings: Settings, *, remove: bool) -> None:
    """Run the demo until Ctrl-C, or remove what it made."""
    from novapulse.tools import demo as tool

    async with local_runtime(settings) as rt:
        if remove:
            await tool.remove(rt)
        else:
            await tool.run(rt)


async def make_report(settings: Settings, kind: str, out: Path, params: dict[str, str]) -> str:
    """Make a report; returns what there is to say of it."""
    import sys

    from novapulse.reports.command import make_here

    def tell(done: float, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:4.0%}  {text}", end="", file=sys.stderr, flush=True)

    given = {"kind": kind, "format": out.suffix.removeprefix("."), "params": params}
    async with local_runtime(settings) as rt:
        made = await make_here(rt, given, out, tell)
    return f"{out}: {made.rows:,} rows, {made.bytes:,} bytes"
