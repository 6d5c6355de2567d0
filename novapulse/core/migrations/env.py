"""What Alembic runs: the migrations, on the connection and in the transaction it was handed."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    # One process migrates, the others wait and then find nothing to do.
    connection.execute(text("SELECT pg_advisory_xact_lock(7215082)"))
context.configure(connection=connection, target_metadata=None, transactional_ddl=False)
context.run_migrations()
