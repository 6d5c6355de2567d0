"""Where compiled Python code is kept. Without it, a start compiles every imported module again: 10 s and not 4."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

# A large dependency, imported by every process: if this one has been compiled, the others have been as well.
_WITNESS = "sqlalchemy"


def environment(data_dir: Path, current: Mapping[str, str]) -> dict[str, str]:
    """The environment for child processes: compiled code goes into the data folder where it cannot go elsewhere.

    Installers often leave compiling to the first import, which cannot keep its result when the installation belongs to
    another user, or when `PYTHONDONTWRITEBYTECODE` is set, as images of containers often do.
    """
    if "PYTHONPYCACHEPREFIX" in current or _is_compiled() or _will_be_compiled():
        return dict(current)
    kept = {name: value for name, value in current.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(data_dir / "pycache")}


def _witness() -> Path | None:
    spec = importlib.util.find_spec(_WITNESS)
    return Path(spec.origin) if spec and spec.origin else None


def _is_compiled() -> bool:
    source = _witness()
    return source is not None and Path(importlib.util.cache_from_source(str(source))).exists()


def _will_be_compiled() -> bool:
    source = _witness()
    return source is not None and not sys.dont_write_bytecode and os.access(source.parent, os.W_OK)
