"""A report never fails a night, never overwrites another's, and can be made again."""

import errno
import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from tasks.batch.children import PixelPool
from tasks.errors import Reason
from tasks.ledger import Ledger, RunEnding
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import Order, OrderKind
from tasks.orders.dispatch import OpenFanout
from tasks.orders.run import begin_run
from tasks.orders.working import work_here
from tasks.report import gathering
from tasks.report.gathering import ReportPlace, make_report, make_report_again, write_report
from tasks.settings import Settings
from tests.workers import MakeSettings

Work = Callable[[Settings], tuple[ReportPlace, int]]


@pytest.fixture
def work(pixels: PixelPool, fanout: OpenFanout) -> Work:
    """Makes a whole night; gives its report, and its number."""

    def make_night(settings: Settings) -> tuple[ReportPlace, int]:
        stop = threading.Event()
        with begin_run(settings, kind="nightly", name="one second") as run:
            order = run.order(Order(kind=OrderKind.NIGHT))
            for source in settings.sources:
                run.discover(source)
            run.plan(order.id)
            assert work_here(settings, run.ledger, order.id, stop=stop, open_fanout=fanout) == ""
            summary = run.count()
            run.end(summary.ending(), detail=summary.aborted)
            make = partial(make_report, run, summary, ending=summary.ending(), pixels=pixels)
            return write_report(make, run), run.run_id

    return make_night


def reports(settings: Settings) -> dict[str, dict[str, Any]]:
    """The reports in the output, by the folder that they are in."""
    found = Path(settings.output).glob("reports/*/report.json")
    return {path.parent.name: json.loads(path.read_text()) for path in found}


def test_runs_of_one_second_have_reports_of_their_own(
    make_settings: MakeSettings, work: Work
) -> None:
    """The second one, which found nothing to do, does not take the first one's place."""
    settings = make_settings()
    work(settings)
    work(settings)
    found = reports(settings)
    assert set(found) == {"one second-run1", "one second-run2"}
    assert found["one second-run1"]["tonight"]["statuses"] == {"review": 6}
    assert found["one second-run2"]["tonight"]["statuses"] == {}


def test_a_report_tells_of_the_recipe_that_its_run_worked_under(
    make_settings: MakeSettings, work: Work
) -> None:
    """Made again when another has been in service since; what that has done is not in it."""
    settings = make_settings()
    _, run_id = work(settings)
    (first,) = reports(settings).values()
    work(settings.model_copy(update={"access_jpeg_quality": 50}))
    with open_ledger(settings) as ledger:
        run = ledger.get_run(run_id)
        assert run is not None
        place = make_report_again(settings, ledger, run)
    assert dict(place.counts.items) == {"review": 6}
    again = reports(settings)["one second-run1"]
    assert again["recipe"] == first["recipe"]
    assert again["archive"] == first["archive"]


def test_one_made_again_tells_the_same(
    make_settings: MakeSettings, work: Work, archive: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From what the ledger remembers: outcomes, reasons, speed, pictures, notes; also of damage."""
    for name in ("1.jpg", "2.jpg"):
        with Image.open(archive / name) as scan:
            exif = scan.getexif()
            exif[ExifTags.Base.Orientation] = 9  # means nothing
            scan.save(archive / name, exif=exif)
    (archive / "torn.jpg").write_bytes((archive / "0.jpg").read_bytes()[:400])
    settings = make_settings()
    _, run_id = work(settings)
    (first,) = reports(settings).values()
    page = Path(settings.output) / "reports" / f"one second-run{run_id}" / "index.html"
    before = page.read_text()
    page.unlink()
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        run = ledger.get_run(run_id)
        assert run is not None
        archive.rename(archive.with_name("away"))
        assert make_report_again(settings, ledger, run).pictures == ()
        (said,) = [one.getMessage() for one in caplog.records if "without" in one.getMessage()]
        assert "the report is without 6 pictures" in said
        assert "no such folder" in said
        archive.with_name("away").rename(archive)
        place = make_report_again(settings, ledger, run)
    assert place.link == page.as_uri()
    assert page.read_text().count("data:image/") == before.count("data:image/") == 12
    (again,) = reports(settings).values()
    assert again["tonight"] == first["tonight"]
    assert again["tonight"]["statuses"] == {"review": 6, "quarantined": 1}
    assert [one["uri"][-5:] for one in first["noted"]] == ["1.jpg", "2.jpg"]
    for part in ("run", "noted", "found", "archive", "confidence", "troubles", "recipe", "sources"):
        near = pytest.approx(first[part]) if part == "confidence" else first[part]
        assert again[part] == near, part
    shown = {(one["title"], one["status"]) for one in first["pictures"]}
    assert {(one["title"], one["status"]) for one in again["pictures"]} == shown


@pytest.mark.parametrize("where", ["scratch", "output"])
def test_a_full_disk_costs_the_report_and_not_the_night(
    make_settings: MakeSettings, work: Work, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Its outcome stands in the ledger; what makes the report later is said."""
    settings = make_settings()
    full = OSError(errno.ENOSPC, "No space left on device")
    real = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        if path.name == "report":
            raise full
        return real(path, content)

    if where == "scratch":
        monkeypatch.setattr(Path, "write_bytes", write_bytes)
    else:
        monkeypatch.setattr(gathering, "_put", lambda *_: (_ for _ in ()).throw(full))
    report, run_id = work(settings)
    assert report.link == ""
    assert "no space left" in report.failure.lower()
    assert f"`autochrome report {run_id} --again`" in report.failure
    assert sum(report.counts.items.values()) == 6
    monkeypatch.undo()
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        run = ledger.get_run(run_id)
        assert run is not None
        assert run.ending is RunEnding.COMPLETED
        assert make_report_again(settings, ledger, run).link
    assert len(reports(settings)) == 1


def test_a_reason_that_appears_meanwhile_is_no_mishap(
    make_settings: MakeSettings, work: Work, monkeypatch: pytest.MonkeyPatch, archive: Path
) -> None:
    """Other workers go on while the report is made."""
    for number in range(7):
        (archive / f"torn{number}.jpg").write_bytes((archive / "0.jpg").read_bytes()[:400])
    real = Ledger.counts

    def earlier(ledger: Ledger, recipe_id: int | None = None) -> object:
        counts = real(ledger, recipe_id)
        reasons = {reason: n for reason, n in counts.reasons.items() if reason is not torn}
        return type(counts)(counts.scans, counts.vanished, counts.items, reasons)

    torn = Reason.TRUNCATED
    monkeypatch.setattr(Ledger, "counts", earlier)
    settings = make_settings()
    report, _ = work(settings)
    assert report.failure == ""
    ((told),) = reports(settings).values()
    assert {one["reason"] for one in told["troubles"]} == {"truncated"}
    assert told["troubles"][0]["items"] >= 5
