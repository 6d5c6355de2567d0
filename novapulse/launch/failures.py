"""What to print for an exception that reached the command line."""

from __future__ import annotations

from novapulse.core.errors import InvalidError, ProblemError

_TABLES_MISSING = ("no such table", "does not exist")


def explain(error: Exception) -> str:
    """One line that says what happened and, where it is known, what to do."""
    from redis.exceptions import RedisError
    from sqlalchemy.exc import DBAPIError

    from novapulse.core.migrations import RevisionError
    from novapulse.recovery.archive import BackupError

    if isinstance(error, InvalidError):
        # On a command line there is no document to point into: `/role` is the option `role`.
        return "; ".join(f"{fault.pointer.lstrip('/')}: {fault.detail}" for fault in error.errors)
    if isinstance(error, ProblemError):
        return error.detail
    if isinstance(error, BackupError | RevisionError):
        return str(error)
    first = (str(getattr(error, "orig", None) or error).strip().splitlines() or [""])[0]
    if isinstance(error, DBAPIError):
        if any(words in first for words in _TABLES_MISSING):
            return "The database has not been set up. Run `novapulse db upgrade`, or `novapulse up` once."
        return f"The database cannot be used ({first}). `novapulse doctor` says more."
    if isinstance(error, RedisError):
        return f"Valkey cannot be reached ({first}). Is NovaPulse running? `novapulse doctor` says more."
    if isinstance(error, ConnectionRefusedError):
        # asyncpg's, when nothing listens at the address; Valkey's client wraps its own.
        return f"The database cannot be reached ({first}). `novapulse doctor` says more."
    if isinstance(error, OSError):
        return f"{error.strerror or first}{f': {error.filename}' if error.filename else ''}"
    return f"{type(error).__name__}: {first} (NOVAPULSE_LOG_LEVEL=debug shows where)"
