"""What `autochrome serve` costs while nothing is to be done: CPU of each process, by name.

    python -m tests.bench.at_rest [--minutes 5] [--settle-s 120]

It is started over an empty archive, left alone once it says that all is there, and then watched.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.ports import free_port


def main() -> None:
    """Start it, watch it, end it; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--settle-s", type=float, default=120.0, help="after the start")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder, "archive").mkdir()
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "flows.cli", "serve", "archive", "--out", "colour"),
                *("--db", "sqlite:///ledger.db", "--home", "home"),
                *("--port", str(free_port()), "--web-port", str(free_port())),
            ],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=subprocess.PIPE,
        ) as serving:
            assert serving.stderr is not None
            try:
                while b"Ctrl-C drains" not in (line := serving.stderr.readline()):
                    assert line, "it ended"
                time.sleep(asked.settle_s)
                before, began = cpu_of(serving.pid), time.monotonic()
                time.sleep(asked.minutes * 60)
                after, took_s = cpu_of(serving.pid), time.monotonic() - began
            finally:
                serving.send_signal(signal.SIGINT)
    spent = {who: seconds - before.get(who, 0.0) for who, seconds in after.items()}
    sys.stdout.write(f"{sum(spent.values()) / took_s:.2%} of a core over {took_s:.0f} s\n")
    for (pid, name), seconds in sorted(spent.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"  {seconds / took_s:7.2%}  {pid:7}  {name}\n")


def cpu_of(pid: int) -> dict[tuple[int, str], float]:
    """Seconds of CPU so far, of a process and all that descend from it."""
    first = psutil.Process(pid)
    found = {}
    for process in [first, *first.children(recursive=True)]:
        times = process.cpu_times()
        # What children that have ended took is their parent's: a watcher that starts one a minute.
        spent = times.user + times.system + times.children_user + times.children_system
        found[process.pid, " ".join(process.cmdline())[-70:]] = spent
    return found


if __name__ == "__main__":
    main()
