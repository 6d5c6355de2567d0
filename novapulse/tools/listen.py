"""`novapulse listen`: a receiver on this machine that verifies and prints what arrives."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime

from standardwebhooks import Webhook, WebhookVerificationError

from novapulse.launch.errors import StartError
from novapulse.tools.receiver import Reply, Request, start_server


async def listen(*, port: int, secret: str = "") -> None:
    """Receive on loopback until cancelled; with `secret`, say of each delivery whether its signature is right.

    Raises:
        StartError: the port is taken, or the secret is none.
    """
    try:
        verifier = Webhook(secret) if secret else None
    except (ValueError, RuntimeError) as error:
        raise StartError(f"This is not a webhook's secret: {error}.", "It starts with whsec_.") from error

    async def handle(request: Request) -> Reply:
        print(describe(request, verifier), flush=True)
        return Reply()

    try:
        server = await start_server("127.0.0.1", port, handle)
    except OSError as error:
        raise StartError(f"Port {port} cannot be had: {error.strerror}.", "Choose another by --port.") from error
    print(f"Listening at http://127.0.0.1:{port}/ - Ctrl-C stops it.", file=sys.stderr, flush=True)
    async with server:
        await asyncio.Event().wait()


def describe(request: Request, verifier: Webhook | None) -> str:
    """A delivery for people: when, what, whether it is genuine, and its body."""
    try:
        body = json.loads(request.body)
        type_, shown = body.get("type", "?"), json.dumps(body, indent=2, ensure_ascii=False)
    except (ValueError, AttributeError):
        type_, shown = "?", request.body.decode("utf-8", "replace")
    moment = datetime.now().astimezone().strftime("%H:%M:%S")
    id_ = request.headers.get("webhook-id", "no webhook-id")
    return f"{moment}  {request.method} {request.path}  {type_}  {id_}  {_verdict(request, verifier)}\n{shown}\n"


def _verdict(request: Request, verifier: Webhook | None) -> str:
    if verifier is None:
        return "not verified (no --secret)"
    try:
        verifier.verify(request.body, request.headers)
    except WebhookVerificationError as error:
        return f"NOT GENUINE: {error}"
    except ValueError:
        return "NOT GENUINE: the body is not JSON"
    return "verified"
