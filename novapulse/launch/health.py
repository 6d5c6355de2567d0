"""Asking a running NovaPulse whether it is healthy, with the standard library alone."""

from __future__ import annotations

import http.client

_TIMEOUT_S = 3.0


def is_healthy(host: str, port: int) -> bool:
    """Whether `GET /api/v1/health` answers 200: database, Valkey and workers are all there."""
    connection = http.client.HTTPConnection(loopback(host), port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/api/v1/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def loopback(host: str) -> str:
    """The address to reach a server that listens on `host` from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104
