"""Design tokens: colour, type and radius come from here and from `assets/novapulse.css`, and nowhere else."""

from __future__ import annotations

import reflex as rx

STYLESHEETS = ["/novapulse.css", "/security.css", "/jobs.css", "/workflows.css"]
ACCENT = "indigo"

# Status -> Radix colour and lucide icon; the word is always shown as well.
TONES: dict[str, tuple[str, str]] = {
    "active": ("green", "circle-check"),
    "paused": ("amber", "circle-pause"),
    "disabled": ("red", "circle-off"),
    "healthy": ("green", "heart-pulse"),
    "degraded": ("amber", "triangle-alert"),
    "failing": ("red", "octagon-alert"),
    "idle": ("gray", "moon"),
    "pending": ("gray", "clock"),
    "sending": ("blue", "send"),
    "delivered": ("green", "circle-check"),
    "queued": ("gray", "clock"),
    "making": ("blue", "loader"),
    "ready": ("green", "circle-check"),
    "expired": ("gray", "archive-x"),
    "retrying": ("amber", "rotate-cw"),
    "failed": ("red", "circle-x"),
    "running": ("blue", "loader-circle"),
    "waiting": ("amber", "clock"),
    "completed": ("green", "circle-check"),
    "skipped": ("gray", "skip-forward"),
    "cancelled": ("gray", "ban"),
    "stalled": ("red", "octagon-alert"),
    "down": ("red", "circle-off"),
    "ok": ("gray", "check"),
    "denied": ("amber", "hand"),
    "sent": ("green", "circle-check"),
    "kept": ("amber", "inbox"),
    "unknown": ("gray", "circle-help"),
}


def theme() -> rx.Component:
    """Radix's theme, following the system's light or dark."""
    return rx.theme(accent_color=ACCENT, gray_color="slate", radius="medium", appearance="inherit", has_background=True)
