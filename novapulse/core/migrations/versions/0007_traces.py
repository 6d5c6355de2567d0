"""Where events, jobs and runs of workflows belong: in which trace, and within which span of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ADDED = (("event", "trace"), ("job", "parent_span"), ("workflow_run", "trace"))


def upgrade() -> None:
    for table, column in _ADDED:
        op.add_column(table, sa.Column(column, sa.String(), nullable=True))


def downgrade() -> None:
    for table, column in _ADDED:
        op.drop_column(table, column)
