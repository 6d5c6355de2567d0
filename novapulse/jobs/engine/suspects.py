"""Jobs whose worker died while they ran: which of them killed it, and which only happened to be there.

A death while nothing else ran tells who it was. A death of many together tells little, and all of them must run
elsewhere soon. So whom one death has hit runs again beside others. Whom a second one hits in company is isolated: of
those a process holds one at a time, so that it takes no other suspect with it. Dead is who is hit a second time with
nothing beside it, or a third time.
"""

from __future__ import annotations

from novapulse.core.runtime import Runtime

ISOLATED_FROM = 2  # deaths, from which on a job is isolated
DEAD_ALONE, DEAD_AT = 2, 3  # deaths that a job may have caused: with nothing beside it, and whatever there was


def is_poison(deaths: int, beside: int) -> bool:
    """Whether a job is not run by itself any more; `beside` are the jobs that its worker held as well when it died."""
    return deaths >= (DEAD_ALONE if beside == 0 else DEAD_AT)


class Isolation:
    """Which isolated job a process holds, whatever its queue. Made by `Runtime.part`; for the event loop only."""

    def __init__(self, _rt: Runtime) -> None:
        self._held: dict[str, str] = {}  # by the name of the process: tests have several within one

    def is_free(self, owner: str) -> bool:
        """Whether an isolated job may be claimed."""
        return owner not in self._held

    def enter(self, owner: str, job_id: str) -> bool:
        """Hold this one; False if another queue was faster."""
        return self._held.setdefault(owner, job_id) == job_id

    def leave(self, owner: str, job_id: str) -> bool:
        """Hold it no longer; whether it was the one."""
        if self._held.get(owner) != job_id:
            return False
        del self._held[owner]
        return True
