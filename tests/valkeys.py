"""Several Valkey servers that look after each other: under Sentinels, or as a Cluster."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from novapulse.core.valkey import PREFIX
from novapulse.launch.valkey import binary_path
from tests.instance import free_port

_DOWN_MS = 1_000  # after which a silent server counts as lost


@dataclass
class Servers:
    """Those that run, by port, and the URL under which NovaPulse finds the right one."""

    url: str
    processes: dict[int, subprocess.Popen[bytes]]
    owner: Callable[[], int]

    def kill_owner(self) -> int:
        """Kill the one that has our keys; its port."""
        port = self.owner()
        self.processes[port].kill()
        self.processes[port].wait()
        return port


def _server(folder: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    place = folder / str(port)
    place.mkdir()
    command = [str(binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), "--save", ""]
    return subprocess.Popen([*command, "--logfile", str(place / "log"), *options])


def until(check: Callable[[], object], what: str, timeout_s: float = 30) -> None:
    """Wait until `check()` is true; a server that does not answer yet counts as not."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with contextlib.suppress(RedisError, OSError):
            if check():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {what}")


@contextmanager
def sentinels(folder: Path) -> Iterator[Servers]:
    """A primary and a replica, with three Sentinels that agree on who is which."""
    primary, replica, *watching = (free_port() for _ in range(5))
    processes = {
        primary: _server(folder, primary, "--appendonly", "yes"),
        replica: _server(folder, replica, "--appendonly", "yes", "--replicaof", f"127.0.0.1 {primary}"),
    }
    for port in watching:
        (folder / str(port)).mkdir()
        file = folder / str(port) / "sentinel.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder / str(port)}\nlogfile {folder / str(port) / 'log'}\n"
            f"sentinel monitor events 127.0.0.1 {primary} 2\nsentinel down-after-milliseconds events {_DOWN_MS}\n"
            "sentinel failover-timeout events 3000\n"
        )
        processes[port] = subprocess.Popen([str(binary_path()), str(file), "--sentinel"])
    asked = Redis(port=watching[0], decode_responses=True)

    def ready() -> bool:
        state = asked.sentinel_master("events")
        return state["num-slaves"] == 1 and state["num-other-sentinels"] == 2 and state["flags"] == "master"

    try:
        until(ready, "the Sentinels know each other")
        hosts = ",".join(f"127.0.0.1:{port}" for port in watching)
        yield Servers(
            f"redis+sentinel://{hosts}/events",
            processes,
            lambda: int(asked.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "events")[1]),
        )
    finally:
        _end(processes)


@contextmanager
def cluster(folder: Path) -> Iterator[Servers]:
    """A Cluster of three primaries, with a replica for each."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(_DOWN_MS), "--appendonly", "yes")
    ports = [free_port() for _ in range(6)]
    processes = {port: _server(folder, port, *options, "--cluster-port", str(free_port())) for port in ports}
    nodes = [Redis(port=port, decode_responses=True) for port in ports]
    buses = [process.args for process in processes.values()]
    try:
        until(lambda: all(node.ping() for node in nodes), "all answer")
        for at, (first, last) in enumerate(((0, 5460), (5461, 10922), (10923, 16383))):
            nodes[at].execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        for port, command in zip(ports[1:], buses[1:], strict=True):
            assert isinstance(command, list)
            nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", port, command[-1])
        until(lambda: all(_known(node) == 6 for node in nodes), "they know each other")
        ids = [node.execute_command("CLUSTER MYID") for node in nodes]
        for at in range(3):
            nodes[3 + at].execute_command("CLUSTER REPLICATE", ids[at])
        until(lambda: all(_state(node) == "ok" for node in nodes), "it is whole")
        until(lambda: all(node.info("replication")["master_link_status"] == "up" for node in nodes[3:]), "copies are")

        def owner() -> int:
            for node in nodes:
                with contextlib.suppress(RedisError, OSError):
                    slot = node.execute_command("CLUSTER KEYSLOT", PREFIX)
                    for first, last, primary, *_ in node.execute_command("CLUSTER SLOTS"):
                        if first <= slot <= last:
                            return int(primary[1])
            raise RedisError("nobody answers")

        # One that has not our keys is asked first: it has to tell of the one that has.
        other = next(port for port in ports if port != owner())
        yield Servers(f"redis+cluster://127.0.0.1:{other},127.0.0.1:{ports[-1]}", processes, owner)
    finally:
        _end(processes)


def _state(node: Redis) -> str:
    return node.execute_command("CLUSTER INFO")["cluster_state"]


def _known(node: Redis) -> int:
    return len(node.execute_command("CLUSTER NODES"))


def _end(processes: dict[int, subprocess.Popen[bytes]]) -> None:
    for process in processes.values():
        process.kill()
        process.wait()
