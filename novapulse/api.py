"""The REST API: all routers under `/api/v1`, and the sign-in pages beside it."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Mount

from novapulse.core import openapi
from novapulse.core.http import BodyLimit, RequestId
from novapulse.core.problems import install
from novapulse.core.version import VERSION
from novapulse.jobs.api import router as jobs_router
from novapulse.operations.api import router as operations_router
from novapulse.security import pages
from novapulse.security.api import router as security_router
from novapulse.security.authenticate import current_actor, current_session
from novapulse.settings import Settings
from novapulse.webhooks.api import router as webhooks_router

_DESCRIPTION = """Send events, manage webhooks, and see what became of each delivery.

Send an API key as `Authorization: Bearer np_live_...`. Errors are RFC 9457 problem documents."""


def make_api(settings: Settings) -> FastAPI:
    """The application that Reflex is mounted under: API, sign-in pages, and nothing else."""
    api = FastAPI(
        title="NovaPulse",
        version=VERSION,
        description=_DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": "/api/v1"}],
    )
    routers = (webhooks_router, jobs_router, security_router, operations_router)
    for router in routers:
        api.include_router(router)
    install(api, lambda path: openapi.methods_at(routers, path))
    openapi.describe(api, routers, by_key=current_actor, by_session=current_session)
    api.state.authenticate = current_actor
    larger = {"/events/batch": settings.max_batch_bytes}
    api.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, larger=larger)
    api.add_middleware(RequestId)
    # The outer application has no documents and no routes of its own but these.
    return FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=[Mount("/api/v1", api), *pages.routes])
