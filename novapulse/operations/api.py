"""`/health`, `/version` and the API's own documentation."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from swagger_ui_bundle import swagger_ui_path

from novapulse.core.errors import ForbiddenError, NotFoundError, UnauthorizedError
from novapulse.core.health import Check, Health
from novapulse.core.http import ApiRoute
from novapulse.core.lifecycle import Lifecycle
from novapulse.core.runtime import Runtime, current
from novapulse.core.version import VERSION
from novapulse.operations.mail_check import MailCheck
from novapulse.security.authenticate import current_actor, ip_of
from novapulse.security.policy import anybody

router = APIRouter(route_class=ApiRoute, dependencies=[anybody()])
Rt = Annotated[Runtime, Depends(current)]

_NEEDED = {"database", "migrations"}  # without these a web process answers nothing; without the rest it takes events in
_DOCS_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js")
_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>NovaPulse API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/login/logo.svg"><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>"""
_START = 'SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true });\n'


@router.get("/health", tags=["Operations"], responses={503: {"description": "At least one check failed."}})
async def health(rt: Rt, request: Request, response: Response) -> dict[str, Any]:
    """All checks: 200 if none failed, else 503. Who is known, or on this machine, gets details."""
    rt.part(MailCheck)
    checks = await rt.part(Health).checks()
    return _report(rt, response, checks, all(check.ok for check in checks), details=await _is_known(request))


@router.get("/health/live", tags=["Operations"])
async def live() -> dict[str, str]:
    """Whether this process answers at all."""
    return {"status": "ok"}


@router.get("/health/ready", tags=["Operations"], responses={503: {"description": "Send no requests here now."}})
async def ready(rt: Rt, response: Response) -> dict[str, Any]:
    """Whether this process takes requests: not while it starts or stops, nor without its database."""
    checks = await rt.part(Health).checks(_NEEDED)
    good = rt.part(Lifecycle).state == "ready" and all(check.ok for check in checks)
    return _report(rt, response, checks, good)


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


def _report(
    rt: Runtime, response: Response, checks: Sequence[Check], good: bool, *, details: bool = False
) -> dict[str, Any]:
    response.status_code = 200 if good else 503
    response.headers["Cache-Control"] = "no-store"
    fair = all(check.status == "ok" for check in checks)
    return {
        "status": "failing" if not good else "ok" if fair else "degraded",
        "state": rt.part(Lifecycle).state,
        "version": VERSION,
        "checks": {check.name: check.as_dict(details=details) for check in checks},
    }


async def _is_known(request: Request) -> bool:
    try:
        if ip_address(ip_of(request)).is_loopback:
            return True
    except ValueError:
        pass
    try:
        await current_actor(request)
    except (UnauthorizedError, ForbiddenError):
        return False
    return True
