"""Reflex's configuration, for building the frontend and for serving it."""

from __future__ import annotations

import reflex as rx
from reflex.constants import StateManagerMode

from novapulse.settings import Settings


def make_config(settings: Settings) -> rx.Config:
    """The configuration under these settings; only what concerns the frontend is baked into it."""
    return rx.Config(
        app_name="novapulse",
        # Addresses in the compiled frontend are replaced by the page's own (see `launch.addresses`).
        api_url="http://localhost:8000",
        backend_host=settings.host,
        backend_port=settings.port,
        trusted_proxy_hops=settings.trusted_proxy_hops,
        cors_allowed_origins=list(dict.fromkeys([settings.base_url, *settings.allowed_origins])),
        telemetry_enabled=False,
        show_built_with_reflex=False,
        # State belongs to one socket of one process and is made anew after a restart: nothing is pickled to a store.
        state_manager_mode=StateManagerMode.MEMORY,
        transport="websocket",
        plugins=[rx.plugins.RadixThemesPlugin()],
        disable_plugins=[rx.plugins.SitemapPlugin],
    )


def __getattr__(name: str) -> rx.Config:
    # Only `rxconfig.py` asks for it, and only then are the settings read.
    if name == "config":
        return make_config(Settings())  # pyright: ignore[reportCallIssue]
    raise AttributeError(name)
