"""`novapulse up`: check everything that can be checked, then become the supervisor."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from novapulse.launch import bytecode, frontend
from novapulse.launch.configuration import unknown_settings
from novapulse.launch.errors import StartError
from novapulse.launch.plan import Plan
from novapulse.launch.preflight import check_data_dir, check_port, lock_data_dir
from novapulse.settings import Settings


def up(settings: Settings) -> NoReturn:
    """Start NovaPulse; this process becomes the supervisor, which ends when NovaPulse is stopped.

    Raises:
        StartError: it cannot be started.
    """
    for line in unknown_settings():
        print(f"novapulse: {line}", file=sys.stderr)
    data_dir = settings.data_dir.resolve()
    check_data_dir(data_dir)
    lock = lock_data_dir(data_dir)
    check_port(settings.host, settings.port)
    ensure_frontend()
    plan = Plan(
        data_dir=str(data_dir),
        host=settings.host,
        port=settings.port,
        address=settings.base_url,
        valkey_socket="" if settings.redis_url else str(settings.valkey_socket),
        workers=settings.workers,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        drain_s=settings.drain_s,
        lock_fd=lock,
    )
    os.set_inheritable(lock, True)
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-P", "-m", "novapulse.launch.supervisor", plan.to_json()]
    os.execve(sys.executable, command, bytecode.environment(data_dir, os.environ))  # noqa: S606


def ensure_frontend() -> None:
    """See that there is a compiled frontend, and in a source tree that it is up to date.

    Raises:
        StartError: there is none and none can be built.
    """
    root = frontend.source_tree()
    if root is None:
        if not frontend.is_present():
            raise StartError("This installation holds no compiled frontend.", "Install NovaPulse from its wheel.")
        return
    if not frontend.is_stale(root):
        return
    print("novapulse: building the frontend (once, about a minute)", flush=True)
    try:
        frontend.build_if_stale(root)
    except frontend.FrontendBuildError as error:
        raise StartError(
            f"The frontend could not be built: {error}.", "Check the network, then start NovaPulse again."
        ) from error
