"""What is done once, before the processes start: keys, stores, migrations, the first admin.

Run by the supervisor as `python -m novapulse.launch.prepare`, so that the memory it needs is given back. Answers with
one JSON object on stdout: `{"setup_url": ...}` or `{"problem": ..., "remedy": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from redis.exceptions import AuthenticationError, RedisError
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from novapulse.core.database import Database
from novapulse.core.errors import ProblemError
from novapulse.core.runtime import connect_valkey
from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError
from novapulse.launch.failures import explain
from novapulse.launch.keycheck import check_stored_secrets, load_checked_keyring
from novapulse.settings import Settings


async def check_valkey(settings: Settings) -> str:
    """Ask Valkey for its version; returns it in words.

    Raises:
        StartError: it cannot be reached, refuses us, or the URL is none.
    """
    try:
        client = connect_valkey(settings.valkey)
    except ValueError as error:
        raise StartError(
            f"NOVAPULSE_REDIS_URL cannot be used: {error}.", "It looks like redis://host:6379/0."
        ) from error
    where = "the embedded one" if not settings.redis_url else _without_password(settings.redis_url)
    try:
        info: dict[str, str] = await client.info("server")  # pyright: ignore[reportGeneralTypeIssues]
    except AuthenticationError as error:
        raise StartError(
            f"Valkey refuses the password ({where}).", "Correct the user and password in NOVAPULSE_REDIS_URL."
        ) from error
    except (RedisError, OSError) as error:
        raise StartError(
            f"Valkey cannot be reached ({where}: {_first_line(error)}).",
            "Start it, or correct NOVAPULSE_REDIS_URL; leave that empty to use the embedded Valkey."
            if settings.redis_url
            else "It runs while `novapulse up` does; to use a server of your own set NOVAPULSE_REDIS_URL.",
        ) from error
    finally:
        await client.aclose()
    return f"{info.get('valkey_version') or info.get('redis_version')} ({where})"


async def upgrade_database(settings: Settings) -> None:
    """Bring the database's tables up to date.

    Raises:
        StartError: it cannot be reached or changed.
    """
    from novapulse.core.migrations import upgrade

    with _database_faults(settings):
        await asyncio.to_thread(upgrade, settings.database)


async def refuse_newer_database(settings: Settings) -> None:
    """Start no process on a database that a newer version has changed; one that is away or behind is no hindrance.

    Raises:
        StartError: it is of a newer version.
    """
    from novapulse.core.migrations import revision_of

    database = Database(settings.database, pool_size=1)
    with _database_faults(settings):
        try:
            revision = await revision_of(database)
        except (SQLAlchemyError, OSError, TimeoutError, *_driver_errors(settings)):
            return  # health says so, and the process waits for it
        finally:
            await database.close()
        revision.require_known()


async def refuse_wrong_key(settings: Settings) -> None:
    """Start no process with a key that does not open the data; a database that is away is no hindrance.

    Raises:
        StartError: the key is missing, cannot be used or is another one.
    """
    keyring = load_checked_keyring(settings, keep_note=False)  # this folder may be for reading only
    database = Database(settings.database, pool_size=1)
    with _database_faults(settings):
        try:
            await check_stored_secrets(database, keyring)
        except (SQLAlchemyError, OSError, TimeoutError, *_driver_errors(settings)):
            return
        finally:
            await database.close()


async def downgrade_database(settings: Settings, revision: str) -> None:
    """Take migrations back to a revision, with what they made.

    Raises:
        StartError: there is no such revision, or the database cannot be reached or changed.
    """
    from novapulse.core.migrations import downgrade

    with _database_faults(settings):
        await asyncio.to_thread(downgrade, settings.database, revision)


async def check_database(settings: Settings) -> str:
    """Connect, and see whether the tables are up to date; returns what was found in words.

    Raises:
        StartError: it cannot be reached, or is behind.
    """
    from novapulse.core.migrations import revision_of

    with _database_faults(settings):
        database = Database(settings.database)
        try:
            revision = await revision_of(database)
        finally:
            await database.close()
        revision.require_known()
    if revision.behind:
        was = f"at revision {revision.now} of {revision.head}" if revision.now else "empty"
        raise StartError(f"The database is behind this version ({was}).", "Run `novapulse db upgrade`.")
    return f"up to date ({_database_place(settings)})"


@contextmanager
def _database_faults(settings: Settings) -> Generator[None]:
    """Turns every way in which the database can fail to be there, or be of use, into a `StartError`."""
    from novapulse.core.migrations import RevisionError

    try:
        yield
    except RevisionError as error:
        raise StartError(error.problem, error.remedy) from error
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise StartError(
            f"NOVAPULSE_DATABASE_URL cannot be used: {_first_line(error)}.",
            "It looks like postgresql://user:password@host:5432/name.",
        ) from error
    except (SQLAlchemyError, OSError, TimeoutError, *_driver_errors(settings)) as error:
        raise StartError(
            f"The database cannot be used ({_database_place(settings)}: {_first_line(error)}).", _remedy(error)
        ) from error


def _remedy(error: BaseException) -> str:
    kind = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    if kind in ("28P01", "28000"):  # PostgreSQL, appendix A: invalid password, invalid authorization
        return "Correct the user and password in NOVAPULSE_DATABASE_URL."
    if kind == "3D000":  # invalid catalog name
        return "Make that database (`createdb`), or correct its name in NOVAPULSE_DATABASE_URL."
    return "Start it, or correct NOVAPULSE_DATABASE_URL; leave that empty to use SQLite in the data folder."


def _driver_errors(settings: Settings) -> tuple[type[Exception], ...]:
    """What the driver raises while connecting, which SQLAlchemy passes on as it is."""
    if not settings.database.startswith("postgresql+asyncpg"):
        return ()
    from asyncpg import PostgresError

    return (PostgresError,)


def _database_place(settings: Settings) -> str:
    return _without_password(settings.database_url) if settings.database_url else "SQLite in the data folder"


async def prepare(settings: Settings) -> str | None:
    """Do all of it; returns the set-up link while there is no user.

    Raises:
        StartError: something stands in the way.
    """
    from novapulse.launch.local import local_runtime
    from novapulse.security.setup import first_run

    keyring = load_checked_keyring(settings)
    await check_valkey(settings)
    await upgrade_database(settings)
    async with local_runtime(settings) as rt:
        await check_stored_secrets(rt.database, keyring)
        try:
            return await first_run(rt)
        except ProblemError as error:
            raise StartError(
                f"The first admin cannot be made: {error.detail}.",
                "Correct NOVAPULSE_ADMIN_EMAIL and NOVAPULSE_ADMIN_PASSWORD, or leave both empty for a set-up link.",
            ) from error


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0].rstrip(".")[:300]


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else url


def main() -> int:
    """Entry point."""
    answer: dict[str, str | None]
    try:
        answer = {"setup_url": asyncio.run(prepare(load_settings()))}
    except StartError as error:
        answer = {"problem": error.problem, "remedy": error.remedy}
    except Exception as error:
        if os.environ.get("NOVAPULSE_LOG_LEVEL") == "debug":
            raise
        answer = {"problem": f"NovaPulse cannot be prepared. {explain(error)}", "remedy": ""}
    print(json.dumps(answer), flush=True)
    return 1 if "problem" in answer else 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
