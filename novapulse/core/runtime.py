"""What a process has once it is started: settings, database, Valkey, keyring, and a way to enqueue.

Each process builds one `Runtime`. Services take it as their first argument; Reflex states, which
nobody calls with arguments of ours, get it from `current()`.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from redis.asyncio import Redis

from novapulse.core.crypto import Keyring, load_keyring
from novapulse.core.database import Database
from novapulse.core.valkey import connect
from novapulse.settings import Settings

T = TypeVar("T")


class Enqueue(Protocol):
    """Puts work on a queue. `worker.broker` implements it; features only know this shape."""

    async def __call__(self, queue: str, task: str, batches: Sequence[Sequence[str]]) -> None:
        """Enqueue one job per batch of ids, in one round trip.

        Raises:
            redis.exceptions.RedisError: Valkey is away; what is owed stays in the database.
        """
        ...


@runtime_checkable
class Closing(Protocol):
    """A part that has something to give back."""

    async def close(self) -> None:
        """Give it back."""
        ...


@dataclass(slots=True)
class Runtime:
    """The resources of one process."""

    settings: Settings
    database: Database
    valkey: Redis
    keyring: Keyring
    enqueue: Enqueue
    _parts: dict[type, object] = field(default_factory=dict[type, object], init=False)

    def part(self, kind: type[T]) -> T:
        """The one object of this kind that belongs to this runtime, made when first asked for as `kind(runtime)`."""
        found = self._parts.get(kind)
        if found is None:
            found = self._parts[kind] = kind(self)  # pyright: ignore[reportCallIssue] - the convention of parts
        return found  # pyright: ignore[reportReturnType]

    async def close(self) -> None:
        """Give everything back; parts that hold something have an asynchronous `close`."""
        for part in list(self._parts.values()):
            if isinstance(part, Closing):
                await part.close()
        await self.valkey.aclose()
        await self.database.close()


_current: Runtime | None = None


def open_runtime(settings: Settings, enqueue: Enqueue) -> Runtime:
    """Build the runtime of this process and make it the current one. Connects lazily."""
    global _current  # noqa: PLW0603 - one per process, set once at start
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    _current = Runtime(
        settings=settings,
        database=Database(settings.database),
        valkey=connect_valkey(settings.valkey),
        keyring=load_keyring(settings.secret_key.get_secret_value(), settings.data_dir),
        enqueue=enqueue,
    )
    return _current


def connect_valkey(url: str) -> Redis:
    """A client that notices a dead connection and gives up after seconds, not minutes."""
    return connect(url, decode_responses=True, socket_timeout=10, socket_connect_timeout=3, health_check_interval=15)


def current() -> Runtime:
    """The runtime of this process.

    Raises:
        RuntimeError: the process has not been started.
    """
    if _current is None:
        raise RuntimeError("NovaPulse has not been started in this process")
    return _current
