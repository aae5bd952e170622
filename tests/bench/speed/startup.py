"""How long one waits before anything happens."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tasks.ledger.migrate import upgrade
from tests.bench.speed.rows import Row, at_most, seconds_of

ROUNDS = 5

# As where it is installed: bytecode is there, and was not compiled just now.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
_COMMAND = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())"]

_QUIET: dict[str, int] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


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

    def run() -> tuple[float, float]:
        place = folder / f"first-{next(numbers)}"
        arguments = ("run", str(one), "--out", str(place), "--db", f"sqlite:///{place}.db")
        return _until_first_picture(place, *arguments)

    run()  # and the bytecode, where there is none yet
    taken = [(seconds_of(status), *run()) for _ in range(ROUNDS)]
    status_s, first_s, whole_s = (statistics.median(column) for column in zip(*taken, strict=True))
    detail = (
        f"in its output, by `autochrome run` on a new ledger; the run ends after {whole_s:.1f} s"
    )
    return [
        at_most("autochrome status", status_s, 0.5, "a process, from start to end", unit="s"),
        at_most("first picture of a process", first_s, 5, detail, unit="s"),
    ]


def _until_first_picture(output: Path, *arguments: str) -> tuple[float, float]:
    """Seconds from the start of a process until a derivative is stored, and until its end."""
    start = time.perf_counter()
    with subprocess.Popen([*_COMMAND, *arguments], env=_ENVIRONMENT, **_QUIET) as process:
        while not any(output.glob("**/*.jpg")) and process.poll() is None:
            time.sleep(0.005)
        first_s = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"autochrome {' '.join(arguments)} ended with {process.returncode}")
    return first_s, time.perf_counter() - start


def _autochrome(*arguments: str) -> None:
    subprocess.run([*_COMMAND, *arguments], check=True, env=_ENVIRONMENT, **_QUIET)
