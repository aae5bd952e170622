"""The connection to the ledger's database: opening it, and what its failures mean.

`Database.write` and `Database.read` are the only ways in. Each runs one short transaction. Whatever
is asked of the ledger is a function of a connection, made an operation by `reads` or `writes`.

When the connection is lost, a deadlock is broken or a lock is not to be had, the transaction is run
again for as long as the patience lasts; after that, and for whatever else the database refuses,
there is `DatabaseUnavailable` with one line that a person can act on. No message holds a password.
"""

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar, cast

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tasks.errors import DatabaseUnavailable, SchemaOutdated, UsageError
from tasks.ledger.failures import (
    TRANSIENT_SQLITE,
    describe,
    explain,
    is_mistake,
    is_too_large,
    is_transient,
    sqlite_name,
)
from tasks.paths import is_file, is_folder
from tasks.schema import REVISION

T = TypeVar("T")
P = ParamSpec("P")

BUSY_TIMEOUT_S = 30.0
_FIRST_RELEASED = "0100"  # the revision of release 0.1.0
_LOOK_AGAIN_S = (0.0005, 0.003)
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})
_FORMS = "sqlite:///PATH or postgresql://USER@HOST/DATABASE"


class Database:
    """A process's way to the ledger's database; threads may share it, forked processes may not."""

    def __init__(self, engine: Engine, *, patience_s: float) -> None:
        self.engine = engine
        self.patience_s = patience_s
        self._writing = engine.execution_options(reading=False)
        self._forgetful = engine.execution_options(reading=False, forgetful=True)
        self._reading = engine.execution_options(reading=True)

    def write(self, work: Callable[[Connection], T], *, forgetful: bool = False) -> T:
        """Run *work* in one transaction that may change things (it may be run more than once).

        A *forgetful* one is not waited for on the disk: a server that crashes may forget it.
        """
        return self._patiently(work, self._forgetful if forgetful else self._writing)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run *work* in one transaction that only reads; in SQLite it waits for no writer."""
        return self._patiently(work, self._reading)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _patiently(self, work: Callable[[Connection], T], engine: Engine) -> T:
        give_up_at = time.monotonic() + self.patience_s
        pause_s = 0.02
        while True:
            try:
                with engine.begin() as connection:
                    return work(connection)
            except UnicodeEncodeError as error:
                name = f"{error.object!a}: it is no UTF-8"
                raise UsageError(f"nothing is called {name}; write it as `item` does") from error
            except (DBAPIError, PoolTimeoutError, OverflowError) as error:
                if is_too_large(error):
                    raise UsageError("nothing has a number as large as the one given") from error
                if not is_transient(error) and is_mistake(error):
                    raise
                if not is_transient(error) or time.monotonic() + pause_s > give_up_at:
                    raise explain(error, self.engine.url) from error
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries, guards nothing
            pause_s = min(pause_s * 2, 1.0)


Operation: TypeAlias = Callable[Concatenate[Database | Connection, P], T]
"""Called with a database it is a transaction, with a connection a part of the caller's."""


def reads(work: Callable[Concatenate[Connection, P], T]) -> Operation[P, T]:
    """Make *work* an operation on the ledger that only reads."""

    @wraps(work)
    def operation(where: Database | Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if isinstance(where, Connection):
            return work(where, *args, **kwargs)
        return where.read(lambda connection: work(connection, *args, **kwargs))

    return operation


def writes(work: Callable[Concatenate[Connection, P], T]) -> Operation[P, T]:
    """Make *work* an operation on the ledger that may change things."""

    @wraps(work)
    def operation(where: Database | Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if isinstance(where, Connection):
            return work(where, *args, **kwargs)
        return where.write(lambda connection: work(connection, *args, **kwargs))

    return operation


def open_engine(url: str) -> Engine:
    """Connect to a database whose schema is the one that this code works with.

    Raises:
        UsageError: *url* is none that a ledger can be kept in.
        DatabaseUnavailable: It cannot be reached, or refuses.
        SchemaOutdated: Its schema is older or newer than this code.
    """
    engine = connect(url)
    try:
        with engine.execution_options(reading=True).connect() as connection:
            check_revision(connection)
    except DBAPIError as error:
        engine.dispose()
        raise explain(error, engine.url) from error
    except DatabaseUnavailable:
        engine.dispose()
        raise
    return engine


def connect(url: str, *, create: bool = False) -> Engine:
    """Build the engine for *url*; a SQLite file is only made when *create* is set."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        _check_sqlite_file(parsed, create=create)
        return _sqlite_engine(parsed)
    return _postgresql_engine(parsed)


def parse_url(url: str) -> URL:
    """Read a database URL, and set the driver that we use."""
    scheme, separator, path = url.partition(":///")
    if separator and path and scheme in _SQLITE:
        # All of it is a path: SQLAlchemy would take what follows a "?" for options.
        return URL.create("sqlite+pysqlite", database=_file_of(path))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UsageError(f"the database URL cannot be read; write {_FORMS}") from None
    if "@" in (parsed.host or ""):  # not repeated: it holds the end of the password
        raise UsageError(
            "the database URL holds an @ in its name or password: write it as %40, or keep the "
            "password in ~/.pgpass"
        )
    if parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in _SQLITE:
        _file_of(parsed.database or "")
    raise UsageError(f"a ledger cannot be kept in {parsed.drivername}; write {_FORMS}")


def _file_of(path: str) -> str:
    if path in {"", ":memory:"}:
        raise UsageError("a ledger in memory would be lost with the process; name a file")
    return path


def exists(url: str) -> bool:
    """Whether there is a database to connect to: False only for a SQLite file yet to be made."""
    parsed = parse_url(url)
    return parsed.get_backend_name() != "sqlite" or is_file(Path(str(parsed.database)))


def check_revision(connection: Connection) -> None:
    """Raise `SchemaOutdated` where the schema is not the one that this code works with."""
    if refused := explain_revision(current_revision(connection)):
        raise SchemaOutdated(f"{describe(connection.engine.url)}: {refused}")


def explain_revision(found: str | None) -> str:
    """Say what is wrong with a schema and what to do; "" where it is this code's."""
    if found is None:
        return "it holds no ledger yet; make one with `autochrome db upgrade`"
    if found == REVISION:
        return ""
    if found < _FIRST_RELEASED:
        return (
            f"its tables are at {found}, older than release 0.1.0, and cannot be upgraded; name a "
            "new ledger, and discover the sources again"
        )
    return (
        f"its tables are at {found}, and this version works with {REVISION}; run `autochrome db "
        "upgrade`, or install the version of Autochrome that last did"
    )


def current_revision(connection: Connection) -> str | None:
    """The schema's revision in the database, None where there is no ledger."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


# --- SQLite --------------------------------------------------------------------------------------


def _check_sqlite_file(url: URL, *, create: bool) -> None:
    path = Path(str(url.database))
    if not is_folder(path.parent):
        raise DatabaseUnavailable(f"{path}: the folder {path.parent} does not exist; make it first")
    if not (is_file(path) or is_folder(path) or create):
        raise DatabaseUnavailable(f"{path} does not exist; make it with `autochrome db upgrade`")
    if is_folder(path):
        raise DatabaseUnavailable(f"{path} is a folder; name a file in it")


def _sqlite_engine(url: URL) -> Engine:
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, see below
        # Readers and the writer do not wait for each other. In a new file that others open just
        # now, SQLite refuses that at once, whatever its timeout.
        _when_free(connection, "PRAGMA journal_mode = WAL")
        cursor = connection.cursor()
        # A killed process loses nothing. A power cut may lose the last transactions, never the
        # file: the items in them are claimed again, and their derivatives written over.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer that begins as a reader can find, at its first write, that another was faster,
        # and then no waiting helps. IMMEDIATE takes its turn at the start.
        if connection.get_execution_options().get("reading", False):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection)

    return engine


def _begin_writing(connection: Connection) -> None:
    """Take a turn at writing, as fairly as can be.

    SQLite's own waiting looks again after 1, 2, 5, … 100 ms: the longer someone has waited, the
    more often others are faster. All who look equally often have equal chances.
    """
    raw = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        with suppress(sqlite3.Error):
            _when_free(raw, "BEGIN IMMEDIATE")
        if not raw.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises what stands in its way
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")


def _when_free(raw: sqlite3.Connection, statement: str) -> None:
    """Execute *statement* as soon as no other stands in its way."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            raw.execute(statement).close()
        except sqlite3.Error as error:
            is_transient = sqlite_name(error).startswith(TRANSIENT_SQLITE)
            if not is_transient or time.monotonic() > give_up_at:
                raise
            time.sleep(random.uniform(*_LOOK_AGAIN_S))  # noqa: S311 - spreads attempts, guards nothing
        else:
            return


# --- PostgreSQL ----------------------------------------------------------------------------------


def _postgresql_engine(url: URL) -> Engine:
    # A server that vanished without a word is noticed within about half a minute.
    options = {
        "application_name": "autochrome",
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    given = {name: value for name, value in options.items() if name not in url.query}
    engine = sqlalchemy.create_engine(url, connect_args=given, pool_size=4, max_overflow=8)

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: object) -> None:
        # A stopped process must not hold its locks for ever.
        cursor = connection.cursor()
        cursor.execute("SET idle_in_transaction_session_timeout = '60s'")
        cursor.close()
        connection.commit()
        connection.autocommit = True  # we begin transactions ourselves, see below

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # In one go: what has to be said about a transaction costs no way to the server of its own.
        options = connection.get_execution_options()
        if options.get("reading", False):
            # One snapshot for all that is read together: counts that are asked for one after
            # another reconcile. SQLite's transactions are so by nature.
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ")
        elif options.get("forgetful", False):
            connection.exec_driver_sql("BEGIN; SET LOCAL synchronous_commit = off")
        else:
            connection.exec_driver_sql("BEGIN")

    return engine
