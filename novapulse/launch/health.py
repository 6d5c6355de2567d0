"""Asking a running NovaPulse whether it is healthy, with the standard library alone."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe was told."""

    status: int  # of HTTP; 0: nobody answered
    words: str
    is_report: bool = False  # of a NovaPulse, not something else that listens there

    @property
    def good(self) -> bool:
        """Whether it is well."""
        return self.status == 200


def ask(host: str, port: int, path: str) -> Answer:
    """Ask what listens there how it is, and put the answer in words."""
    connection = http.client.HTTPConnection(loopback(host), port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return _read(response.status, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, f"does not answer at {loopback(host)}:{port} ({str(error) or type(error).__name__})")
    finally:
        connection.close()


def _read(status: int, body: bytes) -> Answer:
    try:
        report: dict[str, Any] = json.loads(body)
        told = report["status"]
    except (ValueError, KeyError, TypeError):
        return Answer(status, f"answers with HTTP {status} and no report")
    checks: dict[str, Any] = report.get("checks", {})
    faults = [f"{name}: {check['reason']}" for name, check in checks.items() if check.get("reason")]
    state = report.get("state", "ready")
    return Answer(status, "; ".join([str(told), *([] if state == "ready" else [state]), *faults]), is_report=True)


def is_healthy(host: str, port: int) -> bool:
    """Whether `GET /api/v1/health` answers 200: database, Valkey and workers are all there."""
    return ask(host, port, "/api/v1/health").good


def loopback(host: str) -> str:
    """The address to reach a server that listens on `host` from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
