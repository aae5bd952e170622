"""The fault table: at each stage, over real connections, what becomes of the scan that is hit.

A proxy stands between the batch and an S3 server, and does what networks and servers do. The other
scans of the batch are done, whatever happens to the victim.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tasks.batch.worker import Worker, open_worker
from tasks.errors import Reason
from tasks.ledger import ItemRow, ItemStatus, Ledger
from tasks.ledger.migrate import upgrade
from tasks.settings import Settings
from tests.databases import Server, running_server
from tests.durability.checking import check_all
from tests.durability.disks import fill, make_read_only, small_disk
from tests.durability.workers import OwnPixels, enqueue_all, make_archive, make_checkpoint, usual
from tests.orders import work_off
from tests.s3server import S3Bucket
from tests.tasks.ledger.building import derivatives
from tests.tasks.storage.bad_road import BadRoad, Fault, bad_road_to
from tests.workers import files_under, items_of

SCANS = 3
VICTIM = "00001.jpg"
FAILED, QUARANTINED = ItemStatus.FAILED, ItemStatus.QUARANTINED
UNAVAILABLE = Reason.STORAGE_UNAVAILABLE


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network."""
    return make_checkpoint(tmp_path_factory.mktemp("faults") / "quick.safetensors")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What is closed when the test ends."""
    with ExitStack() as stack:
        yield stack


def begin(given: dict[str, object], opened: ExitStack) -> Worker:
    """A worker over an archive that is enqueued."""
    settings = Settings.model_validate(given)
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        enqueue_all(given, ledger)
    worker = opened.enter_context(open_worker(settings))
    return replace(worker, pixels=OwnPixels())  # type: ignore[arg-type]


# --- S3 over a bad road --------------------------------------------------------------------------


@pytest.fixture
def road(s3_endpoint: str) -> Iterator[BadRoad]:
    """The way to the S3 server."""
    with bad_road_to(s3_endpoint) as one:
        yield one


@pytest.fixture
def in_s3(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path, sqlite_url: str, checkpoint: Path
) -> dict[str, object]:
    """Settings for scans and derivatives in a bucket, reached over the road."""
    for path in sorted(make_archive(tmp_path / "archive", SCANS).rglob("*.*")):
        body = path.read_bytes()
        s3_bucket.client.put_object(
            Bucket=s3_bucket.name,
            Key=f"archive/{path.name}",
            Body=body,
            ChecksumAlgorithm="SHA256",
        )
    given = usual(f"{s3_bucket.url}/archive", f"{s3_bucket.url}/colour", sqlite_url, checkpoint)
    reach = {
        name: getattr(s3_bucket.settings, name)
        for name in ("s3_region", "s3_access_key_id", "s3_secret_access_key")
    }
    return {
        **given,
        **reach,
        "s3_endpoint_url": road.endpoint,
        "s3_max_attempts": 1,
        "lease_s": 120.0,
        "max_attempts": 3,
    }


@dataclass(frozen=True)
class Case:
    """A fault at a stage, and what follows for the scan that it hits.

    Attributes:
        stored: Whether a derivative of it lies in the output in the end; it is recorded, and so
            visible to anyone, only where the item is in review.
    """

    stage: str
    fault: Fault
    status: ItemStatus
    reason: Reason | None
    attempts: int
    stored: bool = False


def get(**what: object) -> Fault:
    """Something happens when the victim is fetched."""
    return Fault("GET", f"archive/{VICTIM}", **what)  # type: ignore[arg-type]


def put(**what: object) -> Fault:
    """Something happens when its derivative is put."""
    return Fault("PUT", f"master/{VICTIM}", **what)  # type: ignore[arg-type]


def read_back(**what: object) -> Fault:
    """Something happens when its derivative is verified."""
    return Fault("GET", f"master/{VICTIM}", **what)  # type: ignore[arg-type]


REVIEW = ItemStatus.REVIEW
SLOW = {"status": 503, "code": "SlowDown"}

#: stage, fault → status, reason, attempts, whether something is stored.
CASES = [
    Case("fetch", get(**SLOW), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(cut="reset"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(cut="close"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(hang_s=6.0), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(status=404, code="NoSuchKey"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(status=403, code="AccessDenied"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(corrupt=True), QUARANTINED, Reason.FIXITY_MISMATCH, 1),
    Case("fetch", get(cut="reset", times=1), REVIEW, None, 2, stored=True),
    Case("put", put(**SLOW), FAILED, UNAVAILABLE, 3),
    Case("put", put(lose_answer=True), FAILED, UNAVAILABLE, 3, stored=True),
    Case("put", put(hang_s=6.0), FAILED, UNAVAILABLE, 3),
    Case("put", put(lose_answer=True, times=1), REVIEW, None, 2, stored=True),
    Case("verify", read_back(**SLOW), FAILED, UNAVAILABLE, 3, stored=True),
    Case("verify", read_back(cut="close"), FAILED, UNAVAILABLE, 3, stored=True),
    Case("verify", read_back(corrupt=True), FAILED, Reason.WRITE_UNVERIFIED, 1, stored=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.stage}-{case.fault}-{case.status}")
def test_a_fault_of_the_road_ends_one_item_with_its_reason(
    case: Case, in_s3: dict[str, object], road: BadRoad, opened: ExitStack, s3_bucket: S3Bucket
) -> None:
    """The others are in review, on their first attempt; nothing unverified is recorded."""
    patience_s = case.fault.hang_s / 2 or 60.0  # so that a slow machine is no fault, too
    worker = begin({**in_s3, "s3_timeout_s": patience_s}, opened)
    road.faults.append(replace(case.fault))  # it counts down, and the table is read again
    work_off(worker)
    items = items_of(worker.ledger)
    victim = items.pop(VICTIM)
    # What is done may be in doubt, by a network that knows nothing: that is no fault.
    reason = None if case.reason is None else victim.reason
    assert (victim.status, reason) == (case.status, case.reason), victim.detail
    assert victim.attempts == case.attempts
    assert {(item.status, item.attempts) for item in items.values()} == {(REVIEW, 1)}
    recorded = [row.key for row in derivatives(worker.ledger) if VICTIM in row.key]
    assert bool(recorded) is (case.status is REVIEW)
    pages = s3_bucket.client.list_objects_v2(Bucket=s3_bucket.name, Prefix="colour/")
    stored = [entry["Key"] for entry in pages["Contents"] if VICTIM in entry["Key"]]
    assert bool(stored) is case.stored


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault("PUT", "master/", status=507, code="InsufficientStorage"), "free some space"),
        (Fault("PUT", "master/", status=403, code="AccessDenied"), "access is refused"),
        (Fault("PUT", "master/", status=403, code="ExpiredToken"), "credentials are refused"),
    ],
    ids=["full", "may not write", "token expired"],
)
def test_what_would_hit_every_scan_stops_the_run(
    fault: Fault, told: str, in_s3: dict[str, object], road: BadRoad, opened: ExitStack
) -> None:
    """One clear line, every attempt given back; when it is mended, all is done at once."""
    worker = begin(in_s3, opened)
    road.faults.append(fault)
    summary = work_off(worker)
    assert told in summary.aborted
    assert "\n" not in summary.aborted
    assert summary.given_back == SCANS
    assert standing(worker) == {(ItemStatus.PENDING, 0)}
    road.faults.clear()
    work_off(worker)
    assert standing(worker) == {(REVIEW, 1)}


def test_a_source_whose_key_is_withdrawn_is_waited_for(
    in_s3: dict[str, object], road: BadRoad, opened: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attempt counts, and the run ends by itself; when it is mended, all is done."""
    monkeypatch.setattr("tasks.orders.dispatch.PATIENCE_S", 5.0)
    worker = begin(in_s3, opened)
    road.faults.append(Fault("GET", "archive/", status=403, code="InvalidAccessKeyId"))
    summary = work_off(worker)
    assert not summary.aborted
    assert summary.given_back == SCANS
    assert standing(worker) == {(ItemStatus.PENDING, 0)}
    (outage,) = worker.ledger.list_outages()
    assert "credentials are refused" in outage.why
    road.faults.clear()
    worker.ledger.end_outages(outage.source)
    monkeypatch.setattr("tasks.orders.dispatch.PATIENCE_S", 60.0)
    work_off(worker)
    assert standing(worker) == {(REVIEW, 1)}


def standing(worker: Worker) -> set[tuple[ItemStatus, int]]:
    """Statuses and attempts of all items."""
    return {(item.status, item.attempts) for item in items_of(worker.ledger).values()}


def test_what_passes_within_the_clients_patience_costs_no_attempt(
    in_s3: dict[str, object], road: BadRoad, opened: ExitStack
) -> None:
    """Throttled twice on every way, each request goes through at its third try."""
    worker = begin({**in_s3, "s3_max_attempts": 4}, opened)
    road.faults += [get(**SLOW, times=2), put(**SLOW, times=2), read_back(**SLOW, times=2)]
    work_off(worker)
    assert standing(worker) == {(REVIEW, 1)}
    assert road.count("PUT", f"master/{VICTIM}") == 3


# --- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def mount(tmp_path: Path, opened: ExitStack) -> Callable[[int], Path]:
    """Mounts a disk of so many bytes."""

    def mount_one(size_bytes: int) -> Path:
        try:
            return opened.enter_context(small_disk(tmp_path / "disk", size_bytes))
        except OSError as error:
            pytest.skip(f"no small disk can be mounted here: {error.strerror}")

    return mount_one


@pytest.fixture
def in_folders(tmp_path: Path, sqlite_url: str, checkpoint: Path) -> dict[str, object]:
    """Settings for scans and derivatives in folders."""
    archive = make_archive(tmp_path / "archive", SCANS)
    given = usual(str(archive), str(tmp_path / "colour"), sqlite_url, checkpoint)
    return {**given, "lease_s": 120.0}


@pytest.mark.parametrize("full", ["output", "scratch"])
def test_a_full_disk_stops_the_run_and_costs_no_attempt(
    full: str, in_folders: dict[str, object], mount: Callable[[int], Path], opened: ExitStack
) -> None:
    """Of the derivatives or of the scans in work; no half file is left, and it can go on."""
    disk = mount(1 << 20)
    worker = begin({**in_folders, full: str(disk)}, opened)
    hog = disk / ".autochrome" / "hog.part" if full == "output" else disk / "hog"
    fill(hog, leave_bytes=512)
    summary = work_off(worker)
    assert "space" in summary.aborted
    assert standing(worker) == {(ItemStatus.PENDING, 0)}
    hog.unlink()
    if full == "output":
        assert not {name for name in files_under(disk) if "part" in name or "master" in name}
    work_off(worker)
    assert standing(worker) == {(REVIEW, 1)}
    verdict = check_all(worker.ledger, worker.settings, items=SCANS)
    assert verdict.wrong == []


def test_a_disk_that_becomes_read_only_stops_the_run(
    in_folders: dict[str, object], mount: Callable[[int], Path], opened: ExitStack
) -> None:
    """As Linux does with a failing one."""
    disk = mount(4 << 20)
    worker = begin({**in_folders, "output": str(disk)}, opened)
    make_read_only(disk)
    summary = work_off(worker)
    assert "read-only file system" in summary.aborted
    assert standing(worker) == {(ItemStatus.PENDING, 0)}


# --- databases -----------------------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A PostgreSQL server that a test may stop."""
    with running_server() as server:
        upgrade(server.url())
        yield server


def while_working(worker: Worker, trouble: Callable[[], None]) -> list[str]:
    """Work everything off in a thread, and make trouble meanwhile; why runs were aborted."""
    aborted: list[str] = []

    def work() -> None:
        aborted.append(work_off(worker).aborted)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        trouble()
        thread.join(0.3)
    return aborted


def _all_reviewed(worker: Worker) -> None:
    items: list[ItemRow] = list(items_of(worker.ledger).values())
    assert {item.status for item in items} == {REVIEW}
    verdict = check_all(worker.ledger, worker.settings, items=len(items))
    assert verdict.wrong == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_postgresql_that_is_restarted_in_the_middle_of_a_batch(
    in_folders: dict[str, object], own_server: Server, tmp_path: Path, opened: ExitStack
) -> None:
    """Twice; the batch waits, and no item is done twice."""
    make_archive(tmp_path / "archive", 60)
    worker = begin({**in_folders, "database_url": own_server.url()}, opened)
    restarts = iter(range(2))

    def restart() -> None:
        if next(restarts, None) is not None:
            own_server.stop()
            time.sleep(0.3)
            own_server.start()

    assert while_working(worker, restart) == [""]
    _all_reviewed(worker)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_connections_that_are_cut_in_the_middle_of_a_batch(
    in_folders: dict[str, object],
    postgresql_url: str,
    postgresql_server: Server,
    tmp_path: Path,
    opened: ExitStack,
) -> None:
    """Again and again, as an operator or a failing network does."""
    make_archive(tmp_path / "archive", 60)
    worker = begin({**in_folders, "database_url": postgresql_url}, opened)

    def cut() -> None:
        postgresql_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'autochrome'"
        )

    assert while_working(worker, cut) == [""]
    _all_reviewed(worker)


def test_a_ledger_file_that_another_process_locks_for_a_while(
    in_folders: dict[str, object], opened: ExitStack
) -> None:
    """SQLite has one writer at a time; the batch waits for its turn."""
    worker = begin(in_folders, opened)
    path = str(in_folders["database_url"]).removeprefix("sqlite:///")
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    release = threading.Timer(1.5, lambda: holder.execute("ROLLBACK"))
    release.start()
    assert work_off(worker).aborted == ""
    release.join()
    holder.close()
    _all_reviewed(worker)
