"""Whether NovaPulse runs: what changes the database under its feet asks first."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import time

from redis.exceptions import RedisError

from novapulse.core.runtime import connect_valkey
from novapulse.recovery.archive import BackupError
from novapulse.settings import Settings


async def require_stopped(settings: Settings) -> None:
    """Refuse while a process of NovaPulse shows signs of life in a Valkey of its own.

    That no `novapulse up` runs on this data folder is known by the folder's lock, which the caller holds.

    Raises:
        BackupError: something runs.
    """
    if not settings.redis_url:
        return
    client = connect_valkey(settings.valkey)
    try:
        workers = await client.zcount("{np}:workers", int(time.time() * 1000), "+inf")
        running = bool(workers) or bool(await client.exists("{np}:scheduler"))
    except (RedisError, OSError, TimeoutError):
        return  # nobody works without it either
    finally:
        await client.aclose()
    if running:
        raise BackupError("NovaPulse is running. Stop every process of it, wait 10 seconds, and try again.")
