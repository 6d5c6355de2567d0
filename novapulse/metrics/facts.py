"""What is true of the whole deployment, asked of the stores: at most once a second, however many scrape."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import platform
import shutil
import time
from collections.abc import Awaitable, Iterator
from typing import TypeVar

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core.clock import now_ms
from novapulse.core.health import Health
from novapulse.core.runtime import Runtime
from novapulse.core.version import VERSION
from novapulse.jobs.counts import QUEUES, STATES, Board, read_board
from novapulse.recovery.schedule import last_backup_at
from novapulse.webhooks.models import WebhookStatus

_CACHED_S = 1.0
_PATIENCE_S = 2.0  # a store that hangs must not hold up what is known without it
_AWAY = (SQLAlchemyError, RedisError, OSError, TimeoutError)
_LEASE = "{np}:scheduler"

_WEBHOOKS = text("SELECT status, count(*) AS n FROM webhook GROUP BY status")
_SESSIONS = text(
    "SELECT count(*) FROM session WHERE revoked_at IS NULL AND last_seen_at > :seen_after AND created_at > :made_after"
)

T = TypeVar("T")
Value = tuple[tuple[str, ...], float]
Found = dict[str, list[Value]]


class Facts:
    """The facts, as a web process knows them. Made by `Runtime.part`."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._found: Found = {}
        self._at = 0.0
        self._lock = asyncio.Lock()

    async def read(self) -> Found:
        """By name of the metric: labels and value of each series. What cannot be known is not there."""
        async with self._lock:
            if time.monotonic() - self._at > _CACHED_S:
                self._found = await self._ask()
                self._at = time.monotonic()
            return self._found

    async def _ask(self) -> Found:
        board, lease, database, backups, checks = await asyncio.gather(
            read_board(self._rt),
            _soon(self._rt.valkey.exists(_LEASE)),
            _soon(self._database()),
            _soon(self._backups()),
            _soon(self._checks()),
        )
        found = _queues(board) | self._machine() | (database or {}) | (backups or {}) | (checks or {})
        if lease is not None:
            found["novapulse_scheduler_running"] = [((), float(lease))]
        found["novapulse_facts_ok"] = [
            (("database",), float(board.counts is not None)),
            (("valkey",), float(board.workers is not None)),
        ]
        return found

    async def _database(self) -> Found:
        now, settings = now_ms(), self._rt.settings
        lives = {"seen_after": now - settings.session_idle_s * 1000, "made_after": now - settings.session_max_s * 1000}
        async with self._rt.database.read() as session:
            counted = {row.status: row.n for row in (await session.execute(_WEBHOOKS)).all()}
            sessions = (await session.execute(_SESSIONS, lives)).scalar_one()
        return {
            "novapulse_webhooks": [((status,), float(counted.get(status, 0))) for status in WebhookStatus],
            "novapulse_sessions": [((), float(sessions))],
        }

    async def _backups(self) -> Found:
        every_h, last = self._rt.settings.backup_every_h, await last_backup_at(self._rt)
        found: Found = {}
        if every_h is not None:
            found["novapulse_backup_interval_seconds"] = [((), every_h * 3600)]
        if every_h is not None or last is not None:
            found["novapulse_backup_last_timestamp_seconds"] = [((), (last or 0) / 1000)]
        return found

    async def _checks(self) -> Found:
        checks = await self._rt.part(Health).checks()
        return {
            "novapulse_check_ok": [((check.name,), float(check.ok)) for check in checks],
            "novapulse_check_duration_seconds": [((check.name,), check.latency_ms / 1000) for check in checks],
        }

    def _machine(self) -> Found:
        found: Found = {"novapulse_build_info": [((VERSION, platform.python_version()), 1.0)]}
        try:
            disk = shutil.disk_usage(self._rt.settings.data_dir)
        except OSError:
            return found
        return found | {
            "novapulse_disk_free_bytes": [((), float(disk.free))],
            "novapulse_disk_size_bytes": [((), float(disk.total))],
        }


def _queues(board: Board) -> Found:
    found: Found = {}
    for name, value in _each_queue(board):
        found.setdefault(name, []).append(value)
    return found


def _each_queue(board: Board) -> Iterator[tuple[str, Value]]:
    for queue in QUEUES:
        if board.counts is not None:
            counted = board.counts[queue]
            for state in STATES:
                yield "novapulse_queue_jobs", ((queue, state), float(counted[state]))
            oldest_ms = 0 if counted.oldest_at is None else max(0, board.at - counted.oldest_at)
            yield "novapulse_queue_made_total", ((queue,), float(counted["enqueued"]))
            yield "novapulse_queue_failed_total", ((queue,), float(counted["failed"]))
            yield "novapulse_queue_oldest_seconds", ((queue,), oldest_ms / 1000)
            yield "novapulse_queue_paused", ((queue,), float(counted.mode != "running"))
            yield "novapulse_queue_drift", ((queue,), float(counted.drift))
        if board.workers is not None:
            mine = [worker for worker in board.workers if queue in worker.queues]
            yield "novapulse_queue_workers", ((queue,), float(len(mine)))
            yield "novapulse_queue_slots", ((queue,), float(sum(worker.slots.get(queue, 0) for worker in mine)))


async def _soon(asked: Awaitable[T]) -> T | None:
    try:
        return await asyncio.wait_for(asked, _PATIENCE_S)
    except _AWAY:
        return None
