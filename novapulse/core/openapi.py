"""The OpenAPI document: what FastAPI writes, and what all calls have in common, which it cannot know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from novapulse.core.problems import MEDIA_TYPE

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "An error, after RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {
            "description": "What is wrong with which value; the pointer is a JSON pointer (RFC 6901) into the body.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body gives the first answer again for 24 hours; another body is 409.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_SCHEMES: dict[str, Any] = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, `np_live_...`."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "np_session",
        "description": "The browser's session; calls that change something need an `Origin` of ours. "
        "Under TLS its name is `__Host-np_session`.",
    },
}


def describe(api: FastAPI, routers: Sequence[APIRouter], callers: Mapping[tuple[str, str], str]) -> None:
    """Have the document of `api` tell of errors and credentials.

    `callers` says of each method and path who may call: an `actor` (user or key), a `session`, or `anybody`.
    """
    write = api.openapi

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            _complete(write(), routers, callers)
        assert api.openapi_schema is not None
        return api.openapi_schema

    api.openapi = openapi


def methods_at(routers: Sequence[APIRouter], path: str) -> list[str]:
    """The methods that an address takes."""
    fitting = [route for route in _routes(routers) if route.path_regex.match(path)]
    exact = [route for route in fitting if route.path == path]
    return sorted({method for route in exact or fitting for method in route.methods or ()})


def _complete(document: dict[str, Any], routers: Sequence[APIRouter], callers: Mapping[tuple[str, str], str]) -> None:
    components: dict[str, Any] = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["securitySchemes"] = _SCHEMES
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for route in _routes(routers):
        for method in (route.methods or ()) if route.include_in_schema else ():
            operation = document["paths"][route.path][method.lower()]
            who = callers[method, route.path]
            if who != "anybody":
                schemes = ("key", "session") if who == "actor" else ("session",)
                known = [{scheme: list[str]()} for scheme in schemes]
                operation["security"] = [*known, *operation.get("security", ())]
            if method == "POST" and who == "actor":
                operation.setdefault("parameters", []).append(_KEY_HEADER)
            operation["responses"] |= _problems(method, route.path, operation, known=who != "anybody")


def _problems(method: str, path: str, operation: dict[str, Any], *, known: bool) -> dict[str, Any]:
    found = {"default": "Any other error."}
    if known:
        found |= {"401": "No or bad credentials.", "403": "Not allowed."}
    if "{" in path:
        found["404"] = "There is none of this id that the caller may see."
    if method == "POST" and known:
        found["409"] = "A conflict with what is there, or with an earlier use of the Idempotency-Key."
    if "requestBody" in operation:
        found |= {"400": "Not JSON.", "413": "Too large.", "415": "Not sent as JSON."}
    if "requestBody" in operation or operation.get("parameters"):
        found["422"] = "Invalid; `errors` says what and where."
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": text, "content": content} for status, text in found.items()}


def _routes(routers: Sequence[APIRouter]) -> Iterator[APIRoute]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                yield route
