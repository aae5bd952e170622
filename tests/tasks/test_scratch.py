"""Scratch folders: nobody else's eyes, and nothing left by runs that were killed."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import scratch
from tasks.errors import SourceNotFound
from tasks.processes import worker_name
from tasks.scratch import scratch_folder
from tasks.settings import Settings

RUN = """
import sys, time
from pathlib import Path
from tasks.scratch import scratch_folder
from tasks.settings import Settings
with scratch_folder(Settings(scratch=sys.argv[1])) as folder:
    (folder / "batch-1").mkdir()
    (folder / "batch-1" / "scan").write_text("restricted")
    print(folder, flush=True)
    time.sleep(60)
"""


def start(place: Path) -> tuple["subprocess.Popen[str]", Path]:
    """A run in a process of its own, and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(place)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def sweep(place: Path) -> None:
    """Begin a run, and end it."""
    with scratch_folder(Settings(scratch=place)):
        pass


def left_by(place: Path, owner: str | None, *, age_s: float = 0.0) -> Path:
    """A folder that a run of *owner* left."""
    folder = place / "autochrome-abc_1234"
    folder.mkdir(mode=0o700)
    (folder / "scan").write_text("restricted")
    if owner is not None:
        (folder / "owner").write_text(owner)
    then = time.time() - age_s
    os.utime(folder, (then, then))
    return folder


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """At once, and with all that is in it; what lives beside it is not touched."""
    (killed, its), (living, others) = start(tmp_path), start(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (its / "batch-1" / "scan").exists()
    sweep(tmp_path)
    assert not its.exists()
    assert (others / "batch-1" / "scan").exists()
    living.kill()
    living.wait()
    for process in (killed, living):
        assert process.stdout is not None
        process.stdout.close()


def test_a_killed_run_whose_parent_has_not_looked_yet(tmp_path: Path) -> None:
    """It is dead all the same, though its number is still taken."""
    process, folder = start(tmp_path)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    sweep(tmp_path)
    assert not folder.exists()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_nobody_else_may_look_into_it(tmp_path: Path) -> None:
    """Whatever the umask; and nothing stays of it."""
    before = os.umask(0)
    try:
        with scratch_folder(Settings(scratch=tmp_path)) as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


HERE, _, _ = worker_name().partition("/")


@pytest.mark.parametrize(
    ("owner", "age_h", "goes"),
    [
        (worker_name(), 48, False),  # it lives
        (f"{HERE}/{os.getpid()}/1", 0, True),  # its number is another's now
        ("elsewhere[9a5c5014.4026531836]/1/1", 1, False),
        ("elsewhere[9a5c5014.4026531836]/1/1", 25, True),
        ("", 1, False),
        (None, 1, False),
        (None, 25, True),
    ],
    # A worker's name is another in each process that runs tests.
    ids=["alive", "number", "other-fresh", "other-old", "unread", "unnamed-fresh", "unnamed-old"],
)
def test_who_owns_it_and_how_old_it_is_decide(
    tmp_path: Path, owner: str | None, age_h: float, goes: bool
) -> None:
    """Of other hosts on the same disk, and of older versions, only the age is known."""
    folder = left_by(tmp_path, owner, age_s=age_h * 3600)
    sweep(tmp_path)
    assert folder.exists() is not goes


def test_one_that_is_used_never_grows_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host that shares the disk must not take an idle desk's for forgotten."""
    monkeypatch.setattr(scratch, "_BEAT_S", 0.02)
    with scratch_folder(Settings(scratch=tmp_path)) as folder:
        (folder / "owner").write_text("elsewhere[9a5c5014.4026531836]/1/1")
        os.utime(folder, (1, 1))
        while folder.stat().st_mtime < time.time() - 3600:
            time.sleep(0.01)
        sweep(tmp_path)
        assert folder.exists()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """Other names, links, and folders of other accounts."""
    old = time.time() - 48 * 3600
    kept = [tmp_path / name for name in ("autochrome-tests-xyz12345", "autochrome-notes", "other")]
    for folder in kept:
        folder.mkdir()
        os.utime(folder, (old, old))
    link = tmp_path / "autochrome-link0000"
    link.symlink_to(kept[2])
    os.utime(link, (old, old), follow_symlinks=False)
    if os.geteuid() == 0:
        foreign = left_by(tmp_path, None, age_s=48 * 3600)
        os.chown(foreign, 65534, 65534)
        kept.append(foreign)
    sweep(tmp_path)
    assert all(path.exists() for path in (*kept, link))


def test_a_scratch_folder_that_is_not_there(tmp_path: Path) -> None:
    """Is a mistake in the settings."""
    with pytest.raises(SourceNotFound, match="AUTOCHROME_SCRATCH"):
        sweep(tmp_path / "none")
