"""Workers and schedulers as real processes on stores of their own, to be killed, stopped and robbed, and a ledger."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psutil
import redis
from sqlalchemy import text

from novapulse.core.runtime import Runtime, open_runtime
from novapulse.jobs.enqueue import NewJob, add_jobs_on, kick
from novapulse.launch import valkey
from novapulse.tasks import load_all_tasks
from tests.chaos.conftest import COUNTED_AND_FOUND, assert_counts_are_true, wait_until
from tests.chaos.tasks import CLOCK, LEDGER, TABLES
from tests.conftest import make_settings
from tests.instance import clean_environment
from worker.enqueue import make_enqueue

T = TypeVar("T")
TTL_S = 1.5
SLOTS = 8
MODULE = "tests.chaos.tasks"
# In a table of ours, by triggers: each time that a job comes to an end, or leaves it.
_ENDED = "('completed', 'dead', 'cancelled')"
_CAME_OR_WENT = f"OLD.state <> NEW.state AND (OLD.state IN {_ENDED} OR NEW.state IN {_ENDED})"
_NOTE = "INSERT INTO chaos_end VALUES (NEW.id, OLD.state, NEW.state)"
_TABLE = "CREATE TABLE chaos_end (job_id TEXT, was TEXT, state TEXT)"
_WATCH_LITE = (
    _TABLE,
    f"CREATE TRIGGER chaos_ended AFTER UPDATE OF state ON job WHEN {_CAME_OR_WENT} BEGIN {_NOTE}; END",
)
_WATCH_POSTGRES = (
    _TABLE,
    f"CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_NOTE}; RETURN NULL; END $$",
    f"CREATE TRIGGER chaos_ended AFTER UPDATE OF state ON job FOR EACH ROW WHEN ({_CAME_OR_WENT})"
    " EXECUTE FUNCTION chaos_note()",
)


class Part:
    """One process."""

    def __init__(self, kind: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.kind = kind
        self.pid = process.pid
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.wait(10)

    def end(self) -> int:
        """Ask it to end, and wait until it has; its exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(20)


class Ledger:
    """What jobs did: runs, and effects by their key."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=30, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.executescript(TABLES)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask it."""
        return self._connection.execute(query).fetchall()

    def runs(self) -> Counter[str]:
        """How often each job was begun."""
        return Counter(job for (job,) in self.rows("SELECT job FROM run"))

    def done(self) -> int:
        """How many side effects there are."""
        return self.rows("SELECT count(*) FROM effect")[0][0]

    def pids(self, job: str) -> list[int]:
        """The processes that began a job, in order."""
        return [pid for (pid,) in self.rows(f"SELECT pid FROM run WHERE job = '{job}' ORDER BY began")]

    def overlaps(self) -> list[tuple[str, int, int]]:
        """Runs of one job at the same time, in two processes."""
        return self.rows(
            "SELECT a.job, a.pid, b.pid FROM run AS a JOIN run AS b ON a.job = b.job AND a.rowid < b.rowid"
            " WHERE b.began < coalesce(a.ended, a.began)"
        )

    def clear(self) -> None:
        """Forget all of it."""
        self._connection.executescript("DELETE FROM run; DELETE FROM effect;")


class Fleet:
    """The processes, and the stores they work on."""

    def __init__(
        self,
        folder: Path,
        *,
        database: Path | None = None,
        database_url: str = "",
        queues: str = "workflow",
        **changes: str,
    ) -> None:
        """On a migrated database: a file to copy, or a URL. Workers work on `queues`; `changes` are of settings."""
        folder.mkdir()
        self.folder = folder
        if database is not None:
            shutil.copy(database, folder)
        self.socket = folder / "v.sock"
        self.ledger = Ledger(folder / "ledger.db")
        self._clock = folder / "clock"
        self.turn_clock(0)
        settings = {
            "data_dir": str(folder), "redis_url": f"unix://{self.socket}", "database_url": database_url,
            "task_modules": MODULE, "heartbeat_ttl_s": str(TTL_S), "shutdown_timeout_s": "4",
            "workflow_concurrency": str(SLOTS), "report_concurrency": "1",
        } | changes  # fmt: skip
        self._queues = queues
        self.environment = clean_environment(**settings) | {LEDGER: str(self.ledger.file), CLOCK: str(self._clock)}
        self.settings = make_settings(
            folder, redis_url=settings["redis_url"], database_url=database_url, task_modules=[MODULE]
        )
        self.parts: list[Part] = []
        self.start_valkey()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.rt = self.do(self._open())
        watch = _WATCH_LITE if self.is_sqlite else _WATCH_POSTGRES
        self.write(*watch)

    @property
    def is_sqlite(self) -> bool:
        return self.rt.database.is_sqlite

    # Work.

    def do(self, work: Awaitable[T]) -> T:
        """Have something done in this process, as a web process would."""

        async def waited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(waited(), self._loop).result(60)

    def add(self, count: int, task: str = "chaos.work", **payload: Any) -> list[str]:
        """Make jobs, as a service would; their ids."""
        return self.do(self.make([NewJob(task, payload) for _ in range(count)]))

    async def make(self, jobs: Sequence[NewJob]) -> list[str]:
        """Make these jobs."""
        ids = await self.rt.database.run_write(lambda connection: add_jobs_on(connection, jobs))
        await kick(self.rt, "report" if jobs[0].task == "chaos.narrow" else "workflow", ids)
        return ids

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        return self.do(self._rows(query))

    def write(self, *statements: str) -> None:
        """Change the database, behind everybody's back."""
        self.do(self._write(statements))

    def states(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return dict(self.rows("SELECT state, count(*) FROM job GROUP BY state"))  # type: ignore[arg-type]

    def holder(self, job: str) -> Part:
        """The worker that runs a job now."""
        wait_until(lambda: self._holders(job), 20, f"{job} is run")
        return self._holders(job)[0]

    def _holders(self, job: str) -> list[Part]:
        query = f"SELECT claimed_by FROM job WHERE id = '{job}' AND state = 'active'"
        return [part for (name,) in self.rows(query) for part in self.parts if f"-{part.pid}-" in name]

    # Processes.

    def start(self, kind: str, *options: str, **settings: str) -> Part:
        """Start a process; `started` waits for workers."""
        log = self.folder / f"{kind}-{len(self.parts)}-{time.monotonic_ns()}.log"
        environment = self.environment | {f"NOVAPULSE_{name.upper()}": value for name, value in settings.items()}
        with log.open("wb") as file:
            command = [sys.executable, "-m", "novapulse.cli", kind, *options]
            process = subprocess.Popen(command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        self.parts.append(Part(kind, process, log))
        return self.parts[-1]

    def worker(self, *, queues: str = "", **settings: str) -> Part:
        """Start a worker."""
        return self.start("worker", "--queues", queues or self._queues, **settings)

    def started(self, *parts: Part) -> None:
        """Wait until these work."""
        word = {"worker": "worker_started", "scheduler": "scheduler"}
        for part in parts:
            wait_until(lambda part=part: word[part.kind] in part.log, 30, f"{part.kind} started")

    def living(self, kind: str) -> list[Part]:
        """The processes of a kind that run."""
        return [part for part in self.parts if part.kind == kind and part.alive()]

    def leader(self) -> Part:
        """The scheduler that does the work, while no other was elected before."""
        wait_until(self._elected, 30, "a scheduler is elected")
        return self._elected()[-1]

    def _elected(self) -> list[Part]:
        return [part for part in self.living("scheduler") if "scheduler_elected" in part.log]

    def freeze(self, part: Part) -> None:
        """Stop a process as a debugger or a full host does, but not while it holds SQLite's lock: that stops all."""
        wait_until(lambda: self._frozen(part), 20, "it does not write")

    def _frozen(self, part: Part) -> bool:
        part.send(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(part.pid).status() == psutil.STATUS_STOPPED, 5, "stopped")
        if not self.is_sqlite:
            return True
        try:
            with contextlib.closing(sqlite3.connect(self.folder / "novapulse.db", timeout=0.3)) as other:
                other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            part.send(signal.SIGCONT)
            return False
        return True

    def man(self, *, workers: int = 2, schedulers: int = 2) -> None:
        """Start what is missing, end what is too much."""
        for kind, wanted in (("worker", workers), ("scheduler", schedulers)):
            living = self.living(kind)
            for part in living[wanted:]:
                part.kill()
            for _ in range(wanted - len(living)):
                self.worker() if kind == "worker" else self.start(kind)
        self.started(*self.living("worker"))

    @contextlib.contextmanager
    def tended(self) -> Iterator[None]:
        """While within, a worker that dies is replaced at once, as `up` or an orchestrator does."""
        over = threading.Event()
        wanted = len(self.living("worker"))

        def tend() -> None:
            while not over.wait(0.05):
                for _ in range(wanted - len(self.living("worker"))):
                    self.worker()

        thread = threading.Thread(target=tend)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # Stores.

    def start_valkey(self, *, empty: bool = False) -> None:
        """Start Valkey, with what its append-only file holds or without."""
        if empty:
            shutil.rmtree(self.folder / "valkey", ignore_errors=True)
        self.valkey_process = valkey.start(self.socket, self.folder / "valkey")
        wait_until(lambda: valkey.is_ready(self.socket), 20, "Valkey answers")

    def kill_valkey(self) -> None:
        """As a power cut does."""
        self.valkey_process.kill()
        self.valkey_process.wait()

    def valkey(self) -> redis.Redis:
        """A client."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5)

    def turn_clock(self, seconds: int) -> None:
        """Have the clock of all processes be wrong by so much."""
        # In place: they have it mapped.
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))

    # Truth.

    def check(self, ids: Sequence[str], **states: int) -> Counter[str]:
        """Wait until all have ended, and see that each did so once, so often as `states` says; how often each ran."""
        expected = states or {"completed": len(ids)}
        wait_until(lambda: self.states() == expected, 60, lambda: f"{expected}, but {self.states()}")
        ends = Counter(id_ for (id_,) in self.rows("SELECT job_id FROM chaos_end"))
        assert ends == dict.fromkeys(ids, 1), "each came to one end, and stayed there"
        completed = {id_ for (id_,) in self.rows("SELECT id FROM job WHERE state = 'completed'")}
        effects = {key for (key,) in self.ledger.rows("SELECT key FROM effect")}
        assert completed <= effects <= set(ids), "what was done was done under the key of its job"
        assert not self.rows("SELECT id FROM job WHERE state = 'completed' AND result IS NULL")
        self.counts_are_true()
        wait_until(self._nothing_queued, 20, "no entry is left in Valkey")
        return self.ledger.runs()

    def counts_are_true(self) -> None:
        """What the counters say is what the rows say, and nothing is missing."""
        assert_counts_are_true(self.rows(COUNTED_AND_FOUND))

    def _nothing_queued(self) -> bool:
        client = self.valkey()
        return all(client.xlen(f"{{np}}:q:{{{queue}}}") == 0 for queue in ("workflow", "report"))

    def result(self, job: str) -> dict[str, Any]:
        """What a job returned."""
        return orjson.loads(self.rows(f"SELECT result FROM job WHERE id = '{job}'")[0][0])

    # From one test to the next.

    def fresh(self) -> None:
        """For the next test: everything runs, and nothing is there."""
        self.turn_clock(0)
        for part in self.parts:
            if part.alive():
                part.send(signal.SIGCONT)
        with contextlib.suppress(ProcessLookupError):
            self.valkey_process.send_signal(signal.SIGCONT)
        if self.valkey_process.poll() is not None:
            self.start_valkey()
        if self.states().keys() & {"waiting", "active", "delayed"}:
            for part in self.parts:  # of a test that failed half-way
                part.kill()
        self.write("DELETE FROM job", "DELETE FROM chaos_end", "DELETE FROM schedule")
        self.ledger.clear()
        self.man()

    def close(self) -> None:
        """End everything."""
        for part in self.parts:
            part.kill()
        self.do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.kill_valkey()

    async def _open(self) -> Runtime:
        load_all_tasks(self.settings)
        return open_runtime(self.settings, make_enqueue(self.settings))

    async def _close(self) -> None:
        await self.rt.enqueue.close()  # type: ignore[attr-defined]
        await self.rt.close()

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.rt.database.read() as session:
            return [tuple(row) for row in await session.execute(text(query))]

    async def _write(self, statements: Sequence[str]) -> None:
        def run(connection: Any) -> None:
            for statement in statements:
                connection.exec_driver_sql(statement)

        await self.rt.database.run_write(run)
