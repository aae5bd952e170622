"""What a listing tells, what it does not, and what is made of that: by the command line."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tasks.errors import AutochromeError, SourceNotFound
from tasks.ledger import Ledger
from tests.s3server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, S3Bucket
from tests.tasks.storage.bad_road import BadRoad, Fault, bad_road_to
from tests.tasks.storage.places import as_nobody


def fill(root: Path, *names: str) -> None:
    """Make a file a name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


class Discovers:
    """`autochrome discover` over one ledger."""

    def __init__(self, database: str) -> None:
        self.database = database

    def __call__(self, source: object, *options: str) -> tuple[int, dict[str, object]]:
        """Discover a source: exit code, and what was told."""
        result = CliRunner().invoke(
            app, ["discover", str(source), "--db", self.database, "--json", *options]
        )
        if isinstance(result.exception, AutochromeError):
            raise result.exception
        return result.exit_code, json.loads(result.stdout) if result.stdout else {}

    def counts(self) -> tuple[int, int]:
        """Scans known, and vanished."""
        with Ledger.open(self.database) as ledger:
            counts = ledger.counts()
            return counts.scans, counts.vanished


@pytest.fixture
def discover(tmp_path: Path) -> Discovers:
    """The command, with a ledger of its own."""
    return Discovers(f"sqlite:///{tmp_path}/listing.db")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source with three folders of four scans each."""
    source = tmp_path / "in"
    fill(source, *(f"box-{box}/{number}.tif" for box in range(3) for number in range(4)))
    return source


def test_one_scan_and_a_dangling_link(tmp_path: Path, discover: Discovers) -> None:
    """The scan is recorded, the link is named, the exit code is 3."""
    source = tmp_path / "in"
    fill(source, "a.jpg")
    (source / "1934").symlink_to("/not/mounted")
    code, told = discover(source)
    assert (code, told["found"], told["new"]) == (3, 1, 1)
    assert "1934 (no such file" in str(told["incomplete"])
    assert discover.counts() == (1, 0)


def test_a_folder_that_cannot_be_read(shared_path: Path) -> None:
    """All others are recorded, to the last file, and nothing of it is taken for vanished."""
    fill(shared_path / "in", *(f"{n // 1000}/{n:05}.tif" for n in range(5003)), "closed/x.tif")
    discover = Discovers(f"sqlite:///{shared_path}/listing.db")
    assert discover(shared_path / "in")[0] == 0
    (shared_path / "in" / "closed").chmod(0)
    (shared_path / "in" / "0" / "00000.tif").unlink()
    fill(shared_path / "in", "9/new.tif")
    for found in shared_path.iterdir():
        os.chown(found, 65534, 65534)
    with as_nobody():
        code, told = discover(shared_path / "in")
    assert (code, told["found"], told["new"], told["vanished"]) == (3, 5003, 1, 0)
    assert "closed/ (permission denied)" in str(told["incomplete"])
    assert discover.counts() == (5005, 0)


def nested(root: Path) -> None:
    """A file that lies deeper than a path can say."""
    root.joinpath("deep").mkdir()
    above = os.open(root / "deep", os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=above)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(os.open("x.tif", os.O_CREAT, dir_fd=above))
    os.close(above)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: (root / "a").symlink_to("a"), "a (too many levels"),
        (lambda root: (root / "box-1" / "z").symlink_to("z/z"), "z (too many levels"),
        (lambda root: (root / "a").symlink_to("a" * 300), "a (file name too long)"),
        (lambda root: (root / "a").symlink_to("box-0/0.tif/x"), "a (not a directory)"),
        (nested, "d/ (file name too long)"),
    ],
    ids=["circle", "circle below", "long", "through a file", "deep"],
)
def test_what_cannot_be_listed_is_named_in_a_line(
    make: Callable[[Path], None], said: str, root: Path, discover: Discovers
) -> None:
    """The first time, and when its neighbours are known; all others are recorded."""
    make(root)
    for new in (12, 0):
        code, told = discover(root)
        assert (code, told["found"], told["new"], told["vanished"]) == (3, 12, new, 0)
        assert said in str(told["incomplete"])
        assert len(str(told["incomplete"])) < 600


@pytest.mark.parametrize(
    "what",
    [
        "emptied",
        "gone",
        "emptied but for a .DS_Store",
        "emptied but for a @eaDir/0.tif/SYNOPHOTO_THUMB_M.jpg",
        "a file",
        "a circle",
    ],
)
def test_a_source_that_is_away(root: Path, discover: Discovers, what: str) -> None:
    """It held scans yesterday: an incomplete listing, never "0 found"; back, all is as before."""
    assert discover(root)[1]["new"] == 12
    away = root.with_name("away")
    root.rename(away)
    if what == "a circle":
        root.symlink_to(root.name)
    elif what == "a file":
        root.write_text("moved")
    elif what != "gone":
        root.mkdir()
    if "but" in what:
        fill(root, what.rpartition(" ")[2])
    code, told = discover(root)
    assert (code, told["found"], told["vanished"]) == (3, 0, 0)
    assert "12 scans" in str(told["incomplete"])
    assert "mount" in str(told["incomplete"]) or "a file" in what or "circle" in what
    assert discover.counts() == (12, 0)
    shutil.rmtree(root) if root.is_dir() else root.unlink(missing_ok=True)
    away.rename(root)
    code, told = discover(root)
    assert (code, told["unchanged"], told["incomplete"]) == (0, 12, "")


def test_a_source_that_was_never_seen(tmp_path: Path, discover: Discovers) -> None:
    """Is a mistake where it is missing, and empty where it is empty."""
    with pytest.raises(SourceNotFound, match="no such folder"):
        discover(tmp_path / "typo")
    (tmp_path / "new").mkdir()
    code, told = discover(tmp_path / "new")
    assert (code, told["found"], told["incomplete"]) == (0, 0, "")


@pytest.mark.parametrize("left", ["", "Thumbs.db", "below/deep/.DS_Store"])
def test_a_folder_that_was_a_mount(root: Path, discover: Discovers, left: str) -> None:
    """It is there and nothing is in it: its scans have not vanished, until a person says so."""
    discover(root)
    for scan in (root / "box-1").iterdir():
        scan.unlink()
    if left:
        fill(root / "box-1", left)
    code, told = discover(root)
    assert (code, told["found"], told["vanished"]) == (3, 8, 0)
    assert "4 scans known in box-1/, now empty" in str(told["incomplete"])
    code, told = discover(root, "--accept-missing")
    assert (code, told["vanished"], told["incomplete"]) == (0, 4, "")
    assert discover(root)[0] == 0


def test_what_was_taken_away_has_vanished(root: Path, discover: Discovers) -> None:
    """A scan, a folder with all that was in it, and empty folders that never held one."""
    discover(root)
    (root / "box-0" / "0.tif").unlink()
    shutil.rmtree(root / "box-2")
    (root / "new" / "empty").mkdir(parents=True)
    code, told = discover(root)
    assert (code, told["vanished"], told["incomplete"]) == (0, 5, "")


def test_many_missing_at_once_are_doubted(
    tmp_path: Path, discover: Discovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the setting allows, and the folders are named."""
    source = tmp_path / "in"
    fill(source, *(f"{n % 4}/{n:03}.tif" for n in range(100)))
    discover(source)
    shutil.rmtree(source / "2")
    code, told = discover(source)
    assert (code, told["vanished"]) == (3, 0)
    assert "25 of 100 scans" in str(told["incomplete"])
    assert "in 2/" in str(told["incomplete"])
    monkeypatch.setenv("AUTOCHROME_MISSING_LIMIT", "0.3")
    code, told = discover(source)
    assert (code, told["vanished"]) == (0, 25)


def test_patterns_are_counted_and_known_scans_are_set_aside(
    root: Path, discover: Discovers
) -> None:
    """They have not vanished; when the pattern goes, they are back."""
    fill(root, "Thumbs.db", "a.md5", "b.md5", "@eaDir/x/thumb.jpg", ".snapshot/1/box-0/0.tif")
    code, told = discover(root)
    assert (code, told["found"]) == (0, 12)
    left_out = {"thumbs.db": 1, "*.md5": 2, "@eadir/": 1, ".snapshot/": 1}
    assert told["left_out_by"] == left_out
    code, told = discover(root, "--exclude", "box-1/", "--exclude", "2.tif")
    assert (code, told["found"], told["vanished"], told["left_out"]) == (0, 6, 0, 6)
    assert told["left_out_by"] == {**left_out, "box-1/": 1, "2.tif": 2}
    code, told = discover(root, "--include", "0.tif")
    assert (code, told["found"], told["left_out"]) == (0, 3, 4)
    code, told = discover(root)
    assert (code, told["found"], told["new"], told["reappeared"]) == (0, 12, 0, 9)


def test_what_may_not_be_read_and_is_left_out_is_no_trouble(root: Path, shared_path: Path) -> None:
    """lost+found and the like are root's alone; a lock is a link that leads nowhere."""
    shutil.copytree(root, shared_path / "in")
    source = shared_path / "in"
    (source / "lost+found").mkdir(mode=0)
    (source / ".#0.tif").symlink_to("someone@host.1234")
    discover = Discovers(f"sqlite:///{shared_path}/listing.db")
    with as_nobody():
        code, told = discover(source)
    assert (code, told["found"], told["incomplete"]) == (0, 12, "")


@pytest.fixture
def road(s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadRoad]:
    """A bucket of 12 scans in three pages, over a proxy that the settings name."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    for box in range(3):
        for number in range(4):
            key = f"in/box-{box}/{number}.tif"
            s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=b"scan")
    with bad_road_to(s3_bucket.endpoint) as road:
        for name, value in {
            "S3_ENDPOINT_URL": road.endpoint,
            "S3_REGION": REGION,
            "S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "S3_MAX_ATTEMPTS": "1",
        }.items():
            monkeypatch.setenv(f"AUTOCHROME_{name}", value)
        yield road


def test_a_bucket_listing_that_breaks_off(
    s3_bucket: S3Bucket, road: BadRoad, discover: Discovers
) -> None:
    """Between pages: what came is recorded, the rest has not vanished."""
    source = f"{s3_bucket.url}/in"
    broken = Fault("GET", path="continuation-token", status=500, code="InternalError")
    road.faults.append(broken)
    code, told = discover(source)
    assert (code, told["found"], told["new"]) == (3, 4, 4)
    broken.times = 0
    assert discover(source)[1]["new"] == 8
    broken.times = 100
    code, told = discover(source)
    assert (code, told["found"], told["vanished"]) == (3, 4, 0)
    assert discover.counts() == (12, 0)


def test_a_bucket_listing_in_any_order(
    s3_bucket: S3Bucket, road: BadRoad, discover: Discovers
) -> None:
    """A key given twice and a page out of order are no new scans, and none is missed."""
    source = f"{s3_bucket.url}/in"
    discover(source)
    swapped = (b"box-1/0.tif", b"box-0/3.tif")  # given again; and box-1/0.tif is not given
    road.faults.append(Fault("GET", path="continuation-token", replace=swapped, times=1))
    code, told = discover(source)
    assert (code, told["found"], told["new"], told["vanished"]) == (0, 11, 0, 1)


@pytest.mark.parametrize("what", ["no prefix", "no bucket", "forbidden", "no answer"])
def test_a_bucket_that_is_away(
    s3_bucket: S3Bucket, road: BadRoad, discover: Discovers, what: str
) -> None:
    """An empty answer, a missing bucket and a server that is down are incomplete listings."""
    source = f"{s3_bucket.url}/in"
    assert discover(source)[1]["new"] == 12
    if what == "no prefix":
        for box in range(3):
            for number in range(4):
                s3_bucket.client.delete_object(
                    Bucket=s3_bucket.name, Key=f"in/box-{box}/{number}.tif"
                )
    else:
        status, word = {
            "no bucket": (404, "NoSuchBucket"),
            "forbidden": (403, "AccessDenied"),
            "no answer": (503, "SlowDown"),
        }[what]
        road.faults.append(Fault("GET", status=status, code=word))
    code, told = discover(source)
    assert (code, told["found"], told["vanished"]) == (3, 0, 0)
    assert "12 scans" in str(told["incomplete"])
    assert discover.counts() == (12, 0)


def test_patterns_leave_out_keys_of_a_bucket(
    s3_bucket: S3Bucket, road: BadRoad, discover: Discovers
) -> None:
    """As in a folder; each object counts."""
    del road
    for key in ("in/a.md5", "in/@eaDir/a.jpg", "in/@eaDir/b.jpg"):
        s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=b"x")
    code, told = discover(f"{s3_bucket.url}/in")
    assert (code, told["found"], told["left_out_by"]) == (0, 12, {"*.md5": 1, "@eadir/": 2})


def test_what_is_no_file_is_told_as_left_out(root: Path, discover: Discovers) -> None:
    """A pipe between the scans, say: nobody opens it, and the count says so."""
    os.mkfifo(root / "b.jpg")
    code, told = discover(root)
    assert (code, told["found"], told["left_out_by"]) == (0, 12, {"pipe": 1})
