"""The REST API: all routers under `/api/v1`, and the sign-in pages beside it."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Mount, Route

from novapulse.core import openapi
from novapulse.core.errors import ForbiddenError
from novapulse.core.http import BodyLimit, RequestId
from novapulse.core.problems import install
from novapulse.core.version import VERSION
from novapulse.jobs.api import router as jobs_router
from novapulse.jobs.schedules_api import router as schedules_router
from novapulse.jobs.stats_api import router as queues_router
from novapulse.mail.api import router as mail_router
from novapulse.metrics.api import router as metrics_router
from novapulse.operations.api import router as operations_router
from novapulse.reports.api import router as reports_router
from novapulse.security import pages
from novapulse.security.api import routers as security_routers
from novapulse.security.denials import answer_forbidden
from novapulse.security.policy import API_PREFIX, OPEN_PAGE, admit, open_page, policies_of
from novapulse.security.policy_map import declare_routes
from novapulse.settings import Settings
from novapulse.webhooks.api import router as webhooks_router
from novapulse.workflows.api import router as workflows_router

_DESCRIPTION = """Send events, manage webhooks, and see what became of each delivery.

Send an API key as `Authorization: Bearer np_live_...`. Errors are RFC 9457 problem documents."""

API_ROUTERS = (
    webhooks_router,
    jobs_router,
    queues_router,
    schedules_router,
    mail_router,
    reports_router,
    workflows_router,
    *security_routers,
    operations_router,
    metrics_router,
)


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
    policies = {(method, path): policy for method, path, policy in policies_of(API_ROUTERS)}
    for router in API_ROUTERS:
        api.include_router(router)
    install(api, lambda path: openapi.methods_at(API_ROUTERS, path))
    api.add_exception_handler(ForbiddenError, answer_forbidden)
    openapi.describe(api, API_ROUTERS, {route: policy.who for route, policy in policies.items()})
    api.state.authenticate = admit
    larger = {"/events/batch": settings.max_batch_bytes, "/emails": settings.max_mail_bytes}
    api.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, larger=larger)
    api.add_middleware(RequestId)
    declare_routes({(method, API_PREFIX + path): policy for (method, path), policy in policies.items()})
    declare_routes({("GET", page.path): OPEN_PAGE for page in pages.routes})
    declare_routes({("GET", "/metrics"): policies["GET", "/metrics"]})
    # The outer application has no documents and no routes of its own but these; Prometheus asks at the root.
    metrics = Route("/metrics", api, methods=["GET"])
    routes = [Mount(API_PREFIX, api), metrics, *(open_page(page) for page in pages.routes)]
    return FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=routes)
