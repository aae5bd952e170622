"""Alembic's environment: over `tasks.ledger.migrate`'s connection, or one of its own."""

from alembic import context
from sqlalchemy import Connection

from tasks.ledger.engine import connect
from tasks.schema import metadata
from tasks.settings import Settings


def run(connection: Connection) -> None:
    """Run the migrations that Alembic was asked for, in the connection's transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite cannot alter a constraint: Alembic makes the table anew, which also drops its
        # triggers. A migration that does so must create the tallies' triggers again.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:  # the `alembic` command, say to write a new revision
    engine = connect(Settings().database_url.get_secret_value(), create=True)
    with engine.begin() as own:
        run(own)
