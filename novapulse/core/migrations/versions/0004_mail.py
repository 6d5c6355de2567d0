# ruff: noqa: S608 - what is put together here are this module's own names
"""Mail as jobs of the queue `email`, attachments and templates."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SAID = sa.text("content IS NOT NULL")
_OVER = "('dead', 'cancelled')"
_OPEN = "('waiting', 'active', 'delayed')"
# A job that ended without its message, and one that was taken up again.
_ENDED = (
    "status = CASE {0}.state WHEN 'dead' THEN 'failed' ELSE 'cancelled' END, error = COALESCE({0}.error, error),"
    " finished_at = COALESCE({0}.finished_at, created_at)"
)
_LOST = "status = 'cancelled', error = 'Its job was discarded.', finished_at = created_at"
_AGAIN = "status = 'pending', finished_at = NULL"
_MINE = "job_id = {0}.id AND status {1} AND content IS NOT NULL"


def upgrade() -> None:
    op.drop_index("ix_email_due", "email")
    op.drop_index("ix_email_kind", "email")
    with op.batch_alter_table("email") as table:
        for name in ("next_attempt_at", "enqueued_at", "claims", "claimed_by", "lease_until"):
            table.drop_column(name)
        table.alter_column("recipient", type_=sa.Text(), existing_type=sa.String(), existing_nullable=False)
        table.alter_column("subject", type_=sa.Text(), existing_type=sa.String(), existing_nullable=False)
        table.add_column(sa.Column("tenant", sa.String(), nullable=True))
        # Until now there were messages about accounts only.
        table.add_column(sa.Column("private", sa.Boolean(), nullable=False, server_default=sa.true()))
        table.add_column(sa.Column("attachments", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("outcomes", sa.Text(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("job_id", sa.String(), nullable=True))
        table.add_column(sa.Column("template", sa.String(), nullable=True))
        table.add_column(sa.Column("created_by", sa.String(), nullable=False, server_default="NovaPulse"))
        table.add_column(sa.Column("slot_at", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("tried_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_email_status", "email", ["status", "id"], unique=False)
    op.create_index("ix_email_tenant", "email", ["tenant", "id"], unique=False)
    op.create_index("ix_email_kind", "email", ["kind", "id"], unique=False)
    op.create_index("ix_email_job_id", "email", ["job_id"], unique=False)
    op.create_index("ix_email_finished_at", "email", ["finished_at"], unique=False)
    op.create_index("ix_email_said", "email", ["finished_at"], sqlite_where=_SAID, postgresql_where=_SAID)
    op.create_table(
        "email_attachment",
        sa.Column("email_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["email_id"], ["email.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("email_id", "number"),
    )
    op.create_table(
        "email_template",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("example", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    _give_jobs()
    (_follow_on_sqlite if op.get_bind().dialect.name == "sqlite" else _follow_on_postgres)()


def _give_jobs() -> None:
    """What waits to be sent gets the job that sends it."""
    false = "0" if op.get_bind().dialect.name == "sqlite" else "false"
    waiting = "FROM email WHERE status IN ('pending', 'sending')"
    op.execute(
        "INSERT INTO job (id, queue, task, payload, state, priority, created_by, pinned, run_at, max_attempts,"
        " timeout_s, attempts, crashes, enqueued_at, claims, lease_until, cancel_asked, created_at)"
        " SELECT 'job_' || substr(id, 5), 'email', 'email.send', '{\"email_id\":\"' || id || '\"}', 'waiting', 5,"
        f" 'NovaPulse', {false}, created_at, 100, 900, 0, 0, 0, 0, 0, {false}, created_at {waiting}"
    )
    op.execute(
        f"UPDATE queue_count SET n = n + (SELECT count(*) {waiting})"
        " WHERE queue = 'email' AND state = 'enqueued' AND shard = 0"
    )
    op.execute(
        "UPDATE email SET status = 'pending', job_id = 'job_' || substr(id, 5) WHERE status IN ('pending', 'sending')"
    )


def _follow_on_sqlite() -> None:
    def follow(name: str, event: str, row: str, when: str, then: str, status: str) -> None:
        op.execute(
            f"CREATE TRIGGER email_{name} AFTER {event} ON job WHEN {row}.queue = 'email' AND {when}"
            f" BEGIN UPDATE email SET {then} WHERE {_MINE.format(row, status)}; END"
        )

    ended, again = f"NEW.state IN {_OVER} AND OLD.state IN {_OPEN}", f"NEW.state IN {_OPEN} AND OLD.state IN {_OVER}"
    follow("job_ended", "UPDATE OF state", "NEW", ended, _ENDED.format("NEW"), "= 'pending'")
    follow("job_again", "UPDATE OF state", "NEW", again, _AGAIN, "IN ('failed', 'cancelled')")
    follow("job_gone", "DELETE", "OLD", f"OLD.state IN {_OPEN}", _LOST, "= 'pending'")


def _follow_on_postgres() -> None:
    # Per row, and `WHEN` keeps the jobs of other queues from costing anything.
    def follow(name: str, event: str, row: str, when: str, then: str, status: str) -> None:
        op.execute(
            f"CREATE FUNCTION email_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" UPDATE email SET {then} WHERE {_MINE.format(row, status)}; RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER email_{name} AFTER {event} ON job FOR EACH ROW"
            f" WHEN ({row}.queue = 'email' AND {when}) EXECUTE FUNCTION email_{name}()"
        )

    ended, again = f"NEW.state IN {_OVER} AND OLD.state IN {_OPEN}", f"NEW.state IN {_OPEN} AND OLD.state IN {_OVER}"
    follow("job_ended", "UPDATE OF state", "NEW", ended, _ENDED.format("NEW"), "= 'pending'")
    follow("job_again", "UPDATE OF state", "NEW", again, _AGAIN, "IN ('failed', 'cancelled')")
    follow("job_gone", "DELETE", "OLD", f"OLD.state IN {_OPEN}", _LOST, "= 'pending'")


def downgrade() -> None:
    for name in ("job_ended", "job_again", "job_gone"):
        if op.get_bind().dialect.name == "sqlite":
            op.execute(f"DROP TRIGGER IF EXISTS email_{name}")
        else:
            op.execute(f"DROP FUNCTION IF EXISTS email_{name}() CASCADE")
    op.drop_table("email_template")
    op.drop_table("email_attachment")
    for index in (
        "ix_email_status",
        "ix_email_tenant",
        "ix_email_kind",
        "ix_email_job_id",
        "ix_email_finished_at",
        "ix_email_said",
    ):
        op.drop_index(index, "email")
    with op.batch_alter_table("email") as table:
        for name in (
            "tenant", "private", "attachments", "outcomes", "job_id", "template", "created_by", "slot_at", "tried_at",
        ):  # fmt: skip
            table.drop_column(name)
        table.add_column(sa.Column("next_attempt_at", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("enqueued_at", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("claims", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("claimed_by", sa.String(), nullable=True))
        table.add_column(sa.Column("lease_until", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_email_due", "email", ["status", "next_attempt_at"], unique=False)
    op.create_index("ix_email_kind", "email", ["kind"], unique=False)
