"""The process that makes one report: `python -m novapulse.reports.make`, its order on standard input.

A process of its own, so that webhooks keep their speed: it steps back for every other one, and what it took of memory
is given back with it. It ends when its standard input does: with whoever asked for the report.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from novapulse.core.database import Database
from novapulse.reports.content import Spec
from novapulse.reports.sources import source_of
from novapulse.reports.writers import writer_of

_NICE = 19  # a core that anybody else wants is theirs
_TELL_S = 0.5
_WRITING = 0.95  # what is left is summing up and closing the file

Tell = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made, from which database, and where."""

    database: str
    path: str
    title: str
    subtitle: str
    spec: Spec


@dataclass(frozen=True, slots=True)
class Made:
    """A report that is finished."""

    rows: int
    bytes: int
    peak_bytes: int  # of memory, of the whole process


async def make(order: Order, tell: Tell) -> Made:
    """Make the report; `tell` hears how far it is, from 0 to 1, and in words."""
    database = Database(order.database, pool_size=1)
    path = Path(order.path)
    rows = 0
    try:
        source = source_of(database, order.spec)
        writer = writer_of(order.spec.format, path, order.title, order.subtitle, source.columns)
        async for batch in source.batches():
            writer.add(batch.rows)
            rows += len(batch.rows)
            tell(batch.done * _WRITING, f"{rows:,} rows")
        tell(_WRITING, f"{rows:,} rows, closing the file")
        writer.finish(source.summary())
    finally:
        await database.close()
    return _made(rows, path)


def _made(rows: int, path: Path) -> Made:
    return Made(rows, path.stat().st_size, peak_bytes())


def peak_bytes() -> int:
    """The most memory that this process has had."""
    if sys.platform == "linux":
        # What the kernel tells by `getrusage` includes the process that was forked to make this one.
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _say(**words: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(words) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_input() -> None:
    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def main() -> int:
    """Entry point."""
    # Ctrl-C is for who asked; this process goes with it. In a session of its own, which would spare it the signal, its
    # priority would count for nothing: Linux shares cores out to sessions first (sched(7), autogroup).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(_NICE)
    os.umask(0o077)
    given = orjson.loads(sys.stdin.buffer.raw.readline())  # type: ignore[attr-defined] - unbuffered, for the thread
    _end_with_input()
    order = Order(**given | {"spec": Spec(**given["spec"])})
    said = 0.0

    def tell(done: float, text: str) -> None:
        nonlocal said
        if time.monotonic() - said > _TELL_S:
            said = time.monotonic()
            _say(done=round(done, 4), text=text)

    try:
        made = asyncio.run(make(order, tell))
    except Exception as error:
        import traceback

        traceback.print_exc()
        _say(error=f"{type(error).__name__}: {error}"[:500])
        return 1
    _say(**asdict(made))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the thread that watches must not hold the exit up
