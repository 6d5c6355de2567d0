"""`http.request`: a call to somebody's URL, now, later or by a schedule. Through the outbound guard, as deliveries."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from novapulse.core import exact, trace
from novapulse.core.actor import Permission
from novapulse.core.runtime import Runtime
from novapulse.core.version import VERSION
from novapulse.jobs.tasks import GiveUp, JobContext, RetryLater, task
from novapulse.webhooks.guard import URL_MAX, Guard, RefusedDestinationError, parse_target
from novapulse.webhooks.outcome import ErrorCode
from novapulse.webhooks.schemas import Headers, is_credential
from novapulse.webhooks.sender import Sender

_BODY_KEPT = 4_000  # characters of the answer, in the result
_AGAIN = frozenset({408, 425, 429})  # of 4xx: said to be worth another try
_LASTING = frozenset({ErrorCode.REFUSED_DESTINATION, ErrorCode.REDIRECT, ErrorCode.TOO_LARGE})


def _valid_url(url: str) -> str:
    try:
        parse_target(url)
    except RefusedDestinationError as error:
        raise ValueError(str(error)) from None
    return url


def _without_credentials(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if is_credential(name):
            raise ValueError(f"'{name}' looks like a credential, and a payload is not secret; a workflow has secrets")
    return headers


class HttpRequest(BaseModel):
    """What is to be called."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, StringConstraints(min_length=1, max_length=URL_MAX), AfterValidator(_valid_url)]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: Annotated[Headers, AfterValidator(_without_credentials)] = Field(default_factory=dict)
    json_body: Any = Field(None, description="Sent as JSON; null: no body.")
    timeout_s: Annotated[float, Field(ge=1, le=120)] = 30


class _Out:
    """The HTTP client of this process's jobs. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        guard = Guard(rt.settings.allow_private_networks, rt.settings.allowed_ports)
        self.sender = Sender(guard, user_agent=f"NovaPulse/{VERSION}")


@task(
    "http.request",
    queue="workflow",
    payload=HttpRequest,
    max_attempts=5,
    timeout_s=150,
    api=True,
    # As the step `http` of a workflow: to have NovaPulse call a URL of one's choice is what a webhook is.
    needs=(Permission.WEBHOOKS_WRITE,),
)
async def http_request(job: JobContext, payload: HttpRequest) -> dict[str, Any]:
    """Calls a URL; any answer but 2xx is a failure. The header Idempotency-Key is the job's id at each attempt."""
    headers = {name.lower(): value for name, value in payload.headers.items()} | {
        "idempotency-key": job.id,
        "traceparent": trace.traceparent(trace.here()),
    }
    body = b""
    if payload.json_body is not None:
        headers["content-type"] = "application/json"
        body = exact.dumps(payload.json_body).encode()
    sender = job.rt.part(_Out).sender
    outcome = await sender.post(payload.url, body, headers, payload.timeout_s, method=payload.method)
    if outcome.ok:
        return {
            "status": outcome.status_code,
            "content_type": outcome.response_headers.get("content-type"),
            "body": outcome.response_body[:_BODY_KEPT],
            "duration_ms": round(outcome.duration_ms, 1),
        }
    if outcome.response_body:
        await job.log(f"It said: {outcome.response_body[:_BODY_KEPT]}")
    why = outcome.error_detail or str(outcome.error)
    status = outcome.status_code or 0
    if outcome.error in _LASTING or (400 <= status < 500 and status not in _AGAIN):
        raise GiveUp(why)
    raise RetryLater(why, outcome.retry_after_s)
