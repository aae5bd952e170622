"""Migrations: from nothing, and back to it, on both databases."""

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    MetaData,
    inspect,
    select,
    text,
)

from tasks.errors import DatabaseUnavailable, UsageError
from tasks.ledger import Ledger
from tasks.ledger.engine import connect
from tasks.ledger.migrate import (
    configuration,
    current,
    downgrade,
    is_current,
    make_if_missing,
    upgrade,
)
from tasks.schema import REVISION, UNCHECKED, metadata
from tests.tasks.ledger.building import (
    check_tallies,
    enqueued,
    statuses,
)

T = TypeVar("T")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    url: str = request.getfixturevalue("postgresql_empty_url")
    return url


def test_schema_comes_from_nothing_and_goes_back_to_it(empty_url: str) -> None:
    """Upgrade, downgrade and upgrade again leave what they say, triggers included."""
    assert current(empty_url) is None
    upgrade(empty_url)
    assert is_current(empty_url)
    downgrade(empty_url, "base")
    assert current(empty_url) is None
    engine = connect(empty_url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    upgrade(empty_url)
    upgrade(empty_url)
    with Ledger.open(empty_url) as ledger:
        assert statuses(ledger, enqueued(ledger, 2)) == {"pending": 2}


WORDS = {
    "status": "review",
    "reason": "toned",
    "was_reason": "toned",
    "ending": "completed",
    "role": "train",
    "slot": "default",
    "kind": "reject",
}


def fill(connection: Connection) -> None:
    """A row in each table, every column of it filled; triggers keep the tallies."""
    found = MetaData()
    found.reflect(connection)
    for table in found.sorted_tables:
        is_empty = connection.execute(select(table).limit(1)).first() is None
        by_itself = table.name.endswith("_tally") or table.name.startswith("scan_words")
        is_ours = table.name != "alembic_version" and not by_itself
        if is_empty and is_ours:
            connection.execute(
                table.insert().values({c.name: value_for(c) for c in table.c if c.name != "id"})
            )


def value_for(column: Column[Any]) -> object:
    """Something that the column takes."""
    if (column.table.name, column.name) == ("scan", "revision"):
        return 2  # and one before
    if (column.table.name, column.name) == ("shot", "status"):
        return "open"
    values: dict[type, object] = {
        Boolean: True,
        Integer: 1,  # also links: each table has one row
        Float: 1.0,
        DateTime: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        JSON: {},
    }
    for kind, value in values.items():
        if isinstance(column.type, kind):
            return value
    if column.name.endswith("_at") or column.name in {"not_before", "since"}:
        return "2026-01-02 03:04:05.000"
    return WORDS.get(column.name, "1")


def count_rows(connection: Connection) -> dict[str, int]:
    """How many rows each table has."""
    tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return {
        table: connection.execute(text(f'SELECT count(*) FROM "{table}"')).scalar_one()  # noqa: S608 - names from the schema
        for table in sorted(tables)
    }


def rows_at(url: str, work: Callable[[Connection], T]) -> T:
    """Work on a database of any revision."""
    engine = connect(url)
    with engine.begin() as connection:
        result = work(connection)
    engine.dispose()
    return result


def test_a_full_ledger_goes_down_and_up(empty_url: str) -> None:
    """With a row in every table: none stands in the way, none is left, and each fits again."""
    for _ in range(2):
        upgrade(empty_url)
        rows_at(empty_url, fill)
        with Ledger.open(empty_url) as ledger:
            check_tallies(ledger)
        assert all(rows_at(empty_url, count_rows).values())
        downgrade(empty_url, "base")
        assert rows_at(empty_url, count_rows) == {}


def test_no_such_revision(ledger_url: str) -> None:
    """Those that there are are named, and nothing is changed."""
    with pytest.raises(UsageError, match=f"no revision 0099; name one of base, {REVISION}"):
        downgrade(ledger_url, "0099")
    assert is_current(ledger_url)


def test_migrations_make_what_the_code_expects(ledger_url: str) -> None:
    """`alembic check`: no difference between tasks.schema and a migrated database."""
    engine = connect(ledger_url)
    with engine.begin() as connection:
        config = configuration(connection)
        config.stdout = sys.stdout  # its default is that of the test that first imported Alembic
        command.check(config)
        found = inspect(connection)
        tables = set(found.get_table_names())
        keys = {key["name"] for table in tables for key in found.get_foreign_keys(table)}
    engine.dispose()
    of_words = {name for name in tables if name.startswith("scan_words")}
    assert bool(of_words) == ledger_url.startswith("sqlite")
    assert tables - of_words == {*metadata.tables, "alembic_version"}
    assert UNCHECKED & keys == (UNCHECKED if ledger_url.startswith("sqlite") else set())


def test_code_knows_the_last_revision() -> None:
    """Ledger.open compares without importing Alembic."""
    assert ScriptDirectory.from_config(configuration()).get_current_head() == REVISION


def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path) -> None:
    """Now and then SQLite turns one of them down without waiting: so we wait."""
    errors: list[Exception] = []

    def work(url: str, together: threading.Barrier) -> None:
        together.wait()
        try:
            with connect(url, create=True).connect():
                pass
        except Exception as error:  # noqa: BLE001 - the assertion below shows it
            errors.append(error)

    for number in range(100):
        url, together = f"sqlite:///{tmp_path / str(number)}.db", threading.Barrier(6)
        threads = [threading.Thread(target=work, args=(url, together)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


def test_processes_that_upgrade_at_once_take_turns(empty_url: str) -> None:
    """One makes the schema, the others find it."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            make_if_missing(empty_url)
        except Exception as error:  # noqa: BLE001 - the assertion below shows it
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert is_current(empty_url)


def test_downgrade_of_nothing_makes_no_file(tmp_path: Path) -> None:
    """Only an upgrade makes one."""
    path = tmp_path / "none.db"
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        downgrade(f"sqlite:///{path}", "base")
    assert not path.exists()


def test_alembic_command_works_in_a_checkout(tmp_path: Path) -> None:
    """For whoever writes the next migration."""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(root / "alembic.ini"), "upgrade", "head"],
        cwd=root,
        env={"AUTOCHROME_DATABASE_URL": f"sqlite:///{tmp_path / 'a.db'}", "PATH": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert is_current(f"sqlite:///{tmp_path / 'a.db'}")
