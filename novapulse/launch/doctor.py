"""`novapulse doctor`: everything NovaPulse needs, looked at one by one, and what to do where it is missing."""

from __future__ import annotations

import platform
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import urlsplit

from novapulse.core.version import VERSION
from novapulse.launch import frontend
from novapulse.launch.configuration import load_settings, unknown_settings
from novapulse.launch.errors import StartError
from novapulse.launch.findings import Finding, ok, problem, warning
from novapulse.launch.health import ask
from novapulse.launch.preflight import check_data_dir, check_port
from novapulse.settings import Settings


async def examine() -> list[Finding]:
    """Look at everything; a check that depends on one that failed is left out."""
    findings = [ok("version", f"NovaPulse {VERSION}, Python {platform.python_version()}")]
    try:
        settings = load_settings()
    except StartError as error:
        return [*findings, problem("settings", error.problem, error.remedy)]
    remedy = "Correct or remove it: nothing reads it."
    findings += [problem("settings", line, remedy) for line in unknown_settings()] or [ok("settings", "read")]
    return [*findings, *[finding async for finding in examine_with(settings)]]


async def examine_with(settings: Settings) -> AsyncGenerator[Finding]:
    """The same, of settings that were read."""
    data_dir = settings.data_dir.resolve()
    if data_dir.exists():
        async for finding in _stores(settings, data_dir):
            yield finding
    else:
        yield ok("data folder", f"{data_dir} does not exist yet; `novapulse up` makes it")
    yield _frontend()
    yield _server(settings)
    yield _proxy(settings)
    yield _receivers(settings)
    yield await _mail(settings)


async def _stores(settings: Settings, data_dir: Path) -> AsyncGenerator[Finding]:
    from novapulse.launch.doctor_stores import look_at_database, look_at_processes, look_at_valkey

    try:
        check_data_dir(data_dir)
    except StartError as error:
        yield problem("data folder", error.problem, error.remedy)
        return
    yield _privacy(data_dir)
    yield _room(settings)
    findings = [finding async for finding in look_at_database(settings)]
    findings.append(await _key(settings, with_database=all(finding.sound for finding in findings)))
    findings += [finding async for finding in look_at_valkey(settings)]
    for finding in findings:
        yield finding
    if all(finding.sound for finding in findings):
        async for finding in look_at_processes(settings):
            yield finding


async def _key(settings: Settings, *, with_database: bool) -> Finding:
    from novapulse.core.database import Database
    from novapulse.launch.keycheck import check_stored_secrets, load_checked_keyring

    try:
        keyring = load_checked_keyring(settings)
        if not with_database:
            return ok("key", "is no other than the data folder's; the database could not be asked")
        database = Database(settings.database)
        try:
            await check_stored_secrets(database, keyring)
        finally:
            await database.close()
    except StartError as error:
        return problem("key", error.problem, error.remedy)
    return ok("key", "opens the existing data")


def _privacy(data_dir: Path) -> Finding:
    for path in (data_dir, data_dir / "secret.key", data_dir / "novapulse.db"):
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077 and not _is_behind_closed_doors(path, data_dir):
            return problem("data folder", f"Others on this machine may look into {path}.", f"Run `chmod go= {path}`.")
    return ok("data folder", str(data_dir))


def _is_behind_closed_doors(path: Path, data_dir: Path) -> bool:
    return path != data_dir and not stat.S_IMODE(data_dir.stat().st_mode) & 0o077


def _room(settings: Settings) -> Finding:
    from novapulse.core.health import look_at_disks

    found = look_at_disks({"data folder": settings.data_dir, "reports": settings.reports})
    if found.reason is None:
        free = min(disk["free_bytes"] for disk in (found.detail or {}).values())
        return ok("disk", f"{free >> 20} MB free")
    level = warning if found.warning else problem
    return level(
        "disk",
        f"{found.reason[0].upper()}{found.reason[1:]}.",
        "Make room on it, or keep less: NOVAPULSE_ATTEMPT_RETENTION_DAYS, NOVAPULSE_EVENT_RETENTION_DAYS, "
        "NOVAPULSE_REPORT_RETENTION_DAYS.",
    )


def _frontend() -> Finding:
    root = frontend.source_tree()
    if not frontend.is_present():
        remedy = "Install NovaPulse from its wheel." if root is None else "`novapulse up` builds it."
        return problem("frontend", "There is no compiled frontend.", remedy)
    if root is not None and frontend.is_stale(root):
        return problem("frontend", "It is older than its sources.", "`novapulse up` builds it.")
    return ok("frontend", "built")


def _server(settings: Settings) -> Finding:
    answer = ask(settings.host, settings.port, "/api/v1/health")
    if answer.good:
        return ok("server", f"at {settings.base_url}: {answer.words}")
    if answer.status and answer.is_report:
        return problem("server", f"It answers at port {settings.port} and says: {answer.words}.", "See above.")
    try:
        check_port(settings.host, settings.port)
    except StartError as error:
        return problem("server", error.problem, error.remedy)
    return warning(
        "server",
        f"Nothing listens on port {settings.port}.",
        "Start `novapulse up` or, where only the web belongs, `novapulse web`; nothing is wrong on a machine without.",
    )


def _proxy(settings: Settings) -> Finding:
    """Whether what is said of the address and of the proxies fits together."""
    hops, url = settings.trusted_proxy_hops, urlsplit(settings.base_url)
    if url.scheme == "https" and hops == 0:
        return problem(
            "proxy",
            "NOVAPULSE_PUBLIC_URL is https, so a proxy ends TLS, and NOVAPULSE_TRUSTED_PROXY_HOPS is 0: every caller "
            "seems to come from the proxy, and limits by address count them all as one.",
            "Set NOVAPULSE_TRUSTED_PROXY_HOPS to the number of proxies in front, most often 1.",
        )
    if hops and not settings.public_url:
        return problem(
            "proxy",
            f"NOVAPULSE_TRUSTED_PROXY_HOPS is {hops} and NOVAPULSE_PUBLIC_URL is empty: links lead to "
            f"{settings.base_url}, and pages from any other address get no connection.",
            "Set NOVAPULSE_PUBLIC_URL to the address in people's browsers; without a proxy, set the hops to 0.",
        )
    if hops and settings.host in ("0.0.0.0", "::"):  # noqa: S104
        return warning(
            "proxy",
            f"Port {settings.port} listens on every address of this machine, and X-Forwarded-For is believed.",
            "See that only the proxy can reach that port: whoever else does can pretend to call from anywhere.",
        )
    return ok("proxy", f"{hops} in front; people come to {settings.base_url}")


def _receivers(settings: Settings) -> Finding:
    allowed = ", ".join(map(str, settings.allow_private_networks))
    return ok("receivers", f"public addresses{f' and {allowed}' if allowed else ' only'}")


async def _mail(settings: Settings) -> Finding:
    """Greet the mail server and sign in; nothing is sent."""
    from novapulse.mail.server import parse_smtp_url
    from novapulse.mail.smtp import SmtpConnection

    url = settings.smtp_url.get_secret_value()
    if not url:
        return ok("mail", "no server is set (NOVAPULSE_SMTP_URL): messages are kept and not sent")
    server = parse_smtp_url(url)
    where = f"{server.host}:{server.port}"
    connection = SmtpConnection(server, settings.mail_domain)
    fault = await connection.open()
    if fault is not None:
        said = fault.words.rstrip(".")
        return problem(
            "mail", f"The mail server cannot be used ({where}: {said}).", "Start it, or correct NOVAPULSE_SMTP_URL."
        )
    how = "encrypted" if connection.encrypted else "not encrypted"
    await connection.close()
    signed_in = f", signed in as {server.user}" if server.user else ""
    return ok("mail", f"{where}, {how}{signed_in}; from {settings.mail_sender}")
