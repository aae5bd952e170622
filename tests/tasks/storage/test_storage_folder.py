"""Folders with everything that file systems have in them, and what goes wrong with disks."""

import ctypes
import ctypes.util
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import (
    AccessDenied,
    OutputFull,
    Reason,
    SourceNotFound,
    UsageError,
    WriteUnverified,
    reason_of,
)
from tasks.settings import Settings
from tasks.storage import (
    ChangedSinceListing,
    ListingIncomplete,
    ObjectMissing,
    ObjectRefused,
    ObjectStore,
    open_store,
)
from tests.tasks.storage.places import MakeFile, as_nobody

SETTINGS = Settings()


def source(root: Path) -> ObjectStore:
    """Open *root* for reading."""
    return open_store(str(root), settings=SETTINGS)


def output(root: Path) -> ObjectStore:
    """Open *root* for writing."""
    return open_store(str(root), settings=SETTINGS, writable=True)


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """List all keys."""
    return [info.key for info in store.list_objects(prefix)]


def make(root: Path, *names: str) -> None:
    """Make a file a name, with its name as content."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


NAMES = [
    b"latin1-\xe9t\xe9.jpg",
    b"shift-jis/\x83\x6e.jpg",
    b"\xff" * 200,
    b"line\nfeed.jpg",
    b"tab\t\x1b[2J.jpg",
    "private \uefff.jpg".encode(),
    b"   ",
    b"-rf",
    b"*?.jpg",
    b"~x",
]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    """Are listed under keys that a database takes, and read again by these."""
    for name in NAMES:
        path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 - names are bytes here
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - and here
        Path(os.fsdecode(path)).write_bytes(name)
    store = source(tmp_path)
    found = keys(store)
    assert found == sorted(found)
    assert {store.read(key.encode().decode()) for key in found} == set(NAMES)
    assert not any("\0" in key for key in found)


def test_a_path_of_a_thousand_characters(tmp_path: Path) -> None:
    """Is a key like any other."""
    name = "/".join(["deep" * 50] * 6)[:1000]
    make(tmp_path, name)
    assert keys(source(tmp_path)) == [name]
    assert source(tmp_path).read(name) == name.encode()


def test_a_tree_deeper_than_the_interpreter(tmp_path: Path) -> None:
    """Is walked to its end."""
    folder = tmp_path
    for _ in range(1500):
        folder = folder / "d"
        folder.mkdir()
    make(folder, "x.jpg")
    make(tmp_path, "z.jpg")
    assert keys(source(tmp_path)) == ["d/" * 1500 + "x.jpg", "z.jpg"]
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest's own removal is recursive


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    """Out of the tree: yes, once. Round in a circle: no."""
    root, mount = tmp_path / "archive", tmp_path / "mount"
    make(root, "1934/a.jpg")
    make(mount, "b.jpg", "deep/c.jpg")
    (root / "linked").symlink_to(mount)
    (root / "linked2").symlink_to(mount / "deep")
    (root / "again").symlink_to("1934")
    (root / "up").symlink_to("..")
    (root / "self").symlink_to(".")
    (root / "file.jpg").symlink_to("1934/a.jpg")
    (mount / "back").symlink_to(root)
    (mount / "deep" / "round").symlink_to(mount)
    assert keys(source(root)) == ["1934/a.jpg", "file.jpg", "linked/b.jpg", "linked/deep/c.jpg"]


def test_what_is_no_file_is_no_scan(tmp_path: Path) -> None:
    """Pipes, sockets and devices are passed over, and never opened."""
    make(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        store = source(tmp_path)
        assert keys(store) == ["a.jpg"]
        for key in ("pipe.jpg", "device.jpg", "socket"):
            assert store.stat(key) is None
            with pytest.raises((ObjectMissing, ObjectRefused, Exception)) as caught:
                store.fetch(key, tmp_path / "into")
            assert reason_of(caught.value) is Reason.STORAGE_UNAVAILABLE


def test_a_broken_link_is_reported_at_the_end(tmp_path: Path) -> None:
    """It may lead to a mount that is away tonight: its scans did not vanish."""
    make(tmp_path, "a.jpg", "z.jpg")
    (tmp_path / "1934").symlink_to("/not/mounted")
    listing = source(tmp_path).list_objects()
    assert [info.key for info in itertools.islice(listing, 2)] == ["a.jpg", "z.jpg"]
    with pytest.raises(ListingIncomplete, match=r"1934 \(no such file"):
        next(listing)


def test_an_unreadable_folder_is_reported_at_the_end(shared_path: Path) -> None:
    """Everything else is listed before; nobody is told that all is well."""
    make(shared_path, "a/1.jpg", "closed/2.jpg", "z/3.jpg")
    (shared_path / "closed").chmod(0)
    with as_nobody():
        listing = source(shared_path).list_objects()
        assert [info.key for info in itertools.islice(listing, 2)] == ["a/1.jpg", "z/3.jpg"]
        with pytest.raises(ListingIncomplete, match=r"closed/ \(permission denied\).*give"):
            next(listing)


def test_one_unreadable_file_does_not_stop_the_run(shared_path: Path, tmp_path: Path) -> None:
    """It is that item's trouble, while the archive can be read."""
    make(shared_path, "a.jpg", "closed.jpg")
    (shared_path / "closed.jpg").chmod(0)
    into = shared_path / "into"
    with as_nobody():
        store = source(shared_path)
        with pytest.raises(ObjectRefused, match=r"closed\.jpg: permission denied; give") as caught:
            store.fetch("closed.jpg", into)
        store.fetch("a.jpg", into)
    assert reason_of(caught.value) is Reason.STORAGE_UNAVAILABLE


def test_an_archive_that_is_closed_meanwhile_stops_the_run(shared_path: Path) -> None:
    """Then no item can be done."""
    root = shared_path / "archive"
    make(root, "a.jpg")
    with as_nobody():
        store = source(root)
    root.chmod(0)
    with as_nobody(), pytest.raises(AccessDenied):
        store.read("a.jpg")


def test_an_archive_that_may_not_be_read(shared_path: Path) -> None:
    """Is found out when it is opened."""
    (shared_path / "closed").mkdir(mode=0)
    with as_nobody():
        with pytest.raises(AccessDenied, match="give the account"):
            source(shared_path / "closed")
        with pytest.raises(AccessDenied, match="give the account"):
            source(shared_path / "closed" / "deeper")
        with pytest.raises(AccessDenied, match="cannot write"):
            output(shared_path / "closed" / "colour")


def test_an_output_that_may_not_be_written(shared_path: Path) -> None:
    """Is found out when it is opened; reading there is still fine."""
    (shared_path / "colour").mkdir(mode=0o755)
    with as_nobody():
        with pytest.raises(AccessDenied, match="cannot write"):
            output(shared_path / "colour")
        source(shared_path / "colour")


@pytest.mark.parametrize("opened", [source, output])
def test_a_file_is_no_store(tmp_path: Path, opened: object) -> None:
    """Nor is a folder below it."""
    make(tmp_path, "a.jpg")
    assert callable(opened)
    for path in (tmp_path / "a.jpg", tmp_path / "a.jpg" / "below"):
        with pytest.raises(UsageError, match="name"):
            opened(path)


def test_a_missing_source_and_a_missing_output(tmp_path: Path) -> None:
    """A source is not made; an output is, with the folders above it."""
    with pytest.raises(SourceNotFound, match="no such folder"):
        source(tmp_path / "not")
    assert not (tmp_path / "not").exists()
    output(tmp_path / "new" / "colour")
    assert keys(source(tmp_path / "new" / "colour")) == []


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """The source is as it was: files, folders, times of change."""
    root = tmp_path / "archive"
    make(root, "a/1.jpg", "a/b/2.jpg", "3.jpg")

    def trace() -> list[tuple[str, int, int]]:
        found = [root, *sorted(root.rglob("*"))]
        return [(str(p), p.stat().st_mtime_ns, p.stat().st_ctime_ns) for p in found]

    before = trace()
    store = source(root)
    for info in store.list_objects():
        store.fetch(info.key, tmp_path / "into", etag=info.etag)
        store.digest(info.key)
        store.stat(info.key)
        store.link(info.key)
    assert trace() == before


def test_a_scan_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """Half of the old bytes and half of the new ones are never taken for a scan."""
    root = tmp_path / "archive"
    root.mkdir()
    scan = root / "a.tif"
    scan.write_bytes(bytes(5 << 20))
    into = tmp_path / "into"
    os.mkfifo(into)  # so that this test, as its reader, sets the pace

    def read_and_change() -> None:
        with into.open("rb") as pipe:
            pipe.read(1 << 16)
            with scan.open("r+b") as file:
                file.write(b"changed")
                os.utime(file.fileno(), ns=(1, 1))
            while pipe.read(1 << 20):
                pass

    reader = threading.Thread(target=read_and_change)
    reader.start()
    with pytest.raises(ChangedSinceListing):
        source(root).fetch("a.tif", into)
    reader.join()
    assert not into.exists()


def test_a_file_in_the_way_of_a_folder(tmp_path: Path, make_file: MakeFile) -> None:
    """S3 can hold "a" and "a/b", a folder cannot: said as it is, and nothing is lost."""
    store = output(tmp_path / "colour")
    file = make_file(b"derivative")
    store.put("a", file.path, content_type="image/jpeg", sha256=file.sha256)
    with pytest.raises(WriteUnverified, match="cannot both have this name"):
        store.put("a/b", file.path, content_type="image/jpeg", sha256=file.sha256)
    store.put("c/d", file.path, content_type="image/jpeg", sha256=file.sha256)
    with pytest.raises(WriteUnverified, match="cannot both have this name"):
        store.put("c", file.path, content_type="image/jpeg", sha256=file.sha256)
    assert keys(store) == ["a", "c/d"]
    assert not list((tmp_path / "colour" / ".autochrome").iterdir())


def test_an_output_that_is_unmounted_is_not_made_anew(tmp_path: Path, make_file: MakeFile) -> None:
    """Or a night's derivatives would lie on the wrong disk, under the mount point."""
    store = output(tmp_path / "colour")
    (tmp_path / "colour" / ".autochrome").rmdir()
    file = make_file(b"derivative")
    with pytest.raises(ObjectMissing, match="mounted") as caught:
        store.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    assert reason_of(caught.value) is Reason.STORAGE_UNAVAILABLE
    assert not (tmp_path / "colour" / "a.jpg").exists()


def test_leftovers_are_hidden_and_swept(tmp_path: Path) -> None:
    """What a killed process left is never listed; a day later it goes, younger files stay."""
    output(tmp_path)
    own = tmp_path / ".autochrome"
    make(own, "old.part", "young.part")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(own / "old.part", (two_days_ago, two_days_ago))
    store = output(tmp_path)
    assert keys(store) == []
    assert [path.name for path in own.iterdir()] == ["young.part"]


KEEP_PUTTING = """
import hashlib, itertools, sys
from pathlib import Path
from tasks.settings import Settings
from tasks.storage import open_store
store = open_store(sys.argv[1], settings=Settings(), writable=True)
path = Path(sys.argv[2])
sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
print("ready", flush=True)
for number in itertools.count():
    store.put(f"{number % 7}/a.jpg", path, content_type="image/jpeg", sha256=sha256)
"""


def test_a_killed_writer_leaves_whole_files(tmp_path: Path, make_file: MakeFile) -> None:
    """SIGKILL at any moment: every file in its place is complete, six times."""
    file = make_file(os.urandom(2_000_000))
    root = tmp_path / "colour"
    for number in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", KEEP_PUTTING, str(root), str(file.path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.02 + 0.013 * number)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        store = source(root)
        assert all(store.digest(key) == file.sha256 for key in keys(store))
    assert keys(source(root))


def test_listing_holds_little(tmp_path: Path) -> None:
    """Memory depends on the largest folder, not on the archive."""
    for folder in range(30):
        make(tmp_path, *(f"{folder:03}/{'n' * 100}-{number:04}.jpg" for number in range(100)))
    store = source(tmp_path)
    tracemalloc.start()
    count = sum(1 for _ in store.list_objects())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 3000
    assert peak < 200_000  # 100 names of 109 characters and 30 of 3; all 3,000 would take 480 kB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte. Needs leave to mount, which root in a container may lack."""
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    disk = tmp_path / "disk"
    disk.mkdir()
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, b"size=1m") != 0:
        pytest.skip(f"no small disk can be mounted here: {os.strerror(ctypes.get_errno())}")
    yield disk
    libc.umount2(os.fsencode(disk), 2)


def test_a_full_disk(small_disk: Path, tmp_path: Path, make_file: MakeFile) -> None:
    """The run stops by name, no half file is left, and what was there stays."""
    store = output(small_disk / "colour")
    small, large = make_file(os.urandom(300_000)), make_file(os.urandom(900_000))
    store.put("a.jpg", small.path, content_type="image/jpeg", sha256=small.sha256)
    for key in ("a.jpg", "b.jpg"):
        with pytest.raises(OutputFull, match="free some space") as caught:
            store.put(key, large.path, content_type="image/jpeg", sha256=large.sha256)
        assert reason_of(caught.value) is Reason.OUTPUT_FULL
    assert store.digest("a.jpg") == small.sha256
    assert keys(store) == ["a.jpg"]
    assert not list((small_disk / "colour" / ".autochrome").iterdir())
    (tmp_path / "large").mkdir()
    large.path.rename(tmp_path / "large" / "scan.tif")
    with pytest.raises(OutputFull):
        source(tmp_path / "large").fetch("scan.tif", small_disk / "into")
    assert not (small_disk / "into").exists()


def test_a_disk_that_becomes_read_only(small_disk: Path, make_file: MakeFile) -> None:
    """As Linux does with a failing one: reading goes on, writing is an error with a name."""
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    store = output(small_disk)
    file = make_file(b"derivative")
    store.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    read_only, remount = 1, 32
    assert libc.mount(None, os.fsencode(small_disk), None, read_only | remount, None) == 0
    with pytest.raises(AccessDenied, match="read-only file system"):
        store.put("b.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    with pytest.raises(AccessDenied, match="read-only file system"):
        output(small_disk)
    assert source(small_disk).digest("a.jpg") == file.sha256
    assert keys(store) == ["a.jpg"]
