"""Opening a ledger: what is wrong is one line, with a remedy and without a password."""

import re
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from tasks.errors import DatabaseUnavailable, Reason, SchemaOutdated, UsageError
from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.engine import parse_url
from tasks.ledger.failures import explain, is_transient
from tasks.ledger.migrate import upgrade
from tests.databases import Server, at_revision


def refusal(url: str, error: type[Exception] = DatabaseUnavailable) -> str:
    """What opening says; always one line, never the password."""
    with pytest.raises(error) as caught:
        Ledger.open(url)
    said = str(caught.value)
    assert "\n" not in said
    assert "secret" not in said
    return said


@pytest.mark.parametrize("url", ["nonsense", "mysql://u@h/d", "sqlite://", "sqlite:///:memory:"])
def test_url_that_can_hold_no_ledger(url: str) -> None:
    """The message says which ones can."""
    assert re.search(r"sqlite:///PATH or postgresql://|name a file", refusal(url, UsageError))


def test_password_in_a_broken_url_is_not_shown() -> None:
    """Not even where the URL cannot be read."""
    refusal("postgresql//user:secret@host/db", UsageError)
    refusal("postgresql://user:secret@host:port/db", UsageError)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_urls_mean_psycopg_3(scheme: str) -> None:
    """As people write them."""
    assert parse_url(f"{scheme}://u@h/d").drivername == "postgresql+psycopg"


def test_missing_sqlite_file_and_folder(tmp_path: Path) -> None:
    """Neither is made by looking for it."""
    assert "autochrome db upgrade" in refusal(f"sqlite:///{tmp_path}/none.db")
    assert "make it first" in refusal(f"sqlite:///{tmp_path}/none/none.db")
    assert "is a folder" in refusal(f"sqlite:///{tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_database(tmp_path: Path) -> None:
    """It is left as it is."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear archive, " * 100)
    assert "no SQLite database" in refusal(f"sqlite:///{path}")


def test_empty_file_holds_no_ledger(tmp_path: Path) -> None:
    """It has no schema yet."""
    path = tmp_path / "empty.db"
    path.touch()
    assert "autochrome db upgrade" in refusal(f"sqlite:///{path}", SchemaOutdated)


def test_read_only_file(sqlite_url: str) -> None:
    """What SQLite says is explained (a test that runs as root cannot be refused by the folder)."""
    path = sqlite_url.removeprefix("sqlite:///")
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("DELETE FROM run")
    reader.close()
    refused = DBAPIError("DELETE", {}, caught.value)
    assert not is_transient(refused)
    assert "give this user the right to write" in str(explain(refused, parse_url(sqlite_url)))


@pytest.mark.parametrize(
    ("revision", "remedy"),
    [
        ("9999", "run `autochrome db upgrade`, or install the version"),
        ("0009", "name a new ledger"),
    ],
)
def test_other_revision(ledger_url: str, revision: str, remedy: str) -> None:
    """It is named, and what to do; an upgrade says the same where it does not know it."""
    at_revision(ledger_url, revision)
    said = refusal(ledger_url, SchemaOutdated)
    assert revision in said
    assert remedy in said
    with pytest.raises(SchemaOutdated, match=remedy):
        upgrade(ledger_url)


def test_unreachable_server() -> None:
    """Nobody listens there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        said = refusal(f"postgresql://user:secret@127.0.0.1:{port}/db")
    assert f"127.0.0.1:{port}/db" in said
    assert "check that" in said


def test_missing_database_and_role(postgresql_server: Server) -> None:
    """The server's own words are kept."""
    assert '"nowhere" does not exist' in refusal(postgresql_server.url("nowhere"))
    url = postgresql_server.url().replace("postgres:@", "nobody:secret@")
    assert '"nobody" does not exist' in refusal(url)


def test_empty_database_holds_no_ledger(postgresql_empty_url: str) -> None:
    """It has no schema yet."""
    assert "autochrome db upgrade" in refusal(postgresql_empty_url, SchemaOutdated)


def test_role_without_rights(postgresql_url: str, postgresql_server: Server) -> None:
    """It may connect, and nothing else."""
    postgresql_server.execute("DROP ROLE IF EXISTS visitor")
    postgresql_server.execute("CREATE ROLE visitor LOGIN")
    said = refusal(postgresql_url.replace("postgres:@", "visitor:secret@"))
    assert "permission denied" in said
    assert "rights" in said


def test_database_error_stops_the_run() -> None:
    """Its reason gives the attempts back."""
    assert DatabaseUnavailable.reason is Reason.NO_DATABASE


def test_locked_sqlite_file_is_waited_for_and_then_named(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that holds it for too long is the cause that is told."""
    monkeypatch.setattr("tasks.ledger.engine.BUSY_TIMEOUT_S", 0.1)
    with Ledger.open(sqlite_url, patience_s=0.5) as ledger:
        holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        assert ledger.counts().scans == 0  # readers do not wait
        with pytest.raises(DatabaseUnavailable, match="another process holds it"):
            ledger.start_run("nightly", "x")
        holder.execute("COMMIT")
        holder.close()
        assert ledger.start_run("nightly", "x") == 1


def test_asking_imports_nothing_heavy() -> None:
    """`autochrome status` must start in a blink."""
    code = (
        "import sys, tasks.ledger, tasks.ledger.checkpoints; "
        "heavy = {'torch', 'prefect', 'boto3', 'pyvips', "
        "'numpy', 'alembic', 'psycopg', 'sqlalchemy.orm.session'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_no_database_can_be_asked_is_a_usage_error(ledger: Ledger) -> None:
    """A name that is no text, on both: nothing has it, and how to write it is said."""
    with pytest.raises(UsageError, match=r"'caf\\udce9': it is no UTF-8; write it as `item` does"):
        ledger.reject(ItemFilter(collections=["caf\udce9"]), who="me", why="")
