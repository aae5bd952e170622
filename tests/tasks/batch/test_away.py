"""Sources and outputs that go away, whole or in part: no scan pays for it, and others go on."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.running import run_here
from flows.desk.desk import open_desk
from flows.terminal import ExitCode
from tasks.batch.batch import colorize_batch
from tasks.batch.children import PixelPool
from tasks.batch.sources import Sources
from tasks.batch.worker import Worker, open_worker
from tasks.diagnosis import State, diagnose
from tasks.errors import OutputAway, Reason, SourceNotFound
from tasks.ledger import Claim, ItemStatus, Ledger, outages
from tasks.ledger.opening import open_ledger, open_output
from tasks.settings import Settings
from tasks.storage import ObjectStore, open_store
from tests.orders import claim_batch, next_due_s, work_off
from tests.s3server import S3Bucket
from tests.tasks.storage.bad_road import BadRoad, Fault, bad_road_to
from tests.workers import MakeSettings, OpenWorker, attempts_of, files_under, items_of

UNTRIED = (ItemStatus.PENDING, 0)


def claim_all(worker: Worker) -> Claim | None:
    """Take every pending item."""
    return claim_batch(
        worker.ledger,
        worker.recipe_id,
        worker="a test",
        lease_s=worker.settings.lease_s,
        max_attempts=worker.settings.max_attempts,
    )


def work(worker: Worker) -> dict[str, tuple[ItemStatus, int]]:
    """Claim and colourize once; where every item stands then, by its file."""
    claim = claim_all(worker)
    assert claim is not None
    summary = colorize_batch(worker, claim)
    assert not summary.aborted
    return standing(worker.ledger)


def standing(ledger: Ledger) -> dict[str, tuple[ItemStatus, int]]:
    """Status and attempts by file."""
    return {name: (one.status, one.attempts) for name, one in items_of(ledger).items()}


def unmounted(archive: Path) -> None:
    """The folder itself is gone."""
    archive.rename(archive.with_name("away"))


def empty_mount(archive: Path) -> None:
    """What is left of a share that is not mounted: the folder to mount it to."""
    unmounted(archive)
    archive.mkdir()


def marked_mount(archive: Path) -> None:
    """As careful people leave it: with a file that says so."""
    empty_mount(archive)
    (archive / "NOT MOUNTED.txt").write_text("call the storage desk")


def a_file_in_its_place(archive: Path) -> None:
    """Something else has its name."""
    unmounted(archive)
    archive.write_text("moved")


@pytest.mark.parametrize("go", [unmounted, empty_mount, marked_mount, a_file_in_its_place])
def test_a_source_that_goes_costs_no_attempt_and_is_named(
    go: Callable[[Path], None],
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    archive: Path,
) -> None:
    """Nothing of it is claimed meanwhile, by nobody; why, since when and how many is told."""
    worker = worker_for(make_settings())
    go(archive)
    assert set(work(worker).values()) == {UNTRIED}
    assert claim_all(worker) is None
    (outage,) = worker.ledger.list_outages()
    assert (outage.url, outage.scans) == (archive.as_uri(), 6)
    assert archive.name in outage.why
    assert "mount" in outage.why or "folder" in outage.why
    assert {one.reason for one in attempts_of(worker.ledger)} == {Reason.SOURCE_AWAY}
    wait_s = next_due_s(worker.ledger, worker.recipe_id)
    assert wait_s is not None
    assert 20 < wait_s <= outages.FIRST_WAIT_S


def test_a_folder_that_goes_takes_only_its_own_scans_along(
    make_settings: MakeSettings, worker_for: OpenWorker, archive: Path
) -> None:
    """A share mounted within the source: what lies beside it is coloured."""
    worker = worker_for(make_settings())
    shutil.rmtree(archive / "box 1")
    (archive / "box 1").mkdir()
    stands = work(worker)
    away = {name: stands.pop(name) for name in ("deep.tif", "flat.tif", "small.png")}
    assert set(away.values()) == {UNTRIED}
    assert set(stands.values()) == {(ItemStatus.REVIEW, 1)}
    (outage,) = worker.ledger.list_outages()
    assert (outage.place, outage.scans) == ("box 1/", 3)


def test_one_scan_that_cannot_be_read_pays_alone(
    make_settings: MakeSettings, worker_for: OpenWorker, archive: Path
) -> None:
    """Its neighbours can: it is tried as often as any other, then it has failed."""
    worker = worker_for(make_settings())
    (archive / "1.jpg").unlink()
    work_off(worker)
    items = items_of(worker.ledger)
    lost = items.pop("1.jpg")
    assert (lost.status, lost.reason, lost.attempts) == (
        ItemStatus.FAILED,
        Reason.STORAGE_UNAVAILABLE,
        3,
    )
    assert {one.status for one in items.values()} == {ItemStatus.REVIEW}
    assert not worker.ledger.list_outages()


def test_the_only_scan_of_a_source_that_cannot_be_read_pays(
    make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path, archive: Path
) -> None:
    """Of one scan nobody can tell whether it or its source is at fault; it is there."""
    source = tmp_path / "one"
    source.mkdir()
    shutil.copy(archive / "1.jpg", source / "1.jpg")
    worker = worker_for(make_settings(sources=(str(source),)))
    os.utime(source / "1.jpg", (1, 1))  # no longer what was listed
    work_off(worker)
    item = items_of(worker.ledger)["1.jpg"]
    assert (item.status, item.attempts) == (ItemStatus.FAILED, 3)


def test_a_source_that_comes_back_in_the_middle_is_done_by_the_same_run(
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again by itself; the first scan that is read lets go of all others."""
    monkeypatch.setattr("tasks.batch.sources._HOLDS_S", 0.0)
    worker = worker_for(make_settings(batch_items=2))
    monkeypatch.setattr(outages, "FIRST_WAIT_S", 1.0)
    begin = worker.ledger.begin_outage
    seen = []

    def comes_back(source: str, place: str, why: str) -> float:
        wait_s = begin(source, place, why, wait_s=1.0)
        seen.append(wait_s)
        if archive.with_name("away").exists():  # two batches may find out at once
            archive.with_name("away").rename(archive)
        return wait_s

    monkeypatch.setattr(worker.ledger, "begin_outage", comes_back)
    unmounted(archive)
    work_off(worker)
    assert seen
    stands = standing(worker.ledger)
    # One that failed at the moment when it came back may have paid for it.
    assert {status for status, _ in stands.values()} == {ItemStatus.REVIEW}
    assert sorted(attempts for _, attempts in stands.values())[:3] == [1, 1, 1]
    assert not worker.ledger.list_outages()


def test_of_two_sources_the_other_goes_on_whole_and_the_run_ends_with_3(
    make_settings: MakeSettings, archive: Path, tmp_path: Path, pixels: PixelPool
) -> None:
    """The command ends by itself, says which one and what to do; the next run does the rest."""
    other = tmp_path / "other"
    shutil.copytree(archive, other)
    for number, path in enumerate(sorted(other.rglob("*.*"))):
        path.rename(path.with_name(f"other-{number}{path.suffix}"))
    settings = make_settings(sources=(str(archive), str(other)))
    with ExitStack() as opened:
        opened.enter_context(open_ledger(settings))
    # Known from before, and away from the start.
    result = CliRunner().invoke(
        app, ["discover", str(archive), "--db", settings.database_url.get_secret_value()]
    )
    assert result.exit_code == 0
    empty_mount(archive)
    assert run_here(settings, as_json=False, pixels=pixels) is ExitCode.FINISHED_WITH_FAULTS
    with open_ledger(settings) as ledger:
        stands = standing(ledger)
        assert {one for name, one in stands.items() if "other" in name} == {(ItemStatus.REVIEW, 1)}
        assert {one for name, one in stands.items() if "other" not in name} == {UNTRIED}
        (outage,) = ledger.list_outages()
        assert outage.scans == 6
    told = (
        CliRunner().invoke(app, ["status", "--db", settings.database_url.get_secret_value()]).stdout
    )
    assert f"6 scans wait, since {outage.since:%Y-%m-%d %H:%M}: {archive.as_uri()}" in told
    page = next(text for name, text in files_under(tmp_path / "colour").items() if "html" in name)
    assert f"6 scans wait for {archive.as_uri()}" in page.decode()
    archive.rmdir()
    archive.with_name("away").rename(archive)
    assert run_here(settings, as_json=False, pixels=pixels) is ExitCode.CLEAN
    with open_ledger(settings) as ledger:
        assert set(standing(ledger).values()) == {(ItemStatus.REVIEW, 1)}
        assert not ledger.list_outages()


def test_an_output_that_goes_stops_the_run_and_costs_no_attempt(
    make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path
) -> None:
    """No scan is at fault, and nothing can be stored; nothing is made in its place."""
    output = tmp_path / "colour"
    worker = worker_for(make_settings())
    output.rename(tmp_path / "elsewhere")
    output.mkdir()  # the folder that it is mounted to
    summary = work_off(worker)
    assert "mounted" in summary.aborted
    assert summary.given_back == 6
    assert set(standing(worker.ledger).values()) == {UNTRIED}
    assert not files_under(output)


@pytest.mark.parametrize("left", [None, "", "lost+found/", "NOT MOUNTED.txt"])
def test_an_output_that_is_away_from_the_start_is_not_made_anew(
    left: str | None, make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path
) -> None:
    """Runs, audits and the desk refuse it with a remedy; back, all is as it was."""
    settings = make_settings()
    output, away = tmp_path / "colour", tmp_path / "elsewhere"
    worker = worker_for(settings)
    work_off(worker, max_items=1)
    output.rename(away)
    if left is not None:
        (output / left).mkdir(parents=True) if left.endswith("/") else output.mkdir()
    if left and not left.endswith("/"):
        (output / left).write_text("call the storage desk")
    before = sorted(output.rglob("*"))
    database = ["--db", settings.database_url.get_secret_value()]
    for words in (
        ["run", settings.sources[0], "--out", str(output), *database],
        ["audit", "--out", str(output), *database],
    ):
        result = CliRunner().invoke(app, words)
        assert isinstance(result.exception, OutputAway), words
        assert "mount its disk or share" in str(result.exception)
    with pytest.raises(OutputAway), open_desk(settings, worker.ledger):
        pass
    (finding,) = [
        one for one in diagnose(settings) if one.subject == "output" and one.state is State.PROBLEM
    ]
    assert "mount" in finding.detail
    assert sorted(output.rglob("*")) == before
    shutil.rmtree(output, ignore_errors=True)
    away.rename(output)
    shutil.rmtree(output / ".autochrome")  # by somebody who tidied up
    open_output(settings, worker.ledger)
    shutil.rmtree(output)
    (output / ".autochrome").mkdir(parents=True)  # emptied on purpose
    open_output(settings, worker.ledger)


def test_a_source_is_opened_once_however_many_ask(
    make_settings: MakeSettings, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All scans of a batch ask at once; where it cannot be opened all are told, and ask again."""
    asked: list[str] = []

    def counting(url: str, *, settings: Settings) -> ObjectStore:
        asked.append(url)
        time.sleep(0.1)  # the others come meanwhile
        return open_store(url, settings=settings)

    monkeypatch.setattr("tasks.batch.sources.open_store", counting)
    sources = Sources(make_settings())
    unmounted(archive)
    with ThreadPoolExecutor(8) as threads:
        errors = [threads.submit(sources.open, str(archive)).exception for _ in range(8)]
        assert {type(error()) for error in errors} == {SourceNotFound}
        assert len(asked) == 1
        archive.with_name("away").rename(archive)
        opened = [threads.submit(sources.open, str(archive)) for _ in range(8)]
        assert len({id(one.result()) for one in opened}) == 1
    assert len(asked) == 2


# --- S3 ------------------------------------------------------------------------------------------


@pytest.fixture
def road(s3_endpoint: str) -> Iterator[BadRoad]:
    """The way to the S3 server."""
    with bad_road_to(s3_endpoint) as one:
        yield one


@pytest.fixture
def in_s3(
    s3_bucket: S3Bucket, road: BadRoad, archive: Path, make_settings: MakeSettings
) -> MakeSettings:
    """Settings with the archive in a bucket, and the output in a folder."""
    for path in sorted(archive.rglob("*.*")):
        key = f"scans/{path.relative_to(archive)}"
        s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=path.read_bytes())
    reach = {
        name: getattr(s3_bucket.settings, name)
        for name in ("s3_region", "s3_access_key_id", "s3_secret_access_key")
    }
    usual = {
        **reach,
        "s3_endpoint_url": road.endpoint,
        "s3_max_attempts": 1,
        "s3_timeout_s": 5.0,
        "sources": (f"{s3_bucket.url}/scans",),
    }
    return lambda **given: make_settings(**usual | given)


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("GET", status=503, code="SlowDown")],
        [Fault("GET", cut="reset")],
        [Fault("GET", status=403, code="InvalidAccessKeyId")],
        [Fault("GET", "/scans/", status=403, code="AccessDenied")],
        [Fault("GET", "/scans/", status=500, code="InternalError")],
    ],
    ids=["overloaded", "network down", "key withdrawn", "may list, not read", "reads fail"],
)
def test_a_bucket_that_goes_costs_no_attempt(
    faults: list[Fault], in_s3: MakeSettings, worker_for: OpenWorker, road: BadRoad
) -> None:
    """Whether it lists or not: where none of the neighbours can be read, it is away."""
    worker = worker_for(in_s3())
    road.faults += faults
    assert set(work(worker).values()) == {UNTRIED}
    assert {one.scans for one in worker.ledger.list_outages()} <= {3, 6}
    assert claim_all(worker) is None
    road.faults.clear()
    for source in worker.settings.sources:
        worker.ledger.end_outages(source)
    assert set(standing(worker.ledger).values()) == {UNTRIED}


def test_an_object_that_is_refused_pays_alone(
    in_s3: MakeSettings, worker_for: OpenWorker, road: BadRoad
) -> None:
    """Its neighbours can be read."""
    worker = worker_for(in_s3())
    road.faults.append(Fault("GET", "/scans/1.jpg", status=403, code="AccessDenied"))
    work_off(worker)
    stands = standing(worker.ledger)
    assert stands.pop("1.jpg") == (ItemStatus.FAILED, 3)
    assert set(stands.values()) == {(ItemStatus.REVIEW, 1)}


def test_several_workers_share_what_one_finds_out(
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    archive: Path,
    ledger_url: str,
    monkeypatch: pytest.MonkeyPatch,
    pixels: PixelPool,
) -> None:
    """On either database: two at once, and a third that comes later claims nothing of it."""
    settings = make_settings(database_url=ledger_url, batch_items=3)
    with ExitStack() as opened:
        another = opened.enter_context(open_worker(settings, pixels=pixels))
        workers = [worker_for(settings), another]
        unmounted(archive)
        monkeypatch.setattr("tasks.orders.dispatch.PATIENCE_S", 0.0)
        threads = [threading.Thread(target=work_off, args=(one,)) for one in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        third = replace(workers[0], name="a third")
        assert claim_all(third) is None
        assert set(standing(third.ledger).values()) == {UNTRIED}
        (outage,) = third.ledger.list_outages()
        assert (outage.place, outage.scans) == ("", 6)
