"""What every API call goes through: a request id, a limit on the body, strict JSON, idempotency keys."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import orjson
import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novapulse.core import exact, idempotency, trace
from novapulse.core.errors import (
    BadRequestError,
    FieldError,
    InvalidError,
    ProblemError,
    TooLargeError,
)
from novapulse.core.ids import new_id
from novapulse.core.problems import MEDIA_TYPE, problem_body
from novapulse.core.runtime import current

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NUL = b"\\u0000"
ROUTE = "novapulse.route"  # of the scope: where who counts requests is told the route's template
_DEPTH_MAX = 100  # what reads JSON later gives up at some 250 levels


def answer_with(request: Request, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Have the answer to a request carry these header fields, whatever it is: an error too."""
    request.scope.setdefault("state", {})["answer_fields"] = fields


def answer_fields(request: Request) -> Iterable[tuple[bytes, bytes]]:
    """What `answer_with` was told for this request."""
    return request.scope.get("state", {}).get("answer_fields", ())


class RequestId:
    """Gives every request an id, the caller's if it is sane, and logs under it. ASGI middleware.

    What `answer_with` was told goes into the answer as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _SANE_ID.fullmatch(given) else new_id("req")
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        trace.enter(trace.given(Headers(scope=scope).get("traceparent", "")) or trace.new_place())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                if ROUTE in scope and "route" in scope:
                    scope[ROUTE].append(scope.get("root_path", "") + scope["route"].path)
                MutableHeaders(scope=message)["x-request-id"] = request_id
                message["headers"].extend(state.get("answer_fields", ()))
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class BodyLimit:
    """Answers 413 as soon as a body is larger than allowed, without reading on. ASGI middleware."""

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        """`larger` has limits of their own for paths that end so."""
        self._app = app
        self._max = max_bytes
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = next((limit for end, limit in self._larger.items() if scope["path"].endswith(end)), self._max)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            await self._refuse(scope, send, most)
            return
        seen = 0
        started = False

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise TooLargeError(_too_large(most))
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, limited, watched)
        except TooLargeError:
            if started:
                raise
            await self._refuse(scope, send, most)

    async def _refuse(self, scope: Scope, send: Send, most: int) -> None:
        error = TooLargeError(_too_large(most))
        body = orjson.dumps(problem_body(error, scope["path"], scope.get("state", {}).get("request_id", "")))
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _too_large(most: int) -> str:
    return f"A body has at most {most} bytes."


class _JsonRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = parse_json(await self.body())
        return self._json


def parse_json(body: bytes) -> Any:
    """Strict JSON (RFC 8259): no NaN, no lone surrogates; NUL characters are refused, big integers kept.

    Raises:
        BadRequestError: not JSON, or nested too deeply.
        InvalidError: JSON that holds a NUL character, with its place.
    """
    try:
        value = exact.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    if body.count(b"[") + body.count(b"{") > _DEPTH_MAX:
        _refuse_depth(value)
    if _NUL in body:
        _refuse_nul(value, "")
    return value


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEPTH_MAX):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return
        level = inner
    if any(isinstance(item, (dict, list)) for item in level):
        raise BadRequestError(f"The body is nested more than {_DEPTH_MAX} levels deep.")


def _refuse_nul(value: Any, pointer: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidError([FieldError(pointer, "must not hold the character NUL (\\u0000)")])
    elif isinstance(value, dict):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            _refuse_nul(key, pointer)
            _refuse_nul(item, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for index, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
            _refuse_nul(item, f"{pointer}/{index}")


class ApiRoute(APIRoute):
    """A route that parses strictly, and honours `Idempotency-Key` on POST.

    Of an application whose `state.authenticate` refuses those whom nobody knows.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler FastAPI calls."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            request = _JsonRequest(request.scope, request.receive)
            _refuse_nul_in_address(request)
            if request.method in ("POST", "PUT", "PATCH") and await request.body():
                _require_json(request)
                # Parsed here, because FastAPI replaces what the parser says by a sentence of its own.
                await request.json()
            key = request.headers.get("idempotency-key")
            if key is None or request.method != "POST":
                return await inner(request)
            return await _once(request, key, inner)

        return handle


def _refuse_nul_in_address(request: Request) -> None:
    # It is in no id or name of ours, and Postgres fails on it.
    if "\0" in request.scope["path"]:
        raise BadRequestError("An address must not hold the character NUL.")
    if b"%00" in request.scope["query_string"]:
        found = [name for name, value in request.query_params.multi_items() if "\0" in value]
        if found:
            raise InvalidError([FieldError(f"/{name}", "must not hold the character NUL") for name in found])


def _require_json(request: Request) -> None:
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if given != "application/json" and not (given.startswith("application/") and given.endswith("+json")):
        raise ProblemError("Send the body as 'Content-Type: application/json'.", 415, "Unsupported media type")


async def _once(request: Request, key: str, inner: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    try:
        # Before an old answer is given: the key may have been revoked since.
        await request.app.state.authenticate(request)
    except ProblemError:
        return await inner(request)  # says the same, or is for anybody
    rt = current()
    caller = request.headers.get("authorization") or request.headers.get("cookie") or ""
    state = await idempotency.begin(rt, caller=caller, route=request.url.path, key=key, body=await request.body())
    if isinstance(state, idempotency.Replayed):
        headers = {"Idempotent-Replayed": "true"}
        return Response(state.body, state.status, headers, "application/json")
    try:
        response = await inner(request)
    except BaseException:
        await idempotency.forget(rt, state)
        raise
    if 200 <= response.status_code < 300:
        await idempotency.keep(rt, state, response.status_code, bytes(response.body))
    else:
        await idempotency.forget(rt, state)
    return response
