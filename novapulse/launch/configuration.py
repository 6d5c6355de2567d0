"""Reading the settings, and saying which one is wrong by the name people set it by."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

from pydantic import SecretStr, ValidationError

from novapulse.launch.errors import StartError
from novapulse.settings import Settings

_PREFIX = "NOVAPULSE_"
# Read by the command line for itself, or set by it for its children.
_OTHER_NAMES = {"NOVAPULSE_API_KEY", "NOVAPULSE_SUPERVISED", "NOVAPULSE_GATE_FD", "NOVAPULSE_READY_FD"}


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        StartError: one of them cannot be used; all of these are named.
    """
    try:
        return Settings()  # pyright: ignore[reportCallIssue] - the values come from the environment
    except ValidationError as error:
        faults = [_fault(entry["loc"], entry["msg"], entry["input"]) for entry in error.errors(include_url=False)]
        raise StartError("; ".join(faults) + ".", "Correct this setting in the environment.") from None


def _fault(location: tuple[int | str, ...], message: str, value: object) -> str:
    field = str(location[0]) if location else ""
    name = _PREFIX + field.upper()
    message = message.removeprefix("Value error, ")
    known = Settings.model_fields.get(field)
    secret = known is not None and known.annotation is SecretStr
    return f"{name} cannot be used: {message}" + ("" if secret else f" (it is {str(value)[:80]!r})")


def unknown_settings(names: Iterable[str] | None = None) -> list[str]:
    """A line for each `NOVAPULSE_*` variable that nothing reads, with the name that may have been meant."""
    known = {_PREFIX + field.upper() for field in Settings.model_fields} | _OTHER_NAMES
    lines: list[str] = []
    for name in sorted(os.environ if names is None else names):
        if name.startswith(_PREFIX) and name not in known:
            meant = difflib.get_close_matches(name, known, n=1)
            lines.append(f"{name} is no setting of NovaPulse" + (f"; did you mean {meant[0]}?" if meant else ""))
    return lines
