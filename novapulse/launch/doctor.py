"""`novapulse doctor`: everything NovaPulse needs, looked at one by one, and what to do where it is missing."""

from __future__ import annotations

import platform
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from novapulse.core.version import VERSION
from novapulse.launch import frontend
from novapulse.launch.configuration import load_settings, unknown_settings
from novapulse.launch.errors import StartError
from novapulse.launch.health import is_healthy
from novapulse.launch.preflight import check_data_dir
from novapulse.settings import Settings

_LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    sound: bool
    detail: str


async def examine() -> list[Finding]:
    """Look at everything; a check that depends on one that failed is left out."""
    findings = [Finding("version", True, f"NovaPulse {VERSION}, Python {platform.python_version()}")]
    try:
        settings = load_settings()
    except StartError as error:
        return [*findings, Finding("settings", False, str(error))]
    findings += [Finding("settings", False, line) for line in unknown_settings()] or [Finding("settings", True, "read")]
    async for finding in _stores(settings):
        findings.append(finding)
    findings += [_frontend(), _server(settings), _receivers(settings), await _mail(settings)]
    return findings


async def _stores(settings: Settings) -> AsyncGenerator[Finding]:
    from novapulse.core.database import Database
    from novapulse.launch.keycheck import check_stored_secrets, load_checked_keyring
    from novapulse.launch.prepare import check_database, check_valkey

    data_dir = settings.data_dir.resolve()
    if not data_dir.exists():
        yield Finding("data folder", True, f"{data_dir} does not exist yet; `novapulse up` makes it")
        return

    async def folder() -> str:
        check_data_dir(data_dir)
        free = shutil.disk_usage(data_dir).free
        if free < _LOW_DISK_BYTES:
            raise StartError(f"Only {free >> 20} MB are free.", "Make room on that disk.")
        return f"{data_dir}, {free >> 30} GB free"

    async def key() -> str:
        keyring = load_checked_keyring(settings)
        database = Database(settings.database)
        try:
            await check_stored_secrets(database, keyring)
        finally:
            await database.close()
        return "opens the existing data"

    checks: dict[str, Callable[[], Awaitable[str]]] = {
        "data folder": folder,
        "database": lambda: check_database(settings),
        "key": key,
        "Valkey": lambda: check_valkey(settings),
    }
    for subject, check in checks.items():
        try:
            yield Finding(subject, True, await check())
        except StartError as error:
            yield Finding(subject, False, str(error))
            if subject == "data folder":
                return


def _frontend() -> Finding:
    root = frontend.source_tree()
    if not frontend.is_present():
        return Finding("frontend", False, "not built. `novapulse up` builds it in a source tree; a wheel holds it.")
    stale = root is not None and frontend.is_stale(root)
    return Finding("frontend", not stale, "older than its sources; `novapulse up` builds it." if stale else "built")


def _server(settings: Settings) -> Finding:
    if is_healthy(settings.host, settings.port):
        return Finding("server", True, f"healthy at {settings.base_url}")
    return Finding("server", False, f"does not answer as healthy at {settings.base_url}. Is `novapulse up` running?")


def _receivers(settings: Settings) -> Finding:
    allowed = ", ".join(map(str, settings.allow_private_networks))
    return Finding("receivers", True, f"public addresses{f' and {allowed}' if allowed else ' only'}")


async def _mail(settings: Settings) -> Finding:
    """Greet the mail server and sign in; nothing is sent."""
    from novapulse.mail.server import parse_smtp_url
    from novapulse.mail.smtp import SmtpConnection

    url = settings.smtp_url.get_secret_value()
    if not url:
        return Finding("mail", True, "no server is set (NOVAPULSE_SMTP_URL): messages are kept and not sent")
    server = parse_smtp_url(url)
    where = f"{server.host}:{server.port}"
    connection = SmtpConnection(server, settings.mail_domain)
    fault = await connection.open()
    if fault is not None:
        remedy = "Start it, or correct NOVAPULSE_SMTP_URL."
        return Finding("mail", False, f"The mail server cannot be used ({where}: {fault.words.rstrip('.')}). {remedy}")
    how = "encrypted" if connection.encrypted else "not encrypted"
    await connection.close()
    signed_in = f", signed in as {server.user}" if server.user else ""
    return Finding("mail", True, f"{where}, {how}{signed_in}; from {settings.mail_sender}")
