"""What every API call goes through: a request id, a limit on the body, strict JSON, idempotency keys."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from novapulse.core import exact, idempotency, trace, tracing
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
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = ("/health", "/_health", "/ping", "/metrics")
_DEPTH_MAX = 100  # what reads JSON later gives up at some 250 levels


def answer_with(request: Request, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Have the answer to a request carry these header fields, whatever it is: an error too."""
    request.scope.setdefault("state", {})["answer_fields"] = fields


def answer_fields(request: Request) -> Iterable[tuple[bytes, bytes]]:
    """What `answer_with` was told for this request; whoever takes it puts it into the answer."""
    return request.scope.get("state", {}).pop("answer_fields", ())


@dataclass(slots=True)
class Call:
    """A request that was answered, or broke off."""

    method: str
    path: str
    route: str | None  # the template of the address, if it is one of the API's
    status: int
    sent_bytes: int  # of the answer's body
    seconds: float
    state: Mapping[str, Any]  # what was found out about it, such as who asked
    scope: Scope

    @property
    def quiet(self) -> bool:
        """Whether it is of a kind that says nothing as long as it goes well: a file of the pages, or a probe."""
        return is_quiet(self.path)


def is_quiet(path: str) -> bool:
    """Whether an address is that of a file of the pages, or of a probe."""
    return "." in path.rpartition("/")[2] or path.endswith(_PROBES) or path.startswith("/api/v1/health/")


class RequestId:
    """Gives every request an id, the caller's if it is sane, and its place in a trace; logs are under both.

    What `answer_with` was told goes into the answer as well. ASGI middleware; within another one of its kind it leaves
    to that what was done there.
    """

    def __init__(self, app: ASGIApp, told: Callable[[Call], None] | None = None) -> None:
        """`told` hears of each call once it is over."""
        self._app = app
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope.setdefault("state", {})
        routes: list[str] = scope.setdefault(ROUTE, [])

        async def send_with_route(message: Message) -> None:
            if message["type"] == "http.response.start":
                if isinstance(scope.get("route"), APIRoute) and not routes:
                    routes.append(scope.get("root_path", "") + scope["route"].path)
                message["headers"].extend(state.pop("answer_fields", ()))
            await send(message)

        if "request_id" in state:
            await self._app(scope, receive, send_with_route)
            return
        call = Call(scope["method"], scope["path"], None, 500, 0, 0.0, state, scope)
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        state["request_id"] = request_id = given if _SANE_ID.fullmatch(given) else new_id("req")
        place = trace.given(headers.get("traceparent", "")) or trace.new_place()
        span = None
        if tracing.active is not None and place.sampled and not call.quiet:
            span = tracing.Span("", "server", place)
            place = span.place
        trace.enter(place)
        began = time.perf_counter()

        async def send_with_ids(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                fields = MutableHeaders(scope=message)
                fields["x-request-id"], fields["x-trace-id"] = request_id, place.trace_id
            else:
                call.sent_bytes += len(message.get("body", b""))
            await send_with_route(message)

        error: str | None = None
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_ids)
            except BaseException as raised:
                error = type(raised).__qualname__
                raise
            finally:
                call.route, call.seconds = routes[0] if routes else None, time.perf_counter() - began
                if span is not None:
                    _end(span, call, request_id, error)
                if self._told is not None:
                    self._told(call)


def _end(span: tracing.Span, call: Call, request_id: str, error: str | None) -> None:
    method = call.method if call.method in _METHODS else "_OTHER"
    span.name = f"{method} {call.route}" if call.route else method
    span.attributes["http.request.method"] = method
    span.attributes["http.response.status_code"] = call.status
    span.attributes["url.scheme"] = call.scope.get("scheme", "http")
    span.attributes["novapulse.request.id"] = request_id
    if call.route:
        span.attributes["http.route"] = call.route
    span.end(error or (str(call.status) if call.status >= 500 else None))


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
