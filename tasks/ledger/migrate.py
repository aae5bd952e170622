"""Bringing a database's schema to this version: `autochrome db upgrade`.

Alembic takes 0.2 s to import, and is imported only where there is something to migrate.
"""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

import tasks
from tasks.errors import DatabaseUnavailable, SchemaOutdated, UsageError
from tasks.ledger.engine import connect, current_revision, exists, explain_revision
from tasks.ledger.failures import explain
from tasks.schema import REVISION

if TYPE_CHECKING:
    from alembic.config import Config

# Any number: all that migrate wait for each other, and for nobody else.
_LOCK = 0x4175746F


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to *revision*; a SQLite file is made where there is none.

    Processes that do so at once take turns, and the later ones find nothing to do.

    Raises:
        UsageError: No ledger can be kept at such a URL.
        DatabaseUnavailable: The database cannot be reached, or refuses.
        SchemaOutdated: Its schema is of a revision that this code does not know.
    """
    _migrate(url, revision, create=True, upwards=True)


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to *revision* ("base": empty). What does not fit there is lost."""
    _migrate(url, revision, create=False, upwards=False)


def current(url: str) -> str | None:
    """The schema's revision, None where there is no ledger."""
    if not exists(url):
        return None
    engine = connect(url)
    try:
        with engine.execution_options(reading=True).connect() as connection:
            return current_revision(connection)
    except DBAPIError as error:
        raise explain(error, engine.url) from error
    finally:
        engine.dispose()


def make_if_missing(url: str) -> None:
    """Make the ledger where there is none; one that is outdated is left for a person to upgrade."""
    if current(url) is None:
        upgrade(url)


def is_current(url: str) -> bool:
    """Whether the schema is the one that this version works with."""
    return current(url) == REVISION


def configuration(connection: Connection | None = None) -> "Config":
    """Alembic's configuration, with the scripts of this checkout or of the installed wheel."""
    from alembic.config import Config  # noqa: PLC0415  see the module's docstring

    package = Path(tasks.__file__).parent
    installed = package / "migrations"
    config = Config()
    config.set_main_option(
        "script_location", str(installed if installed.is_dir() else package.parent / "alembic")
    )
    config.attributes["connection"] = connection
    return config


def _migrate(url: str, revision: str, *, create: bool, upwards: bool) -> None:
    from alembic import command  # noqa: PLC0415  see the module's docstring

    engine = connect(url, create=create)
    if engine.dialect.name == "sqlite":
        _let_tables_be_made_anew(engine)
    try:
        # One transaction: a migration that is killed half-way leaves the schema as it was.
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            config = configuration(connection)
            _check_known(config, current_revision(connection), revision)
            if upwards:
                command.upgrade(config, revision)
            else:
                command.downgrade(config, revision)
            if engine.dialect.name == "sqlite":
                _check_links(connection)
    except DBAPIError as error:
        raise explain(error, engine.url) from error
    finally:
        engine.dispose()


def _check_known(config: "Config", found: str | None, wanted: str) -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415  see the module's docstring

    scripts = ScriptDirectory.from_config(config).walk_revisions()
    known = sorted(script.revision for script in scripts)
    if found is not None and found not in known:
        raise SchemaOutdated(explain_revision(found))
    if wanted not in {"head", "base", *known}:
        raise UsageError(f"there is no revision {wanted}; name one of base, {', '.join(known)}")


def _let_tables_be_made_anew(engine: Engine) -> None:
    """SQLite alters a constraint by making the table anew: others may refer to its rows meanwhile.

    It cannot be told so within a transaction.
    """

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA foreign_keys = OFF").close()


def _check_links(connection: Connection) -> None:
    """What SQLite did not check row by row holds all the same."""
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise DatabaseUnavailable(
            f"row {broken[1]} of {broken[0]} refers to a row of {broken[2]} that is not there; "
            "nothing was changed; restore the ledger from a copy"
        )
