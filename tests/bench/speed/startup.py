"""How long one waits before anything happens."""

import os
import subprocess
import sys
from pathlib import Path

from tasks.ledger.migrate import upgrade
from tests.bench.speed.rows import Row, at_most, in_turn

ROUNDS = 5

# As where it is installed: bytecode is there, and was not compiled just now.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
_COMMAND = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())"]


def measure(folder: Path, scan: Path) -> list[Row]:
    """Rows about start-up."""
    url = f"sqlite:///{folder / 'status.db'}"
    upgrade(url)
    one = folder / "one"
    one.mkdir()
    (one / scan.name).write_bytes(scan.read_bytes())
    numbers = iter(range(100))

    def status() -> None:
        _autochrome("status", "--db", url)

    def first_picture() -> None:
        place = folder / f"first-{next(numbers)}"
        db = f"sqlite:///{place}.db"
        _autochrome("run", str(one), "--out", str(place), "--db", db)

    first_picture()  # and the bytecode, where there is none yet
    status_s, first_s = in_turn(status, first_picture, rounds=ROUNDS)
    return [
        at_most("autochrome status", status_s, 0.5, "a process, from start to end", unit="s"),
        at_most(
            "first picture of a process",
            first_s,
            5,
            "autochrome run on one scan, a new ledger and the report included",
            unit="s",
        ),
    ]


def _autochrome(*arguments: str) -> None:
    subprocess.run([*_COMMAND, *arguments], check=True, capture_output=True, env=_ENVIRONMENT)
