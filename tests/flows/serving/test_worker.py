"""A worker that is stopped lets its runs drain. Real processes, as Prefect's worker starts them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

# A worker that kills its run when told to end, as Prefect's does.
WORKER = """
import signal, subprocess, sys, time
run = subprocess.Popen([sys.executable, sys.argv[1], sys.argv[2]], start_new_session=True)
def end(*_):
    run.kill()
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
time.sleep(60)
"""

# A run that takes a while to end, with a helper process that must not be told.
RUN = """
import pathlib, signal, subprocess, sys, time
told = pathlib.Path(sys.argv[1])
helper = subprocess.Popen(["sleep", "60"])
def drain(*_):
    time.sleep(0.5)
    told.write_text("drained, helper " + ("ended" if helper.poll() is not None else "alive"))
    helper.kill()
    sys.exit()
signal.signal(signal.SIGTERM, drain)
told.write_text("running")
time.sleep(60)
"""


def wait_for(path: Path, content: str) -> None:
    """Until the file says so."""
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text() == content):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_runs_drain_when_the_worker_is_stopped(tmp_path: Path) -> None:
    """The run ends in its own way before the command does, and its helpers are left to it."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "run.py").write_text(RUN)
    told = tmp_path / "told"
    command = [sys.executable, tmp_path / "worker.py", tmp_path / "run.py", told]
    draining = subprocess.Popen([sys.executable, "-m", "flows.serving.worker", *command])
    wait_for(told, "running")
    draining.send_signal(signal.SIGTERM)
    assert draining.wait(30) == 7
    assert told.read_text() == "drained, helper alive"


def test_the_exit_code_is_the_commands() -> None:
    """Container runtimes decide by it."""
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    ended = subprocess.run([sys.executable, "-m", "flows.serving.worker", *command], check=False)
    assert ended.returncode == 137
