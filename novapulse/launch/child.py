"""The processes that do the work: `python -m novapulse.launch.child web|worker|scheduler`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError
from novapulse.launch.listening import is_listening
from novapulse.launch.process import exit_with_parent, wait_for_go
from novapulse.launch.readiness import tell
from novapulse.settings import Settings

QUEUES = ("email", "webhook", "workflow", "report")

_MARGIN_S = 1.0  # for what takes no time, such as closing connections

Main = Callable[[asyncio.Event], Awaitable[None]]


def main_of(role: str, settings: Settings, queues: Sequence[str] = QUEUES) -> Main:
    """Import what a process of this role runs, and nothing else; returns how to run it."""
    if role == "web":
        from novapulse.launch.web import load_app, serve

        app = load_app(settings)
        return lambda stop: serve(app, settings, stop)
    if role == "worker":
        from worker.runner import run_worker

        return lambda stop: run_worker(settings, list(queues), stop)
    if role == "scheduler":
        from worker.scheduler import run_scheduler

        return lambda stop: run_scheduler(settings, stop)
    raise ValueError(f"unknown role {role!r}")


def run(role: str, settings: Settings, queues: Sequence[str] = QUEUES) -> int:
    """Run one role until SIGTERM or SIGINT; a second signal ends the process at once. Returns the exit code."""
    exit_with_parent()
    if "NOVAPULSE_SUPERVISED" not in os.environ:  # there it has been brought up to date
        from novapulse.launch.prepare import refuse_newer_database, refuse_wrong_key

        settings.data_dir.mkdir(parents=True, exist_ok=True)
        asyncio.run(refuse_newer_database(settings))
        asyncio.run(refuse_wrong_key(settings))
    main = main_of(role, settings, queues)
    wait_for_go()

    async def until_signalled() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def on_signal() -> None:
            if stop.is_set():
                os._exit(128 + signal.SIGTERM)
            stop.set()
            _end_after(settings.shutdown_timeout_s + (settings.drain_s if role == "web" else 0.0) + _MARGIN_S)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        telling = asyncio.create_task(tell(lambda: _is_ready(role, settings)))
        try:
            await main(stop)
        finally:
            telling.cancel()

    with contextlib.suppress(KeyboardInterrupt):
        _runner()(until_signalled())
    return 0


def _is_ready(role: str, settings: Settings) -> bool:
    from novapulse.core.lifecycle import Lifecycle
    from novapulse.core.runtime import current

    try:
        ready = current().part(Lifecycle).state == "ready"
    except RuntimeError:  # not that far yet
        return False
    return ready and (role != "web" or is_listening(settings.port))


def _end_after(seconds: float) -> None:
    """The limit of a stop, held by a thread of its own: the event loop may be what hangs."""

    def end() -> None:
        print(
            "novapulse: not everything ended in time; what is left is taken over elsewhere", file=sys.stderr, flush=True
        )
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _runner() -> Callable[[Awaitable[None]], None]:
    try:
        import uvloop
    except ImportError:  # no uvloop for this platform
        return asyncio.run  # pyright: ignore[reportReturnType]
    return uvloop.run  # pyright: ignore[reportReturnType]


def main() -> int:
    """Entry point of a supervised child."""
    try:
        return run(sys.argv[1], load_settings())
    except StartError as error:
        print(f"novapulse: {sys.argv[1]}: {error}", file=sys.stderr, flush=True)
        return 1


def leave(code: int) -> NoReturn:
    """End this process. Nothing is left to be done, and threads of native libraries must not hold the exit up."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
