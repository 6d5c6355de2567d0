"""Why NovaPulse did not start, in one line, and what to do about it."""

from __future__ import annotations


class StartError(Exception):
    """Something outside NovaPulse stands in the way; `remedy` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"
