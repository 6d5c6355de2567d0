"""Errors a caller may see, each with its HTTP status. `core.problems` renders them as RFC 9457."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one value of the input."""

    pointer: str  # RFC 6901 JSON pointer into the body, e.g. "/url"
    detail: str


@dataclass
class ProblemError(Exception):
    """A refusal with a reason the caller can act on."""

    detail: str
    status: int = 500
    title: str = "Internal error"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    errors: list[FieldError] = field(default_factory=list[FieldError])
    type: str = "about:blank"  # RFC 9457, 3.1.1: a URI where programs have to tell this problem from others
    more: dict[str, Any] = field(default_factory=dict[str, Any])  # further members of the document (3.2)

    def __str__(self) -> str:
        return self.detail


class BadRequestError(ProblemError):
    def __init__(self, detail: str) -> None:
        super().__init__(detail, 400, "Bad request")


class UnauthorizedError(ProblemError):
    def __init__(self, detail: str = "Sign in, or send an API key as 'Authorization: Bearer np_live_...'.") -> None:
        super().__init__(detail, 401, "Not authenticated", {"WWW-Authenticate": 'Bearer realm="novapulse"'})


class ForbiddenError(ProblemError):
    def __init__(self, detail: str) -> None:
        super().__init__(detail, 403, "Not allowed")


class ReauthenticationError(ForbiddenError):
    """Allowed, once the person has proven again that it is them."""

    def __init__(self) -> None:
        super().__init__("Confirm that it is you: POST /auth/reauthenticate with your password or a code.")
        self.type = "urn:novapulse:problem:reauthenticate"


class EnrolmentError(ForbiddenError):
    """Allowed, once the person has set up a second factor, which is required of them."""

    def __init__(self) -> None:
        super().__init__("Your role requires a second factor: set one up first, at /settings/security/enrol.")
        self.type = "urn:novapulse:problem:enrol"


class NotFoundError(ProblemError):
    def __init__(self, what: str, id_: str) -> None:
        super().__init__(f"There is no {what} '{id_[:100]}'.", 404, "Not found")


class ConflictError(ProblemError):
    def __init__(self, detail: str) -> None:
        super().__init__(detail, 409, "Conflict")


class TooLargeError(ProblemError):
    def __init__(self, detail: str) -> None:
        super().__init__(detail, 413, "Too large")


class InvalidError(ProblemError):
    """The body is JSON but says something that cannot be accepted."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(
            "; ".join(f"{e.pointer or '/'}: {e.detail}" for e in errors[:5]), 422, "Invalid input", {}, errors
        )

    @classmethod
    def at(cls, pointer: str, detail: str) -> InvalidError:
        """One error at one place."""
        return cls([FieldError(pointer, detail)])


class LimitedError(ProblemError):
    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail, 429, "Too many requests", {"Retry-After": str(retry_after_s)})


class UnavailableError(ProblemError):
    """Something NovaPulse needs is away; the caller should try again."""

    def __init__(self, detail: str, retry_after_s: int = 2) -> None:
        super().__init__(detail, 503, "Temporarily unavailable", {"Retry-After": str(retry_after_s)})
