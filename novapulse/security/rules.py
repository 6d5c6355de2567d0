"""What admins require of everybody: second factors by role, lifetimes of sessions, domains of e-mail addresses."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from novapulse.core.actor import Actor, Permission
from novapulse.core.clock import now_ms
from novapulse.core.database import table_of
from novapulse.core.errors import InvalidError
from novapulse.core.runtime import Runtime
from novapulse.security import audit
from novapulse.security.models import SecurityRules, User

_RULES = table_of(SecurityRules)
_KNOWN_FOR_S = 2.0
_DAY_MS = 86_400_000
_Domain = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,190}$", to_lower=True, strip_whitespace=True)]


class Rules(BaseModel):
    """The rules; times of sessions in seconds."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"require_mfa": ["admin"], "grace_days": 7}]}
    )

    require_mfa: list[Literal["admin", "operator", "viewer"]] = Field(
        default_factory=list[Literal["admin", "operator", "viewer"]],
        description="Roles that need a second factor.",
    )
    grace_days: int = Field(
        default=7, ge=0, le=90, description="Days in which those of them without one may still work."
    )
    session_idle_s: int = Field(default=24 * 3600, ge=300, le=90 * 86_400)
    session_max_s: int = Field(default=14 * 86_400, ge=900, le=365 * 86_400)
    remember_days: int = Field(default=30, ge=0, le=90, description="How long a device may be remembered; 0: never.")
    email_domains: list[_Domain] = Field(
        default_factory=list[str], max_length=50, description="Users may have addresses of these; empty: of any."
    )


class RulesView(Rules):
    """The rules, and since when they are so."""

    changed_at: int = Field(default=0, description="Milliseconds since the epoch; 0: never changed.")


class _Known:
    """The rules as read within the last two seconds. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._until = 0.0
        self._rules = RulesView()

    async def get(self) -> RulesView:
        if time.monotonic() >= self._until:
            async with self._rt.database.read() as session:
                row = (await session.execute(select(_RULES))).one_or_none()
            settings = self._rt.settings
            defaults = {"session_idle_s": settings.session_idle_s, "session_max_s": settings.session_max_s}
            given = defaults if row is None else defaults | row.rules | {"changed_at": row.changed_at}
            # Not validated: the settings may be shorter than what a person may choose.
            self._rules = RulesView().model_copy(update=given)
            self._until = time.monotonic() + _KNOWN_FOR_S
        return self._rules

    def drop(self) -> None:
        self._until = 0.0


async def current_rules(rt: Runtime) -> RulesView:
    """The rules; other processes follow a change within two seconds."""
    return await rt.part(_Known).get()


async def change_rules(rt: Runtime, actor: Actor, rules: Rules) -> RulesView:
    """Set the rules.

    Raises:
        ForbiddenError: not allowed; ReauthenticationError: not proven lately.
    """
    actor.require(Permission.SECURITY_WRITE)
    actor.require_sudo()
    before, now = await current_rules(rt), now_ms()
    insert = sqlite_insert if rt.database.is_sqlite else pg_insert
    wanted = rules.model_dump()
    changed = {name: value for name, value in wanted.items() if value != getattr(before, name)}
    values = {"rules": wanted, "changed_at": now}
    async with rt.database.write() as session:
        upsert = insert(_RULES).values(id=1, **values)
        await session.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=values))
        await audit.append(rt, session, actor, "rules.changed", detail=changed)
    rt.part(_Known).drop()
    return await current_rules(rt)


def check_domain(rules: RulesView, address: str) -> None:
    """Refuse an address of a domain that the rules do not allow.

    Raises:
        InvalidError: at `/email`.
    """
    allowed = rules.email_domains
    if allowed and address.rpartition("@")[2] not in allowed:
        raise InvalidError.at("/email", f"must be of {', '.join(allowed)}")


def must_enrol(user: User, rules: RulesView, now: int) -> bool:
    """Whether this user may do nothing but set up a second factor (the grace of their role is over)."""
    return (due := enrolment_due(user, rules)) is not None and now >= due


def enrolment_due(user: User, rules: RulesView) -> int | None:
    """Until when (ms) this user has to have a second factor; None: has one, or needs none."""
    if user.mfa_on_at is not None or user.role not in rules.require_mfa:
        return None
    return max(rules.changed_at, user.created_at) + rules.grace_days * _DAY_MS
