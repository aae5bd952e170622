"""The command line: whatever a name holds, whatever the terminal is, errors are one line."""

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table

from flows.cli import main
from flows.terminal import LogFormatter, print_json, say, stdout, visible
from tests.scanfiles import codes_of, photograph, write_jpeg

HOSTILE = "[/x] [bold]\x1b[31mred\x07\x9b2J :smile: \u202egpj.exe \udce9"


def autochrome(*words: str | bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a shell does."""
    command = [os.fsencode(sys.executable), b"-m", b"flows.cli", *map(os.fsencode, words)]
    environment = os.environ | variables
    return subprocess.run(command, capture_output=True, env=environment, check=False, timeout=120)


def test_no_text_is_markup_or_reaches_the_terminal_with_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Printed, said, in a table's cell, in a log record."""
    table = Table(box=None)
    table.add_column("[/x]")
    table.add_row(HOSTILE)
    stdout.print(HOSTILE)
    stdout.print(table)
    say(HOSTILE)
    record = logging.LogRecord("x", logging.WARNING, "x", 1, HOSTILE, None, None)
    printed = "".join(capsys.readouterr()) + LogFormatter("%(message)s").format(record)
    assert printed.count("[bold]\\x1b[31mred\\x07\\x9b2J :smile: \\u202egpj.exe \\udce9") == 4
    assert not set(printed) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_ordinary_text_of_all_scripts_stays_as_it_is() -> None:
    """Accents, Arabic with its joiners, Chinese, emoji, tabs and line breaks."""
    text = "Zürich\tمی\u200cخواهم\n東京 👩\u200d🌾"
    assert visible(text) == text


def test_json_is_json_on_a_terminal_without_the_characters() -> None:
    """Bytes of UTF-8, whatever the locale."""
    done = autochrome("item", "nowhere", "--json", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    script = "from flows.terminal import print_json; print_json({'name': 'Zürich × ΔL*'})"
    command = [sys.executable, "-c", script]
    variables = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    out = subprocess.run(command, capture_output=True, check=True, env=variables).stdout
    assert json.loads(out) == {"name": "Zürich × ΔL*"}


def test_an_ascii_terminal_shows_what_it_can(tmp_path: Path) -> None:
    """Help, errors and names, in escapes where there is no other way; never a traceback."""
    scan = tmp_path / "scans" / "Zürich ×.jpg"
    scan.parent.mkdir()
    write_jpeg(scan, codes_of(photograph(64, 96)))
    variables = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    database = f"sqlite:///{tmp_path}/a.db"
    for words in (
        ("--help",),
        ("run", "--help"),
        ("discover", str(scan.parent), "--db", database),
        ("status", "--db", database),
    ):
        done = autochrome(*words, **variables)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        (done.stdout + done.stderr).decode("ascii")


@pytest.mark.parametrize(
    "words",
    [
        ("restore", "nothing.jpg", "x.jpg"),
        ("restore", ".", "x.jpg"),
        ("review", "export", "no/folder/x.csv", "--db", "sqlite:///a.db"),
        ("review", "import", ".", "--db", "sqlite:///a.db"),
        ("references", "export", "no/folder/x.csv", "--db", "sqlite:///a.db"),
        ("references", "export", ".", "--db", "sqlite:///a.db"),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_a_file_that_cannot_be_used_is_one_line_with_a_remedy(
    words: tuple[str, ...],
    tmp_path: Path,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In whatever command a person names it."""
    Path(sqlite_url.removeprefix("sqlite:///")).rename(tmp_path / "a.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["autochrome", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("autochrome: ")
    assert "name a file" in line


def test_print_json_goes_where_stdout_goes(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """After what was printed before it."""
    stdout.print("before")
    print_json([1])
    assert capsysbinary.readouterr().out == b"before\n[\n  1\n]\n"
    assert isinstance(sys.stdout, io.TextIOWrapper)


def test_bytes_that_are_no_text_are_named_as_they_can_be_typed(tmp_path: Path) -> None:
    """In the URI: a terminal's escape of them means nothing to a shell."""
    scan = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(scan)).write_bytes(b"scan")
    done = autochrome("discover", scan, "--db", f"sqlite:///{tmp_path / 'a.db'}")
    said = done.stderr.decode()
    assert f"{tmp_path.as_uri()}/caf%E9.jpg: not a folder" in said
    assert "udce9" not in said


def test_an_error_of_several_settings_names_them() -> None:
    """And no setting that does not exist."""
    done = autochrome("status", AUTOCHROME_WRITE_MASTER="false", AUTOCHROME_WRITE_ACCESS="false")
    assert done.returncode == 2
    said = done.stderr.decode()
    assert "write_master and write_access are both false" in said
    assert "AUTOCHROME_SETTINGS" not in said
