"""`GET /metrics`: for Prometheus, at the root of the server and under the API's own path."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse

from novapulse.core.actor import Actor, Permission
from novapulse.core.http import ApiRoute
from novapulse.core.runtime import Runtime, current
from novapulse.metrics.render import CONTENT_TYPE, render
from novapulse.security.policy import needs

router = APIRouter(route_class=ApiRoute)

_EXAMPLE = "# TYPE novapulse_ingest_deliveries_total counter\nnovapulse_ingest_deliveries_total 42\n"


@router.get(
    "/metrics",
    tags=["Operations"],
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": _EXAMPLE}}}},
    openapi_extra={"security": [{}]},  # nobody has to be known who calls from this machine
)
async def metrics(
    rt: Annotated[Runtime, Depends(current)], actor: Annotated[Actor, needs(Permission.METRICS, loopback=True)]
) -> Response:
    """Metrics in Prometheus' text format: for keys with the scope `metrics`, and for calls from this machine itself."""
    actor.require(Permission.METRICS)
    return Response(await render(rt), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})
