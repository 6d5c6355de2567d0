"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Literal["ok", "warning", "problem"]
    detail: str
    remedy: str = ""  # what to do

    @property
    def sound(self) -> bool:
        """Whether NovaPulse works with it."""
        return self.level != "problem"

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        first = f"{self.level:<7}  {self.subject}: {self.detail}"
        return f"{first}\n         -> {self.remedy}" if self.remedy else first


def ok(subject: str, detail: str) -> Finding:
    """All is well."""
    return Finding(subject, "ok", detail)


def warning(subject: str, detail: str, remedy: str) -> Finding:
    """It works, and will not always."""
    return Finding(subject, "warning", detail, remedy)


def problem(subject: str, detail: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(subject, "problem", detail, remedy)
