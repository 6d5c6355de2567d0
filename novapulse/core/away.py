"""Whether a database that failed is away, so that the same may do later, or there, and refuses what was asked."""

from __future__ import annotations

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_AWAY = (OperationalError, InterfaceError, PoolTimeoutError, PendingRollbackError, OSError, TimeoutError)
_REFUSED = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
# Classes of SQLSTATE that speak of the statement or of its data (PostgreSQL, appendix A): cardinality, triggers, data,
# constraints, dependent objects, views, syntax and access, limits of the program, PL/pgSQL. All others - connection,
# resources, operators, conflicts, the system, faults - are the server's own, and may be over the next time.
_OF_THE_STATEMENT = frozenset({"21", "22", "23", "27", "2B", "42", "44", "54", "P0"})


def is_away(error: BaseException) -> bool:
    """Whether trying again may do.

    SQLAlchemy says `DBAPIError` and nothing more of what asyncpg raises when a server stops or hangs up.
    """
    if isinstance(error, DBAPIError):
        if isinstance(error.orig and error.orig.__cause__, ValueError):  # asyncpg: a value that cannot be sent
            return False
        if error.connection_invalidated:
            return True
        if not isinstance(error, (*_AWAY, *_REFUSED)):
            return str(getattr(error.orig, "sqlstate", None) or "")[:2] not in _OF_THE_STATEMENT
    return isinstance(error, _AWAY)
