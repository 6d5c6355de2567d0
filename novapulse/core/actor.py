"""Who acts, and what they may do. Every service function takes an `Actor` and checks it itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from novapulse.core.clock import now_ms
from novapulse.core.errors import EnrolmentError, ForbiddenError, ReauthenticationError


class Permission(StrEnum):
    """One thing that may be allowed. The same words are the scopes of API keys."""

    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    WEBHOOKS_SECRET = "webhooks:secret"  # noqa: S105 - a name
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    DELIVERIES_READ = "deliveries:read"
    DELIVERIES_WRITE = "deliveries:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    EMAILS_READ = "emails:read"
    EMAILS_WRITE = "emails:write"
    REPORTS_READ = "reports:read"
    REPORTS_WRITE = "reports:write"
    WORKFLOWS_READ = "workflows:read"
    WORKFLOWS_WRITE = "workflows:write"
    KEYS_WRITE = "keys:write"
    USERS_WRITE = "users:write"
    SECURITY_WRITE = "security:write"
    AUDIT_READ = "audit:read"
    METRICS = "metrics"


class Role(StrEnum):
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


_VIEWER = frozenset(
    {
        Permission.WEBHOOKS_READ,
        Permission.EVENTS_READ,
        Permission.DELIVERIES_READ,
        Permission.JOBS_READ,
        Permission.REPORTS_READ,
        Permission.WORKFLOWS_READ,
        Permission.METRICS,
    }
)
_OPERATOR = _VIEWER | {
    Permission.WEBHOOKS_WRITE,
    Permission.WEBHOOKS_SECRET,
    Permission.EVENTS_WRITE,
    Permission.DELIVERIES_WRITE,
    Permission.JOBS_WRITE,
    Permission.EMAILS_READ,
    Permission.EMAILS_WRITE,
    Permission.REPORTS_WRITE,
    Permission.WORKFLOWS_WRITE,
}

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, an API key or the system itself, with what it may do."""

    kind: Literal["user", "api_key", "system"]
    id: str
    name: str
    permissions: frozenset[Permission]
    tenant: str | None = None  # set: sees and touches this tenant's rows only
    session_id: str | None = None  # of a user: the browser's session
    sudo_until: int = 0  # ms; of a user: proven to be themselves until then
    must_enrol: bool = False  # of a user: may do nothing until a second factor is set up
    ip: str = ""

    def may(self, permission: Permission) -> bool:
        """Whether the permission is held."""
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Refuse unless the permission is held.

        Raises:
            ForbiddenError: it is not.
            EnrolmentError: it would be, once a second factor is set up.
        """
        if self.must_enrol:
            raise EnrolmentError()
        if permission not in self.permissions:
            raise ForbiddenError(f"This needs the permission '{permission}', which {self.name} does not have.")

    def require_sudo(self) -> None:
        """Refuse a person who has not proven lately that it is them; keys and the system are what they are.

        Raises:
            ReauthenticationError: a sign-in or re-authentication is too long ago.
        """
        if self.kind == "user" and self.sudo_until <= now_ms():
            raise ReauthenticationError()


SYSTEM = Actor("system", "system", "NovaPulse", frozenset(Permission))
