"""What of a payload is not for everybody who may see jobs."""

from __future__ import annotations

from typing import Any

from novapulse.webhooks.schemas import is_credential

MASK = "••••••"


def hide_credentials(value: Any) -> Any:
    """The same without what is named like a credential: a payload is seen by more people than wrote it."""
    if isinstance(value, dict):
        return {
            key: MASK if isinstance(inner, str) and inner and is_credential(str(key)) else hide_credentials(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [hide_credentials(inner) for inner in value]
    return value
