"""What the failures of a database mean, and what to do about them. No message holds a password."""

import sqlite3

import sqlalchemy
from sqlalchemy import URL
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tasks.errors import DatabaseUnavailable, SchemaOutdated

# PostgreSQL's error codes (its manual, appendix A) after which the same transaction may succeed: 08
# connection, 40 deadlock and serialization, 53300 too many connections, 55P03 lock, 57P shutdown.
_TRANSIENT_POSTGRESQL = ("08", "40", "53300", "55P03", "57P")
_REFUSALS = ("42P01", "42703", "42501")  # no such table, no such column, no such right
TRANSIENT_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED")


def describe(url: URL) -> str:
    """Name a database for people: never its password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host") or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"{host}{port}/{url.database or ''}"


def is_transient(error: Exception) -> bool:
    """Whether the same transaction may succeed a moment later."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return sqlite_name(error.orig).startswith(TRANSIENT_SQLITE)
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # no answer from the server at all
        return isinstance(error, sqlalchemy.exc.OperationalError)
    return str(state).startswith(_TRANSIENT_POSTGRESQL)


def is_too_large(error: Exception) -> bool:
    """Whether a number was given that no column can hold."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(error, OverflowError) or state == "22003"


def is_mistake(error: Exception) -> bool:
    """Whether the statement is at fault, and not the database: ours to mend, with a traceback."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    mistakes = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
    return isinstance(error, mistakes) and state not in _REFUSALS


def explain(error: Exception, url: URL) -> DatabaseUnavailable:
    """Say in one line what the database refused, and what to do."""
    where = describe(url)
    original = getattr(error, "orig", None) or error
    said = " ".join(str(original).split())
    if isinstance(original, sqlite3.Error):
        return _explain_sqlite(original, where, said)
    state = str(getattr(original, "sqlstate", None) or "")
    if state in {"42P01", "42703"}:  # no such table, no such column
        return SchemaOutdated(f"{where}: {said}; run `autochrome db upgrade`")
    return DatabaseUnavailable(f"the database {where} refuses: {said}; {_postgresql_remedy(state)}")


def _postgresql_remedy(state: str) -> str:
    remedies = {
        "3D000": "create it, then run `autochrome db upgrade`",
        "28P01": "check user and password in AUTOCHROME_DATABASE_URL",
        "28000": "check the user in AUTOCHROME_DATABASE_URL and the server's pg_hba.conf",
        "42501": "grant this user the rights that deploy/ lists",
        "53100": "free space on its disk",
        "53300": "raise max_connections, or run fewer workers",
        "25006": "it is read-only: connect to the primary",
    }
    return remedies.get(
        state, "check that the server runs and that AUTOCHROME_DATABASE_URL leads to it"
    )


def _explain_sqlite(original: sqlite3.Error, where: str, said: str) -> DatabaseUnavailable:
    name = sqlite_name(original)
    remedies = {
        "SQLITE_NOTADB": "it is no SQLite database; name another file",
        "SQLITE_READONLY": "give this user the right to write the file and its folder",
        "SQLITE_CANTOPEN": "check that this user may read and write the file and its folder",
        "SQLITE_FULL": "free space on its disk",
        "SQLITE_BUSY": "another process holds it; end that one, or use PostgreSQL for many workers",
        "SQLITE_CORRUPT": "restore it from a copy, then discover the sources again",
    }
    remedy = next(
        (r for prefix, r in remedies.items() if name.startswith(prefix)), "check its disk"
    )
    return DatabaseUnavailable(f"the database {where} refuses: {said}; {remedy}")


def sqlite_name(error: sqlite3.Error) -> str:
    """SQLite's own name of a failure."""
    return getattr(error, "sqlite_errorname", "")
