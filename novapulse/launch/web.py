"""The web process: compiled frontend, API and websocket from one port, in one process, without Node."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import structlog
from granian.constants import Interfaces
from granian.server.embed import Server

from novapulse.core.lifecycle import Lifecycle
from novapulse.core.runtime import current
from novapulse.launch.frontend import frontend_dir
from novapulse.launch.listening import let_nobody_in
from novapulse.launch.preflight import check_port
from novapulse.settings import Settings

_BACKLOG = 1024
_CONNECTIONS_MAX = 16_384  # Granian would stop at the backlog's number, and each open page holds one
_LAST_COMERS_S = 0.15  # several round trips of a data centre: who has begun to connect is let in

log = structlog.get_logger(__name__)


def load_app(settings: Settings) -> Any:
    """Import the Reflex app for serving: nothing is compiled, nothing is looked for in the current folder."""
    from novapulse.core import logging

    logging.configure(settings, "web")
    os.environ.update(
        {
            "REFLEX_ENV_MODE": "prod",
            "__REFLEX_SKIP_COMPILE": "true",
            "__REFLEX_MOUNT_FRONTEND_COMPILED_APP": "true",
            "REFLEX_WEB_WORKDIR": str(frontend_dir()),
            # Reflex empties this folder at its start; state is in memory, so it stays empty.
            "REFLEX_STATES_WORKDIR": str(settings.data_dir.resolve() / "reflex" / "states"),
            "REFLEX_DIR": str(settings.data_dir.resolve() / "reflex"),
            "REFLEX_BACKEND_ONLY": "true",  # or assets of components are linked into the current folder
            "REFLEX_TELEMETRY_ENABLED": "false",
            "REFLEX_CHECK_LATEST_VERSION": "false",
        }
    )
    import reflex_base.config

    from novapulse.launch.reflex_config import make_config

    # Reflex would import `rxconfig.py` from the current folder, which is the user's and has none, or somebody else's.
    reflex_base.config._get_config = lambda project_root=None: make_config(settings)  # noqa: ARG005
    from novapulse.novapulse import app

    # The gate (`security.gate`) decides which origins get a socket; a second list, one that cannot compare the origin
    # with the host that was called, would refuse some of them again.
    if app.sio is not None:
        app.sio.eio.cors_allowed_origins = []
    return app()


async def serve(app: Any, settings: Settings, stop: asyncio.Event) -> None:
    """Serve what `load_app` gave until `stop` is set.

    Raises:
        StartError: the port cannot be had.
    """
    check_port(settings.host, settings.port, shared="NOVAPULSE_SUPERVISED" in os.environ)
    server = Server(
        app,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        backlog=_BACKLOG,
        backpressure=_CONNECTIONS_MAX,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        await _leave(server, serving, settings)
    if serving.done():
        serving.result()


async def _leave(server: Server, serving: asyncio.Task[None], settings: Settings) -> None:
    """End without failing a request: say that it ends, serve on for a while, let nobody in, finish what was begun."""
    life = current().part(Lifecycle)
    life.drain()
    log.info("web_draining", seconds=settings.drain_s)
    await asyncio.wait({serving}, timeout=settings.drain_s)
    let_nobody_in(settings.port)
    await asyncio.wait({serving}, timeout=_LAST_COMERS_S)
    server.stop()
    deadline = time.monotonic() + settings.shutdown_timeout_s
    await life.close_sockets()
    await asyncio.wait({serving}, timeout=deadline - time.monotonic())
    log.info("web_stopped", finished=serving.done())
