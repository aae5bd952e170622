"""What `serve` starts is ended with all that it started itself, and found again after a crash."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.serving.processes import Children, descendants
from tasks.processes import has_ended, name_of_process

#: A process that starts another in a session of its own and tells its id; that one ends at SIGTERM
#: only if it is asked to, as a flow run does.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def wait_for_line(path: Path) -> str:
    """The first line of a log."""
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return path.read_text().split()[0]


def start(home: Path, child: str) -> tuple[Children, int, int]:
    """Start a parent with a child; their ids."""
    children = Children(home)
    command = [sys.executable, "-c", PARENT.format(child=child)]
    parent = children.start("parent", command, os.environ)
    return children, parent.process.pid, int(wait_for_line(children.log_file("parent")))


def test_descendants_are_found_through_sessions(tmp_path: Path) -> None:
    """A flow run is in a session of its own."""
    children, parent, child = start(tmp_path, "import time; time.sleep(600)")
    assert descendants(parent) == [child]
    children.end_all(hurry=True)


@pytest.mark.parametrize("child", ["import time; time.sleep(600)", STUBBORN])
def test_hurry_leaves_nothing_behind(tmp_path: Path, child: str) -> None:
    """Within seconds, also of what does not listen; none of it is on a core any more."""
    children, parent, grandchild = start(tmp_path, child)
    names = [name_of_process(pid) for pid in (parent, grandchild)]
    began = time.monotonic()
    children.end_all(hurry=True)
    assert time.monotonic() - began < 60
    assert has_ended(names[0])
    assert (
        not Path(f"/proc/{grandchild}").exists()
        or "Z" in Path(f"/proc/{grandchild}/stat").read_text()
    )


def test_what_a_killed_serve_left_behind_is_ended_by_the_next(tmp_path: Path) -> None:
    """By its name, which tells it from a later process with the same id."""
    code = "import signal, time; time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as orphan:
        record = {"server": name_of_process(orphan.pid), "worker": f"{name_of_process(1)}0"}
        (tmp_path / "processes.json").write_text(json.dumps(record))
        assert Children(tmp_path).end_leftovers() == 1
        assert orphan.wait(10) == -15
    assert Children(tmp_path).end_leftovers() == 0
