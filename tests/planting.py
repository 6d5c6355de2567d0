"""Rows for tables of which nothing is known but their columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, Connection, LargeBinary, MetaData

SEEDED = {"alembic_version", "audit_head", "routing_version"}  # hold the one row they ever have
Rows = dict[str, dict[str, Any]]


def plant(connection: Connection, *, leave: frozenset[str] = frozenset()) -> Rows:
    """One row in each table, except some, whatever its columns; by table."""
    metadata = MetaData()
    metadata.reflect(connection)
    planted: Rows = {}
    for table in metadata.sorted_tables:
        row: dict[str, Any] = {}
        for column in table.columns:
            if column.foreign_keys:
                parent = next(iter(column.foreign_keys)).column
                row[column.name] = planted[parent.table.name][parent.name]
            elif isinstance(column.type, Boolean):
                row[column.name] = True
            elif isinstance(column.type, JSON):
                row[column.name] = {"planted": None}
            elif isinstance(column.type, LargeBinary):
                row[column.name] = b"\0\xff"
            else:
                row[column.name] = 7 if column.type.python_type in (int, float) else f"{column.name} of {table.name}"
        if table.name not in SEEDED | leave:
            connection.execute(table.insert().values(row))
            planted[table.name] = row
    return planted
