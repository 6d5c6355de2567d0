"""What the commands that work on a NovaPulse of this machine do. Who may read its data folder may do all of it."""

from __future__ import annotations

import json
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
