"""Whole runs side by side: ours, and the same work as other people would write it.

Each is a process of its own, twice: over some scans and over three times as many. What the second
takes longer tells the pace; the rest is the start. Memory is that of all its processes together,
each page counted once (Linux's PSS).
"""

import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.speed import rivals
from tests.bench.speed.material import small_scans
from tests.bench.speed.rows import Row

#: Name, module, and what it needs.
SCRIPTS = (
    ("a notebook", "notebook", "PIL"),
    ("ProcessPoolExecutor", "processes", "concurrent.futures"),
    ("a Dask bag", "daskbag", "distributed"),
    ("Ray Data", "raydata", "pyarrow"),
    ("Daft", "daftframe", "daft"),
)
#: What none of them does, and we do.
LACKS = (
    "loses 16 bits, profile, metadata; a bad file ends all; nothing is checked or recorded; run "
    "again, it does all again"
)
_LOOK_EVERY_S = 0.2


class Run(NamedTuple):
    """One process and its children, from start to end."""

    seconds: float
    peak_mib: float


def measure(folder: Path, *, scans: int) -> list[Row]:
    """A row for each script that is installed, and one for us."""
    few, kind = small_scans(folder / "few", scans)
    many, _ = small_scans(folder / "many", 3 * scans)
    paces: dict[str, tuple[float, float, float]] = {}
    rows = []
    for name, module, needs in (("Autochrome", "", "tasks"), *SCRIPTS):
        if find_spec(needs) is None:
            rows.append(Row(f"beside {name}", float("nan"), "×", detail="not installed"))
            continue
        runs = [
            _run(_command(module, source, folder / f"{module or 'ours'}-{source.name}"))
            for source in (few, many)
        ]
        pace = 2 * scans / (runs[1].seconds - runs[0].seconds)
        start_s = runs[0].seconds - scans / pace
        paces[name] = pace, start_s, runs[1].peak_mib
        lines = f"; {_lines(module)} lines of code; {LACKS}" if module else ""
        detail = f"{kind}: {pace:.1f}/s after {start_s:.1f} s, {runs[1].peak_mib:,.0f} MiB{lines}"
        ratio = paces["Autochrome"][0] / pace
        claim = f"as fast as {name}" if module else "Autochrome, a run from its start to its end"
        rows.append(Row(claim, ratio if module else pace, "×" if module else "/s", detail=detail))
    return rows


def _command(module: str, source: Path, out: Path) -> Sequence[str]:
    if module:
        return (sys.executable, "-m", rivals.__name__, module, str(source), str(out))
    database = f"sqlite:///{out}.db"
    ours = "import sys; from flows.cli import main; sys.exit(main())"
    return (sys.executable, "-c", ours, "run", str(source), "--out", str(out), "--db", database)


def _run(command: Sequence[str]) -> Run:
    start = time.perf_counter()
    quiet: dict[str, int] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=os.environ, **quiet) as process:
        peak: list[float] = [0.0]
        watch = threading.Thread(target=_watch, args=(psutil.Process(process.pid), peak))
        watch.start()
        code = process.wait()
        seconds = time.perf_counter() - start
        watch.join()
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return Run(seconds, peak[0])


def _watch(process: psutil.Process, peak: list[float]) -> None:
    """Note the most memory that a process and its descendants ever hold."""
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        held = 0
        for one in _family(process):
            try:
                held += one.memory_full_info().pss
            except psutil.Error:
                continue  # it has just ended
        peak[0] = max(peak[0], held / (1 << 20))
        time.sleep(_LOOK_EVERY_S)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _lines(module: str) -> int:
    """Lines of a script and of the steps that it shares, without blanks, comments, docstrings."""
    folder = Path(rivals.__file__).parent
    return sum(_code_lines(folder / f"{name}.py") for name in (module, "steps"))


def _code_lines(path: Path) -> int:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and _is_text(body[0]):
            body[0] = ast.Pass()
    lines = ast.unparse(tree).splitlines()
    return sum(bool(line.strip()) and line.strip() != "pass" for line in lines)


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
