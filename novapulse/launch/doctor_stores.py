"""What the doctor sees of the database, of Valkey, and of the processes that tell of themselves there."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import clock
from novapulse.core.database import Database
from novapulse.core.health import Health
from novapulse.core.runtime import connect_valkey
from novapulse.launch.errors import StartError
from novapulse.launch.findings import Finding, ok, problem, warning
from novapulse.settings import Settings

OLDEST_SERVER = (6, 2)  # what the oldest command that is used asks for
_SKEW_WARNING_MS, _SKEW_MS = 500, 2_000  # a heartbeat that is read 2 s off makes a worker look dead at times


async def look_at_database(settings: Settings) -> AsyncGenerator[Finding]:
    """Can it be reached, is it at this version, does its clock agree?"""
    from novapulse.launch.prepare import check_database

    try:
        yield ok("database", await check_database(settings))
    except StartError as error:
        yield problem("database", error.problem, error.remedy)
        return
    database = Database(settings.database)
    try:
        if not database.is_sqlite:
            async with database.read() as session:
                before = clock.now_ms()
                seconds = (await session.execute(text("SELECT extract(epoch FROM clock_timestamp())"))).scalar_one()
                yield _skew("database", float(seconds) * 1000, before, clock.now_ms())
    except (SQLAlchemyError, OSError, TimeoutError):
        return  # it has gone since
    finally:
        await database.close()


async def look_at_valkey(settings: Settings) -> AsyncGenerator[Finding]:
    """Can it be reached, is it one that can be used, and set so that it loses nothing it need not lose?"""
    from novapulse.launch.prepare import check_valkey

    try:
        found = await check_valkey(settings)
    except StartError as error:
        yield problem("Valkey", error.problem, error.remedy)
        return
    client = connect_valkey(settings.valkey)
    try:
        info: dict[str, Any] = await client.info()
        findings = [*_fitness(settings, info), *await _persistence(client, info)]
        before = clock.now_ms()
        seconds, micros = await client.time()
        findings.append(_skew("Valkey", seconds * 1000 + micros / 1000, before, clock.now_ms()))
    except (RedisError, OSError, TimeoutError) as error:
        yield problem("Valkey", f"It answers no questions ({error}).", "Allow this user INFO and TIME.")
        return
    finally:
        await client.aclose()
    if all(finding.sound for finding in findings):
        yield ok("Valkey", found)
    for finding in findings:
        yield finding


async def look_at_processes(settings: Settings) -> AsyncGenerator[Finding]:
    """Who tells in Valkey that it is there."""
    from novapulse.launch.local import local_runtime

    async with local_runtime(settings) as rt:
        checks = {check.name: check for check in await Health(rt).checks({"scheduler", "workers"})}
    scheduler, workers = checks["scheduler"], checks["workers"]
    if not scheduler.ok and not (workers.detail or {}).get("workers"):
        yield warning("processes", "No scheduler and no worker runs.", "Start `novapulse up`, or the processes apart.")
        return
    if scheduler.ok:
        held = scheduler.detail or {}
        yield ok("scheduler", f"{held.get('holder')} since {held.get('since')}")
    else:
        yield problem("scheduler", "None runs: retries and schedules wait.", "Start `novapulse scheduler`.")
    if workers.status == "ok":
        yield ok("workers", f"{(workers.detail or {}).get('workers')}, every queue has one")
    else:
        serve = [queue for queue, count in (workers.detail or {}).get("queues", {}).items() if not count]
        reason = str(workers.reason)
        yield (problem if not workers.ok else warning)(
            "workers",
            f"{reason[0].upper()}{reason[1:]}.",
            f"Start `novapulse worker --queues {','.join(serve)}`, or one without --queues, which serves all."
            if serve
            else "Start `novapulse worker`.",
        )


def _fitness(settings: Settings, info: Mapping[str, Any]) -> list[Finding]:
    findings: list[Finding] = []
    version = str(info.get("valkey_version") or info.get("redis_version") or "0")
    # Valkey calls itself Redis 7.2.4 to old clients; what it can do is more.
    known = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if known < OLDEST_SERVER:
        wanted = ".".join(map(str, OLDEST_SERVER))
        findings.append(
            problem("Valkey", f"It is version {version}, and {wanted} is the oldest that works.", "Update it.")
        )
    in_cluster = "cluster" in (info.get("redis_mode"), info.get("server_mode")) or bool(info.get("cluster_enabled"))
    if in_cluster and not settings.redis_url.startswith(("redis+cluster://", "rediss+cluster://")):
        findings.append(
            problem(
                "Valkey",
                "It is a node of a cluster, and NOVAPULSE_REDIS_URL speaks of a single server.",
                "Name some of its nodes: redis+cluster://one:6379,two:6379,three:6379.",
            )
        )
    policy, limit = str(info.get("maxmemory_policy", "noeviction")), int(info.get("maxmemory", 0))
    if policy != "noeviction":
        say = problem if limit else warning
        loses = "when memory is short it throws queues away" if limit else "with a maxmemory it would lose queues"
        findings.append(
            say("Valkey", f"Its maxmemory-policy is {policy}: {loses}.", "Set `maxmemory-policy noeviction`.")
        )
    return findings


async def _persistence(client: Redis, info: Mapping[str, Any]) -> list[Finding]:
    if info.get("aof_enabled"):
        return []
    try:
        saves = bool((await client.config_get("save")).get("save"))
    except RedisError:  # providers often forbid the question
        saves = bool(info.get("rdb_last_save_time")) and info.get("rdb_last_bgsave_status") == "ok"
    if saves:
        return []
    return [
        warning(
            "Valkey",
            "It keeps nothing on disk: after a restart queues are filled again from the database, some minutes late, "
            "and limits and live figures begin anew.",
            "Set `appendonly yes` and `appendfsync everysec`.",
        )
    ]


def _skew(subject: str, there_ms: float, before_ms: int, after_ms: int) -> Finding:
    # Their clock was read some time between the two.
    skew = there_ms - after_ms if there_ms > after_ms else min(0.0, there_ms - before_ms)
    words = f"{abs(skew) / 1000:.1f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    remedy = "Let both machines follow a time server (NTP), e.g. `timedatectl set-ntp true`."
    name = f"clock ({subject})"
    if abs(skew) >= _SKEW_MS:
        return problem(name, f"It is {words}: live workers look dead, and what is due comes at a wrong time.", remedy)
    if abs(skew) >= _SKEW_WARNING_MS:
        return warning(name, f"It is {words}.", remedy)
    return ok(name, "agrees with this machine's")
