# ruff: noqa: S608 - what is put together here are this module's own names
"""Jobs, their schedules, and counts of both jobs and deliveries that triggers keep."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('waiting', 'active', 'delayed')")
_QUEUES = ("email", "webhook", "workflow", "report")
_STATES = ("waiting", "active", "delayed", "completed", "dead", "cancelled")
_ENDED = ("completed", "dead", "cancelled")
_NUMBERS = (*_STATES, *(f"gone_{state}" for state in _ENDED), "enqueued", "failed")
# Of a row of each table: the queue and the state it counts for, and whether its last attempt failed.
_JOB = ("job", "{0}.queue", "{0}.state", "{0}.state IN ('delayed', 'dead')")
_DELIVERY = (
    "delivery",
    "'webhook'",
    "CASE {0}.status WHEN 'pending' THEN 'waiting' WHEN 'sending' THEN 'active' WHEN 'retrying' THEN 'delayed'"
    " WHEN 'delivered' THEN 'completed' WHEN 'failed' THEN 'dead' ELSE 'cancelled' END",
    "{0}.status IN ('retrying', 'failed')",
)


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("searched", sa.Text(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("unique_key", sa.String(), nullable=True),
        sa.Column("tenant", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("schedule_id", sa.String(), nullable=True),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("trace_id", sa.String(), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout_s", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("enqueued_at", sa.BigInteger(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=True),
        sa.Column("progress_text", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_job_due",
        "job",
        ["queue", "enqueued_at", "run_at"],
        unique=False,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_job_fingerprint", "job", ["fingerprint", "id"], unique=False)
    op.create_index("ix_job_finished_at", "job", ["finished_at"], unique=False)
    op.create_index("ix_job_parent_id", "job", ["parent_id", "id"], unique=False)
    op.create_index(
        "ix_job_pinned",
        "job",
        ["id"],
        unique=False,
        sqlite_where=sa.text("pinned = 1"),
        postgresql_where=sa.text("pinned"),
    )
    op.create_index("ix_job_queue", "job", ["queue", "id"], unique=False)
    op.create_index("ix_job_ready", "job", ["queue", "state", "priority", "id"], unique=False)
    op.create_index("ix_job_schedule_id", "job", ["schedule_id", "id"], unique=False)
    op.create_index("ix_job_state", "job", ["state", "queue", "id"], unique=False)
    op.create_index("ix_job_task", "job", ["task", "id"], unique=False)
    op.create_index(
        "ix_job_waiting",
        "job",
        ["queue", "run_at"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_index("uq_job_key", "job", ["unique_key"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_table(
        "job_attempt",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("worker", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
    op.create_table(
        "job_log",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_job_log", "job_log", ["job_id", "id"], unique=False)
    op.create_table(
        "queue",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "queue_count",
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "state", "shard"),
    )
    op.create_table(
        "schedule",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("overlap", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("next_run_at", sa.BigInteger(), nullable=True),
        sa.Column("last_run_at", sa.BigInteger(), nullable=True),
        sa.Column("last_job_id", sa.String(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_schedule_next_run_at", "schedule", ["next_run_at"], unique=False)
    op.create_table(
        "job_undo",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.Column("was", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_table(
        "job_bulk",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("touched", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("batch_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id"),
    )

    for queue in _QUEUES:
        op.execute(f"INSERT INTO queue VALUES ('{queue}', 'running', '', '', 0)")
        for number in _NUMBERS:
            op.execute(f"INSERT INTO queue_count VALUES ('{queue}', '{number}', 0, 0)")
    state = _DELIVERY[2].format("delivery")
    for number, rows in (*((each, f"WHERE {state} = '{each}'") for each in _STATES), ("enqueued", "")):
        op.execute(
            f"UPDATE queue_count SET n = (SELECT count(*) FROM delivery {rows})"
            f" WHERE queue = 'webhook' AND state = '{number}'"
        )
    for table in (_JOB, _DELIVERY):
        (_count_on_sqlite if op.get_bind().dialect.name == "sqlite" else _count_on_postgres)(*table)


def _count_on_sqlite(table: str, queue: str, state: str, failed: str) -> None:
    def add(n: str, row: str, number: str) -> str:
        return (
            f"UPDATE queue_count SET n = n + {n} WHERE queue = {queue.format(row)} AND state = {number} AND shard = 0;"
        )

    old, new = state.format("OLD"), state.format("NEW")
    column = "state" if table == "job" else "status"
    op.execute(f"CREATE TRIGGER {table}_made AFTER INSERT ON {table} BEGIN {add('1', 'NEW', new)} END")
    op.execute(
        f"CREATE TRIGGER {table}_moved AFTER UPDATE OF {column} ON {table} WHEN OLD.{column} <> NEW.{column}"
        f" BEGIN {add('-1', 'OLD', old)} {add('1', 'NEW', new)} END"
    )
    op.execute(
        f"CREATE TRIGGER {table}_failed AFTER UPDATE OF {column} ON {table}"
        f" WHEN NEW.attempts > OLD.attempts AND {failed.format('NEW')} BEGIN {add('1', 'NEW', repr('failed'))} END"
    )
    gone = f"CASE WHEN {old} IN {_ENDED} THEN 'gone_' || {old} ELSE 'gone_cancelled' END"
    op.execute(
        f"CREATE TRIGGER {table}_gone AFTER DELETE ON {table} BEGIN {add('-1', 'OLD', old)} {add('1', 'OLD', gone)} END"
    )


def _count_on_postgres(table: str, queue: str, state: str, failed: str) -> None:
    # Per statement, into a shard of the connection's own: nobody waits for anybody, and nothing can deadlock.
    def trigger(name: str, event: str, tables: str, rows: str) -> None:
        op.execute(
            f"""
            CREATE FUNCTION {table}_{name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO queue_count AS q (queue, state, shard, n)
                SELECT c.queue, c.state, pg_backend_pid(), sum(c.n) FROM ({rows}) AS c (queue, state, n)
                GROUP BY c.queue, c.state HAVING sum(c.n) <> 0
                ON CONFLICT (queue, state, shard) DO UPDATE SET n = q.n + EXCLUDED.n;
                RETURN NULL;
            END $$
            """
        )
        op.execute(
            f"CREATE TRIGGER {table}_{name} AFTER {event} ON {table} REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {table}_{name}()"
        )

    def rows(source: str, n: str, number: str) -> str:
        return f"SELECT {queue.format(source)}, {number}, {n} FROM {source}"

    old, new = state.format("old_rows"), state.format("new_rows")
    gone = f"CASE WHEN {old} IN {_ENDED} THEN 'gone_' || {old} ELSE 'gone_cancelled' END"
    trigger("made", "INSERT", "NEW TABLE AS new_rows", rows("new_rows", "1", new))
    trigger(
        "moved",
        "UPDATE",
        "OLD TABLE AS old_rows NEW TABLE AS new_rows",
        f"{rows('old_rows', '-1', old)} UNION ALL {rows('new_rows', '1', new)} UNION ALL"
        f" {rows('new_rows', '1', repr('failed'))} JOIN old_rows USING (id)"
        f" WHERE new_rows.attempts > old_rows.attempts AND {failed.format('new_rows')}",
    )
    trigger(
        "gone",
        "DELETE",
        "OLD TABLE AS old_rows",
        f"{rows('old_rows', '-1', old)} UNION ALL {rows('old_rows', '1', gone)}",
    )


def downgrade() -> None:
    for table in ("job", "delivery"):
        for name in ("made", "moved", "failed", "gone"):
            if op.get_bind().dialect.name == "sqlite":
                op.execute(f"DROP TRIGGER IF EXISTS {table}_{name}")
            else:
                op.execute(f"DROP FUNCTION IF EXISTS {table}_{name}() CASCADE")
    for table in ("job_attempt", "job_log", "job_undo", "job_bulk", "job", "queue", "queue_count", "schedule"):
        op.drop_table(table)
