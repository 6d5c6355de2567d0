"""The runtime of a command that works on the stores itself, as `novapulse user create` does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from novapulse.core.runtime import Runtime, open_runtime
from novapulse.settings import Settings


@asynccontextmanager
async def local_runtime(settings: Settings) -> AsyncGenerator[Runtime]:
    """Database, Valkey and keyring for the time of one command."""
    from novapulse.launch.keycheck import load_checked_keyring
    from novapulse.tasks import load_all_tasks
    from worker.enqueue import make_enqueue

    # What a command does may be work for a queue, or start a workflow.
    load_all_tasks(settings)
    enqueue = make_enqueue(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    load_checked_keyring(settings, keep_note=False)  # or a lost key would be replaced by a new one without a word
    rt = open_runtime(settings, enqueue)
    try:
        yield rt
    finally:
        await enqueue.close()
        await rt.close()
