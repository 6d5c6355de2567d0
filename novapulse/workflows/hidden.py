"""Secrets of a workflow: set, used by its http steps, and never shown again."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlalchemy import Connection, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from novapulse.core.clock import now_ms, rfc3339
from novapulse.core.database import table_of
from novapulse.core.errors import InvalidError, NotFoundError
from novapulse.core.runtime import Runtime
from novapulse.workflows import expressions
from novapulse.workflows.acts import ActFailedError
from novapulse.workflows.definition import Act
from novapulse.workflows.models import WorkflowSecret

_SECRET = table_of(WorkflowSecret)
_x = _SECRET.c
SECRETS_MAX = 50
VALUE_MAX = 4_096
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def names_in(step: Act) -> set[str]:
    """The secrets that a step takes."""
    found = expressions.expressions_in(step.model_dump(by_alias=True, exclude_none=True))
    used = (use for _, text in found for use in expressions.uses(expressions.parse(text)))
    return {use.name for use in used if use.root == "secrets" and use.name is not None}


def open_on(rt: Runtime, connection: Connection, workflow_id: str, names: Iterable[str]) -> dict[str, str]:
    """These secrets, in plain text.

    Raises:
        ActFailedError: one of them is not set.
    """
    wanted = sorted(names)
    rows = connection.execute(select(_x.name, _x.sealed).where(_x.workflow_id == workflow_id, _x.name.in_(wanted)))
    found = {row.name: rt.keyring.decrypt(row.sealed, _sealed_for(workflow_id, row.name)) for row in rows}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ActFailedError(f"The secret '{missing[0]}' is not set.", final=True)
    return found


async def list_secrets(session: AsyncSession, workflow_id: str) -> list[tuple[str, str, str]]:
    """Name, since when, and by whom, of each."""
    rows = await session.execute(
        select(_x.name, _x.created_at, _x.created_by).where(_x.workflow_id == workflow_id).order_by(_x.name)
    )
    return [(row.name, rfc3339(row.created_at), row.created_by) for row in rows]


async def set_secret(rt: Runtime, session: AsyncSession, workflow_id: str, name: str, value: str, by: str) -> None:
    """Make or replace a secret.

    Raises:
        InvalidError: a name that no expression can say, or too many.
    """
    if not _NAME.fullmatch(name):
        raise InvalidError.at("/name", "letters, digits and '_', beginning with no digit")
    there = {each for each, _, _ in await list_secrets(session, workflow_id)}
    if name not in there and len(there) >= SECRETS_MAX:
        raise InvalidError.at("/name", f"a workflow has at most {SECRETS_MAX} secrets")
    sealed = rt.keyring.encrypt(value, _sealed_for(workflow_id, name))
    await session.merge(
        WorkflowSecret(workflow_id=workflow_id, name=name, sealed=sealed, created_by=by, created_at=now_ms())
    )


async def delete_secret(session: AsyncSession, workflow_id: str, name: str) -> None:
    """Forget a secret.

    Raises:
        NotFoundError: there is none of this name.
    """
    done = await session.execute(delete(_SECRET).where(_x.workflow_id == workflow_id, _x.name == name))
    if not done.rowcount:  # pyright: ignore[reportAttributeAccessIssue]
        raise NotFoundError("secret", name)


def _sealed_for(workflow_id: str, name: str) -> str:
    return f"workflow_secret:sealed:{workflow_id}:{name}"
