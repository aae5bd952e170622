"""Migrations: from nothing, and back to it, on both databases."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from tasks.errors import DatabaseUnavailable
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
from tasks.schema import REVISION, metadata
from tests.tasks.ledger.building import claim, enqueued, finish_all, statuses


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


def foreign_keys(url: str) -> set[str | None]:
    """The names of all foreign keys."""
    engine = connect(url)
    found = {
        key["name"] for table in metadata.tables for key in inspect(engine).get_foreign_keys(table)
    }
    engine.dispose()
    return found


def test_a_ledger_with_work_in_it_is_upgraded_as_it_is(ledger_url: str) -> None:
    """From the revision before, and back to it: every row stays, only what is checked differs."""
    with Ledger.open(ledger_url) as ledger:
        recipe_id = enqueued(ledger, 3)
        finish_all(ledger, claim(ledger, recipe_id, limit=2))
    newest = foreign_keys(ledger_url)
    downgrade(ledger_url, "0005")
    more = foreign_keys(ledger_url) - newest
    is_sqlite = ledger_url.startswith("sqlite")
    dropped = {"fk_scan_run_id", "fk_attempt_item_id", "fk_derivative_item_id"}
    assert more == (set() if is_sqlite else dropped)
    upgrade(ledger_url)
    assert foreign_keys(ledger_url) == newest
    with Ledger.open(ledger_url) as ledger:
        assert statuses(ledger) == {"pending": 1, "review": 2}
        finish_all(ledger, claim(ledger, recipe_id))
        assert len(ledger.list_derivatives()) == 3


def test_migrations_make_what_the_code_expects(ledger_url: str) -> None:
    """`alembic check`: no difference between tasks.schema and a migrated database."""
    engine = connect(ledger_url)
    with engine.begin() as connection:
        command.check(configuration(connection))
        tables = set(inspect(connection).get_table_names())
    engine.dispose()
    assert tables == {*metadata.tables, "alembic_version"}


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
