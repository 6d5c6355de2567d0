"""Connections to Valkey or Redis: to one server, to the primary that Sentinels name, or to a Cluster.

All keys carry one hash tag, so a Cluster keeps them in one slot, and scripts and transactions over several keys work as
they do with one server. An ordinary client talks to the node that owns this slot; which one that is, is asked whenever
a connection is made, and again when the node says that it is another. A Cluster thus makes NovaPulse survive the loss
of a node, not faster: what is heavy is in the database.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

PREFIX = "{np}:"  # of every key
_SLOT = key_slot(PREFIX.encode())
_MANY = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://(?P<user>[^@/]*@)?(?P<hosts>[^@/?]+)"
    r"(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?"
)
_ONCE = Retry(NoBackoff(), 0)  # there are other nodes to ask
_PORTS = {"sentinel": 26379, "cluster": 6379}
_SENTINEL = "sentinel_"  # parameters of the URL that are for the Sentinels, and not for the servers they name


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL says."""

    kind: str  # "server", "sentinel" or "cluster"
    url: str  # of one server, with all that is needed to sign in
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""  # the name of the primary, for Sentinels
    sentinel: dict[str, str] = field(default_factory=dict[str, str])  # how to sign in to them


def parse(url: str) -> Place:
    """Read `redis://`, `rediss://`, `unix://`, `redis+sentinel://a,b,c/name` or `redis+cluster://a,b,c`.

    Raises:
        ValueError: it is none of these.
    """
    if "+" not in url.partition("://")[0]:
        parse_url(url)  # raises
        return Place("server", url)
    found = _MANY.fullmatch(url)
    if found is None:
        raise ValueError(
            "it looks like redis+sentinel://one:26379,two:26379/primary or redis+cluster://one:6379,two:6379"
        )
    kind = found["kind"]
    hosts = tuple(_host(part, _PORTS[kind]) for part in found["hosts"].split(",") if part)
    service, _, database = (found["path"] or "").partition("/") if kind == "sentinel" else ("", "", found["path"] or "")
    if kind == "sentinel" and not service:
        raise ValueError(
            "the name that the Sentinels have for the primary is missing: redis+sentinel://host:26379/name"
        )
    if kind == "cluster" and database not in ("", "0"):
        raise ValueError("a Cluster has database 0 only")
    query = parse_qsl(found["query"] or "")
    own = {name.removeprefix(_SENTINEL): value for name, value in query if name.startswith(_SENTINEL)}
    rest = urlencode([(name, value) for name, value in query if not name.startswith(_SENTINEL)])
    user = found["user"] or ""
    server = f"{found['scheme']}://{user}{hosts[0][0]}:{hosts[0][1]}/{database}{'?' if rest else ''}{rest}"
    parse_url(server)
    return Place(kind, server, hosts, service, own)


def _host(part: str, port: int) -> tuple[str, int]:
    name, colon, number = part.rpartition(":")
    if not colon or (part.startswith("[") and part.endswith("]")):
        return part.strip("[]"), port
    if not number.isdecimal():
        raise ValueError(f"{part} is no host and port")
    return name.strip("[]"), int(number)


def connect(url: str, **options: Any) -> Redis:
    """A client for what the URL names; connects when it is first used. `options` as of `Redis.from_url`.

    Raises:
        ValueError: it is no such URL.
    """
    return Redis.from_pool(make_pool(url, **options))


def make_pool(url: str, **options: Any) -> ConnectionPool:
    """The same as a pool of connections, for those who make their client themselves."""
    place = parse(url)
    if place.kind == "server":
        return ConnectionPool.from_url(url, **options)
    known: dict[str, Any] = dict(parse_url(place.url)) | options
    secure = known.pop("connection_class", None) is SSLConnection
    for name in ("host", "port"):
        known.pop(name, None)
    limits = {name: known[name] for name in ("socket_timeout", "socket_connect_timeout") if name in known}
    if place.kind == "sentinel":
        sentinels = Sentinel(place.hosts, sentinel_kwargs={**limits, **place.sentinel, "ssl": secure})
        return SentinelConnectionPool(place.service, sentinels, ssl=secure, **known)
    sign_in = {name: known[name] for name in ("username", "password") if name in known}
    owner = _Owner(place.hosts, {**limits, **sign_in, "ssl": secure})
    kind = _SecureOwnerConnection if secure else _OwnerConnection
    return ConnectionPool(connection_class=kind, owner=owner, **known)


class _Owner:
    """Which node of a Cluster has our keys."""

    def __init__(self, seeds: tuple[tuple[str, int], ...], options: dict[str, Any]) -> None:
        self._seeds = seeds
        self._options = options
        self._others: list[tuple[str, int]] = []  # nodes that were seen
        self._told: tuple[str, int] | None = None

    def moved(self, host: str, port: int) -> None:
        """A node has said that it is this one."""
        self._told = (host, port)

    async def find(self) -> tuple[str, int]:
        """The address of the node.

        Raises:
            redis.exceptions.ConnectionError: no node can be asked, or none has our keys at the moment.
        """
        if self._told is not None:
            told, self._told = self._told, None
            return told
        for host, port in dict.fromkeys([*self._others, *self._seeds]):
            client: Any = Redis(host=host, port=port, retry=_ONCE, decode_responses=True, **self._options)
            try:
                slots: list[Any] = await client.execute_command("CLUSTER SLOTS")
            except (RedisError, OSError, TimeoutError):
                continue
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            self._others = [(node[0] or host, node[1]) for _first, _last, *nodes in slots for node in nodes]
            for first, last, primary, *_replicas in slots:
                if first <= _SLOT <= last:
                    return primary[0] or host, primary[1]
        raise RedisConnectionError("No node of the Cluster can be asked, or none has our keys at the moment.")


class _OwnerConnection(Connection):
    """A connection to the node that has our keys."""

    def __init__(self, *, owner: _Owner, **options: Any) -> None:
        self._owner = owner
        super().__init__(**options)

    async def _connect(self) -> None:
        self.host, self.port = await self._owner.find()
        await super()._connect()

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """As of any connection; but one to a node that has our keys no longer is closed, to be made to another."""
        try:
            return await super().read_response(*args, **options)
        except (AskError, ClusterDownError, TryAgainError) as error:
            if isinstance(error, MovedError):
                self._owner.moved(error.host, error.port)
            await self.disconnect()
            raise RedisConnectionError(f"The Cluster's node does not have our keys now: {error}") from error


class _SecureOwnerConnection(_OwnerConnection, SSLConnection):
    """The same with TLS."""
