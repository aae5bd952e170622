"""Alembic's environment: over `tasks.ledger.migrate`'s connection, or one of its own."""

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.sql.schema import SchemaItem

from tasks.ledger.engine import connect
from tasks.schema import UNCHECKED, metadata
from tasks.settings import Settings


def is_compared(_thing: SchemaItem, name: str | None, kind: str, *_: object) -> bool:
    """Whether `alembic check` looks at something: not at what one of the databases lacks."""
    is_of_words = (name or "").startswith(("scan_words", "ix_scan_words"))
    return not is_of_words and not (kind == "foreign_key_constraint" and name in UNCHECKED)


def run(connection: Connection) -> None:
    """Run the migrations that Alembic was asked for, in the connection's transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite cannot alter a constraint: Alembic makes the table anew, which also drops its
        # triggers. A migration that does so must create the tallies' triggers again.
        render_as_batch=connection.dialect.name == "sqlite",
        include_object=is_compared,
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
