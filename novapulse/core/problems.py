"""Errors as RFC 9457 `application/problem+json`: every one, with a request id, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from novapulse.core import trace
from novapulse.core.away import is_away
from novapulse.core.errors import FieldError, InvalidError, ProblemError, UnavailableError

MEDIA_TYPE = "application/problem+json"
_AWAY = "Something NovaPulse needs is not reachable at the moment; nothing was done. Try again shortly."
# What is raised while a store is away.
AWAY = (DBAPIError, PoolTimeoutError, RedisError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


def problem_body(error: ProblemError, instance: str, request_id: str) -> dict[str, Any]:
    """The members of a problem document."""
    body: dict[str, Any] = {
        "type": error.type,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "request_id": request_id,
    }
    if (place := trace.current()) is not None:
        body["trace_id"] = place.trace_id
    if error.errors:
        body["errors"] = [{"pointer": each.pointer, "detail": each.detail} for each in error.errors]
    return body | error.more


def problem_response(request: Request, error: ProblemError) -> Response:
    """A problem as a response."""
    body = problem_body(error, request.url.path, getattr(request.state, "request_id", ""))
    return Response(orjson.dumps(body), error.status, {**error.headers, "Cache-Control": "no-store"}, MEDIA_TYPE)


def install(app: FastAPI, methods_at: Callable[[str], list[str]]) -> None:
    """Have every error of an app answered as a problem. `methods_at` tells which methods a path takes."""

    async def expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return problem_response(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(request, from_validation(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            # Starlette names the methods of one route, and an address may have several.
            headers["Allow"] = ", ".join(methods_at(request.url.path.removeprefix(request.scope["root_path"])))
        title = HTTPStatus(error.status_code).phrase
        detail = error.detail if error.detail != title else _HTTP_DETAILS.get(error.status_code, title + ".")
        return problem_response(request, ProblemError(detail, error.status_code, title, headers))

    async def away(request: Request, error: Exception) -> Response:
        if not (isinstance(error, RedisError) or is_away(error)):
            return await unexpected(request, error)
        log.warning("dependency_away", path=request.url.path, error=f"{type(error).__name__}: {error}"[:300])
        return problem_response(request, UnavailableError(_AWAY))

    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("unexpected_error", path=request.url.path, exc_info=error)
        return problem_response(request, ProblemError("This is a fault of NovaPulse; its log says more."))

    app.add_exception_handler(ProblemError, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    for kind in AWAY:
        app.add_exception_handler(kind, away)
    app.add_exception_handler(Exception, unexpected)


_HTTP_DETAILS = {
    404: "There is nothing at this address; /api/v1/docs lists what there is.",
    405: "This address does not take this method; /api/v1/docs lists those it takes.",
}


def from_validation(errors: Any) -> InvalidError:
    """pydantic's errors as ours, with JSON pointers and without echoing what was sent."""
    found: list[FieldError] = []
    for error in errors:
        location = [str(part) for part in error.get("loc", ())]
        if location and location[0] in ("body", "query", "path", "header"):
            location = location[1:]
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in location)
        message = str(error.get("msg", "invalid")).removeprefix("Value error, ")
        found.append(FieldError(pointer, message))
    return InvalidError(found)
