"""The names of what the queues keep in Valkey. One hash slot per queue, so that scripts work on a cluster."""

from __future__ import annotations

QUEUES = ("email", "webhook", "workflow", "report")
GROUP = "workers"
WORKERS = "{np}:workers"  # sorted set: name -> end of its heartbeat (ms)
SCHEDULER = "{np}:scheduler"


def stream(queue: str) -> str:
    """The jobs of a queue."""
    return f"{{np}}:q:{{{queue}}}"


def counters(queue: str) -> str:
    """What was enqueued and acknowledged so far, counted in what jobs carry."""
    return f"{{np}}:q:{{{queue}}}:n"


def parked(queue: str) -> str:
    """Entries that nobody could work on, kept for people."""
    return f"{{np}}:q:{{{queue}}}:parked"


def worker(name: str) -> str:
    """The heartbeat of a worker."""
    return f"{{np}}:worker:{name}"
