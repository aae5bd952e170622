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

from tasks.errors import DatabaseUnavailable, Reason, UsageError, Verdict
from tasks.ledger import ItemFilter, Ledger, RunEnding
from tasks.ledger.engine import connect
from tasks.ledger.migrate import (
    configuration,
    current,
    downgrade,
    is_current,
    make_if_missing,
    upgrade,
)
from tasks.schema import REVISION, DecisionKind, metadata
from tests.tasks.ledger.building import (
    SOURCE,
    check_tallies,
    claim,
    enqueued,
    finish_all,
    keys,
    listing,
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


def foreign_keys(url: str) -> set[str | None]:
    """The names of all foreign keys of tables that were there from the first, less renamed ones."""
    engine = connect(url)
    known = {*inspect(engine).get_table_names()} - {"refusal", "held_place"}
    known -= {"backfill", "work_order"}
    found = {
        key["name"]
        for table in known
        for key in inspect(engine).get_foreign_keys(table)
        if key["referred_table"] not in {"backfill", "work_order"}
    }
    engine.dispose()
    return found


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
        is_ours = table.name != "alembic_version" and not table.name.endswith("_tally")
        if is_empty and is_ours:
            connection.execute(
                table.insert().values({c.name: value_for(c) for c in table.c if c.name != "id"})
            )


def value_for(column: Column[Any]) -> object:
    """Something that the column takes."""
    if (column.table.name, column.name) == ("scan", "revision"):
        return 2  # and one before
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


REVISIONS = [
    script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()
]


def let_go(connection: Connection) -> None:
    """A release of the held place."""
    connection.execute(text("DELETE FROM held_place"))


RENAMED = {("backfill", "0009"): "work_order", ("backfill_tally", "0009"): "order_tally"}


@pytest.mark.parametrize("revision", sorted(REVISIONS))
def test_each_migration_goes_down_and_up_with_rows_in_every_table(
    empty_url: str, revision: str
) -> None:
    """Nothing is refused and nothing lost that both revisions have a place for."""
    upgrade(empty_url, revision)
    rows_at(empty_url, fill)
    before = rows_at(empty_url, count_rows)
    assert all(before.values())
    if revision == "0008":
        rows_at(empty_url, let_go)
    downgrade(empty_url, "-1")
    older = rows_at(empty_url, count_rows)
    older = {RENAMED.get((table, revision), table): n for table, n in older.items()}
    assert all(older[table] == before[table] for table in older)
    upgrade(empty_url, revision)
    again = rows_at(empty_url, count_rows)
    assert all(again[table] == before[table] for table in older)
    rows_at(empty_url, fill)
    upgrade(empty_url)
    with Ledger.open(empty_url) as ledger:
        check_tallies(ledger)


def test_a_full_ledger_goes_all_the_way_down_and_up(empty_url: str) -> None:
    """From the newest revision, as the runbook's way back does."""
    upgrade(empty_url)
    rows_at(empty_url, fill)
    rows_at(empty_url, let_go)
    for revision in [*sorted(REVISIONS, reverse=True)[1:], "base"]:
        downgrade(empty_url, revision)
    upgrade(empty_url)
    assert is_current(empty_url)


# What the version reads that works with revision 0007 or an older one.
OLDER_REASONS = {
    *("already_colour", "bilevel", "blank", "vanished", "unreadable", "truncated"),
    *("unsupported_format", "too_large", "fixity_mismatch", "killed_worker"),
    *("storage_unavailable", "timeout", "out_of_memory", "low_confidence", "negative_suspected"),
    *("toned", "tone_gate", "write_unverified", "unexpected", "no_device", "no_database"),
    *("no_checkpoint", "output_full", "access_denied"),
}
OLDER_KINDS = {
    *("retry", "hold", "release", "approve", "reject", "supersede", "enqueue", "scan_changed"),
    *("scan_vanished", "scan_reappeared", "redo", "overwritten", "promote", "roll_back"),
    *("backfill", "pause", "resume", "cancel", "withdraw"),
}
OLDER_ENDINGS = {"completed", "aborted", "cancelled"}
STATUS_OF = {
    Verdict.SKIP: "skipped",
    Verdict.QUARANTINE: "quarantined",
    Verdict.RETRY: "failed",
    Verdict.REVIEW: "review",
    Verdict.FAIL: "failed",
    Verdict.ABORT: "pending",
}


def say_every_word(connection: Connection) -> None:
    """An item, an attempt and a moved item for each reason; each kind of decision; each ending."""
    found = MetaData()
    found.reflect(connection)
    tables = found.tables
    first = {
        name: dict(connection.execute(select(tables[name])).mappings().one())
        for name in ("scan", "item", "attempt", "decision", "decision_item", "run")
    }
    for number, reason in enumerate(Reason, 100):
        status = STATUS_OF[reason.verdict]
        made = {
            "scan": {"id": number, "key": str(number)},
            "item": {"id": number, "scan_id": number, "status": status, "reason": reason.value},
            "attempt": {"id": number, "item_id": number, "status": status, "reason": reason.value},
            "decision_item": {"item_id": number, "was": status, "was_reason": reason.value},
        }
        for name, values in made.items():
            connection.execute(tables[name].insert().values({**first[name], **values}))
    words = {"decision": ("kind", DecisionKind), "run": ("ending", RunEnding)}
    for name, (column, kinds) in words.items():
        for number, word in enumerate(kinds, 100):
            values = {**first[name], "id": number, column: word.value}
            connection.execute(tables[name].insert().values(values))


def test_the_version_before_reads_every_word_after_a_downgrade(empty_url: str) -> None:
    """Whatever the newest one has written: reasons, kinds of decisions, endings of runs."""
    upgrade(empty_url)
    rows_at(empty_url, fill)
    rows_at(empty_url, let_go)
    rows_at(empty_url, say_every_word)
    downgrade(empty_url, "0007")

    def words(column: str, table: str) -> set[str]:
        found = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608 - names below
        return set(rows_at(empty_url, lambda c: c.execute(text(found)).scalars().all()))

    assert words("reason", "item") == OLDER_REASONS
    assert words("reason", "attempt") == OLDER_REASONS
    assert words("was_reason", "decision_item") == OLDER_REASONS
    assert words("kind", "decision") == OLDER_KINDS
    assert words("ending", "run") == OLDER_ENDINGS
    skipped = "(SELECT * FROM item WHERE status = 'skipped') AS skipped"
    assert words("reason", skipped) == {"already_colour", "bilevel", "blank", "vanished"}
    upgrade(empty_url)
    with Ledger.open(empty_url) as ledger:
        check_tallies(ledger)


@pytest.mark.parametrize("what", ["box-7/", "box/0000.tif"])
def test_no_downgrade_frees_what_is_held(ledger_url: str, what: str) -> None:
    """A place, or a scan without an item, would be coloured by the version before."""
    with Ledger.open(ledger_url) as ledger:
        ledger.record_listing(SOURCE, listing(keys(2)), collection="photographs")
        chosen = ItemFilter(uri=f"{SOURCE}/{what}")
        ledger.hold(chosen, who="curator", why="rights")
    with pytest.raises(UsageError, match=r"are held, and revision 0007 cannot hold them"):
        downgrade(ledger_url, "0007")
    assert is_current(ledger_url)
    with Ledger.open(ledger_url) as ledger:
        ledger.release(chosen, who="curator", why="kept elsewhere")
    downgrade(ledger_url, "0007")


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
