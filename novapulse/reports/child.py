"""Running `make` as a child process: what it says while it works, and its end if nobody waits for it any more."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import orjson

from novapulse.reports.make import Made, Order, Tell

_LINE_MAX = 64 * 1024
_SAID_MAX = 4_000  # characters of what a child that failed has said


class ReportFailedError(Exception):
    """No report was made."""

    def __init__(self, why: str, said: str) -> None:
        super().__init__(why)
        self.said = said  # by the process, for its log


async def make_in_child(order: Order, tell: Tell) -> Made:
    """Make a report in a process of its own, which is killed if this is cancelled.

    Raises:
        ReportFailedError: it could not be made.
    """
    # What the child needs is in its order; keys and passwords are not its business.
    env = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "novapulse.reports.make",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_MAX,
        env=env,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    complaints = asyncio.create_task(_last_of(process.stderr))
    made: Made | None = None
    why = ""
    try:
        with suppress(ConnectionError):  # it has ended already; its code says why
            process.stdin.write(orjson.dumps(asdict(order)) + b"\n")
            await process.stdin.drain()
        async for line in process.stdout:
            said = orjson.loads(line)
            if "done" in said:
                tell(said["done"], said["text"])
            elif "error" in said:
                why = said["error"]
            else:
                made = Made(**said)
        code = await process.wait()
        if made is None:
            why = why or (f"The process was killed by signal {-code}." if code < 0 else f"It ended with code {code}.")
            raise ReportFailedError(why, (await complaints)[-_SAID_MAX:])
        return made
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        complaints.cancel()


async def _last_of(stream: asyncio.StreamReader) -> str:
    kept = b""
    while piece := await stream.read(4096):
        kept = (kept + piece)[-2 * _SAID_MAX :]
    return kept.decode(errors="replace")


def work_dir(reports_dir: Path, report_id: str) -> Path:
    """A folder for one attempt at a report: what is not finished never has the name of a report."""
    folder = reports_dir / f".{report_id}-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o700, parents=True)
    return folder
