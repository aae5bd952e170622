"""What a database says of itself when `autochrome doctor` asks; nothing is changed."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import false, select, text, update
from sqlalchemy.exc import DBAPIError

from tasks.ledger import sql
from tasks.ledger.engine import connect, current_revision, parse_url
from tasks.ledger.failures import describe, explain
from tasks.schema import REVISION, run


@dataclass(frozen=True)
class DatabaseState:
    """Where a database stands.

    Attributes:
        revision: Of its schema; None where it holds no ledger.
        server: What kind of database it is, and its version.
        is_ahead_s: How far its clock is ahead of this machine's, in seconds.
    """

    revision: str | None
    server: str
    is_ahead_s: float


def name_of(url: str) -> str:
    """The database's name for people, without a password."""
    return describe(parse_url(url))


def is_file(url: str) -> bool:
    """Whether the database is a file of this machine."""
    return parse_url(url).get_backend_name() == "sqlite"


def look_at(url: str) -> DatabaseState:
    """Ask a database for its schema, its version and its time, and whether it may be written to.

    Raises:
        UsageError: No ledger can be kept at such a URL.
        DatabaseUnavailable: It cannot be reached, or refuses; to be written to, too.
    """
    engine = connect(url)
    try:
        with engine.execution_options(reading=True).connect() as connection:
            revision = current_revision(connection)
            clock = connection.execute(select(sql.now())).scalar_one()
            said = connection.execute(
                text("SELECT sqlite_version()" if is_file(url) else "SHOW server_version")
            ).scalar_one()
        here = datetime.now(UTC)
        if revision == REVISION:
            with engine.execution_options(reading=False).begin() as connection:
                connection.execute(update(run).where(false()).values(detail=run.c.detail))
    except DBAPIError as error:
        raise explain(error, engine.url) from error
    finally:
        engine.dispose()
    kind = "SQLite" if is_file(url) else "PostgreSQL"
    return DatabaseState(revision, f"{kind} {said}", (clock - here).total_seconds())
