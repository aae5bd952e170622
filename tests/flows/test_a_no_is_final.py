"""The command line, from `discover` to `run`: a person's no is final, and bytes decide."""

import os
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.running import run_here
from flows.terminal import ExitCode
from tasks.batch.children import PixelPool
from tasks.ledger import ItemFilter, Ledger
from tasks.settings import load_settings
from tests.scanfiles import codes_of, photograph, write_jpeg
from tests.workers import MakeSettings


@pytest.fixture
def box(
    archive: Path,
    make_settings: MakeSettings,
    pixels: PixelPool,
    monkeypatch: pytest.MonkeyPatch,
) -> "Box":
    """An archive, a ledger and an output, for commands in this process."""
    settings = make_settings(review_below_confidence=0.0)
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    return Box(archive, settings.database_url.get_secret_value(), pixels)


class Box:
    """An archive and the commands over it."""

    def __init__(self, folder: Path, url: str, pixels: PixelPool) -> None:
        self.folder = folder
        self.url = url
        self._pixels = pixels

    def do(self, *arguments: str) -> int:
        """Run a command; its exit code."""
        return CliRunner().invoke(app, [*arguments]).exit_code

    def publish(self, source: str) -> None:
        """What `run --publish` does, with pixel processes that are there already."""
        settings = load_settings(sources=(source,), publish_directly=True)
        assert run_here(settings, as_json=True, pixels=self._pixels) is ExitCode.CLEAN

    def statuses(self) -> dict[str, str]:
        """Where each scan stands, by key; each has one item."""
        with Ledger.open(self.url) as ledger:
            rows = ledger.list_items(ItemFilter(), limit=99)
            keys = [ledger.get_story(row.uri).scan.key for row in rows]
            assert max(Counter(keys).values()) == 1
            return {
                key: f"{row.status}" + (f": {row.reason}" if row.reason else "")
                for key, row in zip(keys, rows, strict=True)
            }

    def revision(self, name: str) -> int:
        """The revision of a scan."""
        with Ledger.open(self.url) as ledger:
            return ledger.get_story((self.folder / name).as_uri()).scan.revision

    def touch(self) -> None:
        """Give every file another time."""
        for number, path in enumerate(sorted(self.folder.rglob("*.*"))):
            os.utime(path, (time.time() + number, time.time() + number))


def test_touched_scans_are_what_they_were(box: Box) -> None:
    """Rejected, withdrawn and published ones: no revision, no work, no other status."""
    source = str(box.folder)
    assert box.do("run", source) == 0
    assert box.do("reject", f"{source}/0.jpg", "--why", "blue face") == 0
    assert box.do("approve", f"{source}/1.jpg", "--why", "good") == 0
    assert box.do("approve", f"{source}/2.jpg", "--why", "good") == 0
    assert box.do("supersede", f"{source}/2.jpg", "--why", "withdrawn") == 0
    before = box.statuses()
    assert (before["0.jpg"], before["1.jpg"], before["2.jpg"]) == (
        "rejected",
        "published",
        "superseded",
    )
    box.touch()
    box.publish(source)
    assert box.statuses() == before
    assert box.revision("0.jpg") == 1
    write_jpeg(box.folder / "0.jpg", codes_of(photograph(96, 128, seed=99)))
    shutil.copy(box.folder / "2.jpg", box.folder / "copy.jpg")
    box.publish(source)
    after = box.statuses()
    assert after["0.jpg"] == after["copy.jpg"] == "review: decided_before"
    assert {key: status for key, status in after.items() if key in before and key != "0.jpg"} == {
        key: status for key, status in before.items() if key != "0.jpg"
    }


def test_holds_stand_before_there_is_an_item(box: Box) -> None:
    """A scan, a folder without its slash, a place that is not discovered yet, and two sources."""
    source = str(box.folder)
    inner = next(path for path in sorted(box.folder.iterdir()) if path.is_dir())
    assert box.do("hold", f"{source}/later.jpg", "--why", "rights") == 3
    assert box.do("discover", source) == 0
    assert box.do("hold", f"{source}/0.jpg", "--why", "rights") == 0
    assert box.do("hold", f"{source}/0.jpg", "--why", "rights") == 3
    assert box.do("hold", str(inner), "--why", "rights") == 0
    assert box.do("retry", f"{source}/1.jpg") == 3
    write_jpeg(box.folder / "later.jpg", codes_of(photograph(96, 128, seed=42)))
    box.publish(source)
    box.publish(str(inner))
    statuses = box.statuses()
    kept = {key for key, status in statuses.items() if status.startswith("held")}
    inside = {key for key in statuses if key.startswith(f"{inner.name}/")}
    assert kept == {"0.jpg", "later.jpg", *inside}
    assert inside
    assert box.do("release", f"{source}/0.jpg", "--why", "cleared") == 0
    box.publish(source)
    assert box.statuses()["0.jpg"] == "published"


def test_a_hold_is_about_the_bytes_though_nobody_has_read_them(box: Box, tmp_path: Path) -> None:
    """A copy beside the held scan, and one in another source, wait with it."""
    source, other = str(box.folder), tmp_path / "other"
    other.mkdir()
    assert box.do("discover", source) == 0
    assert box.do("hold", f"{source}/0.jpg", "--why", "rights") == 0
    shutil.copy(box.folder / "0.jpg", other / "elsewhere.jpg")
    box.publish(str(other))
    shutil.copy(box.folder / "0.jpg", box.folder / "copy.jpg")
    box.publish(source)
    statuses = box.statuses()
    for key in ("0.jpg", "copy.jpg", "elsewhere.jpg"):
        assert statuses[key].startswith(("held", "review: decided_before")), statuses
    assert statuses["1.jpg"] == "published"


@pytest.mark.parametrize("no", ["hold", "reject"])
def test_a_no_is_about_the_bytes_that_a_file_held_then(box: Box, no: str) -> None:
    """Two scans change their names before anybody has coloured one."""
    source = str(box.folder)
    assert box.do("discover", source) == 0
    assert box.do(no, f"{source}/0.jpg", "--why", "rights") == 0
    for old, new in (("0.jpg", "x"), ("1.jpg", "0.jpg"), ("x", "1.jpg")):
        (box.folder / old).rename(box.folder / new)
    box.publish(source)
    statuses = box.statuses()
    for key in ("0.jpg", "1.jpg"):
        assert statuses[key].startswith(("held", "review: decided_before")), statuses


def test_a_no_to_more_than_can_be_read_at_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands; whoever said it is told, and the next discovery reads the rest."""
    source = str(box.folder)
    assert box.do("discover", source) == 0
    monkeypatch.setattr("tasks.discovery.comparison.AT_ONCE_S", 0.0)
    said = CliRunner().invoke(app, ["hold", f"{source}/0.jpg", "--why", "rights"])
    assert said.exit_code == 0
    assert "the next discovery reads the rest" in said.stderr
    with Ledger.open(box.url) as ledger:
        assert len(ledger.refused_unread()) == 1
        assert box.do("discover", source) == 0
        assert ledger.refused_unread() == []
