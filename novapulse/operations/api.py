"""`/health`, `/version` and the API's own documentation."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import FileResponse, HTMLResponse
from swagger_ui_bundle import swagger_ui_path

from novapulse.core.errors import NotFoundError
from novapulse.core.health import Health
from novapulse.core.http import ApiRoute
from novapulse.core.runtime import Runtime, current
from novapulse.core.version import VERSION
from novapulse.security.policy import anybody

router = APIRouter(route_class=ApiRoute, dependencies=[anybody()])
Rt = Annotated[Runtime, Depends(current)]

_READY = {"database", "migrations"}  # without these a web process answers nothing; without the rest it takes events in
_DOCS_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js")
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>NovaPulse API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/login/logo.svg"><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>"""
_START = 'SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true });\n'


@router.get("/health", tags=["Operations"], responses={503: {"description": "At least one check failed."}})
async def health(rt: Rt, response: Response) -> dict[str, Any]:
    """All checks: 200 if every one is good, else 503."""
    return await _report(rt, response, None)


@router.get("/health/live", tags=["Operations"])
async def live() -> dict[str, str]:
    """Whether this process answers at all."""
    return {"status": "ok"}


@router.get("/health/ready", tags=["Operations"], responses={503: {"description": "Send no requests here yet."}})
async def ready(rt: Rt, response: Response) -> dict[str, Any]:
    """Whether this process can take requests."""
    return await _report(rt, response, _READY)


@router.get("/version", tags=["Operations"])
async def version() -> dict[str, str]:
    """The version of NovaPulse."""
    return {"name": "novapulse", "version": VERSION}


@router.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """Swagger UI, from files of our own."""
    return HTMLResponse(_DOCS)


@router.get("/docs/{name}", include_in_schema=False)
async def docs_file(name: str) -> Response:
    """A file of Swagger UI."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _DOCS_FILES:
        raise NotFoundError("file", name)
    return FileResponse(swagger_ui_path / name)


async def _report(rt: Runtime, response: Response, wanted: set[str] | None) -> dict[str, Any]:
    checks = [check for check in await rt.part(Health).checks() if wanted is None or check.name in wanted]
    good = all(check.ok for check in checks)
    response.status_code = 200 if good else 503
    response.headers["Cache-Control"] = "no-store"
    return {
        "status": "ok" if good else "failing",
        "version": VERSION,
        "checks": {
            check.name: {"ok": check.ok, "latency_ms": check.latency_ms, "reason": check.reason} for check in checks
        },
    }
