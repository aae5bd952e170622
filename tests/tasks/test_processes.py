"""Worker names: the living are recognised, the dead too, and strangers are left alone."""

import os
import signal
import subprocess
import sys

from tasks.processes import has_ended, worker_name


def test_this_process_lives() -> None:
    """A worker does not take its own leases away."""
    assert not has_ended(worker_name())


def test_a_killed_process_has_ended() -> None:
    """Its leases can be taken over at once."""
    script = (
        "import time; from tasks.processes import worker_name; "
        "print(worker_name(), flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert not has_ended(name)
        other.send_signal(signal.SIGKILL)
    assert has_ended(name)


def test_a_process_id_that_is_used_again_is_another_worker() -> None:
    """The start time tells them apart."""
    place, _, _ = worker_name().partition("/")
    assert has_ended(f"{place}/{os.getpid()}/1")


def test_nothing_is_known_of_other_hosts() -> None:
    """Their leases run out by the clock."""
    assert not has_ended("elsewhere[4026531836]/1/1")
    assert not has_ended("a name from another version")
