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
from tests.durability.outages import NOW
from tests.durability.workers import OwnPixels, enqueue_all, make_archive, make_checkpoint, usual
from tests.orders import work_off
from tests.s3server import S3Bucket
from tests.tasks.ledger.building import derivatives
from tests.tasks.storage.bad_road import BadRoad, Fault, bad_road_to
from tests.workers import files_under, items_of

SCANS = 3
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
    return opened.enter_context(open_worker(settings, pixels=OwnPixels()))  # type: ignore[arg-type]


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
    put_scans(s3_bucket, tmp_path / "archive", SCANS)
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


def put_scans(bucket: S3Bucket, folder: Path, scans: int) -> None:
    """So many scans into the archive in the bucket."""
    for path in sorted(make_archive(folder, scans).rglob("*.*")):
        bucket.client.put_object(
            Bucket=bucket.name,
            Key=f"archive/{path.name}",
            Body=path.read_bytes(),
            ChecksumAlgorithm="SHA256",
        )


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
    """Something happens when a scan is fetched."""
    return Fault("GET", "archive/", **what)  # type: ignore[arg-type]


def put(**what: object) -> Fault:
    """Something happens when its derivative is put."""
    return Fault("PUT", "master/", **what)  # type: ignore[arg-type]


def read_back(**what: object) -> Fault:
    """Something happens when its derivative is verified."""
    return Fault("GET", "master/", **what)  # type: ignore[arg-type]


def of(name: str, fault: Fault) -> Fault:
    """The same fault of one scan; it counts down, and the table is read again."""
    return replace(fault, path=fault.path + name)


REVIEW = ItemStatus.REVIEW
SLOW = {"status": 503, "code": "SlowDown"}
HANGS_S = 6.0

#: stage, fault → status, reason, attempts, whether something is stored.
CASES = [
    Case("fetch", get(**SLOW), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(cut="reset"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(cut="close"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(hang_s=HANGS_S), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(status=404, code="NoSuchKey"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(status=403, code="AccessDenied"), FAILED, UNAVAILABLE, 3),
    Case("fetch", get(corrupt=True), QUARANTINED, Reason.FIXITY_MISMATCH, 1),
    Case("fetch", get(cut="reset", times=1), REVIEW, None, 2, stored=True),
    Case("put", put(**SLOW), FAILED, UNAVAILABLE, 3),
    Case("put", put(lose_answer=True), FAILED, UNAVAILABLE, 3, stored=True),
    Case("put", put(hang_s=HANGS_S), FAILED, UNAVAILABLE, 3),
    Case("put", put(lose_answer=True, times=1), REVIEW, None, 2, stored=True),
    Case("verify", read_back(**SLOW), FAILED, UNAVAILABLE, 3, stored=True),
    Case("verify", read_back(cut="close"), FAILED, UNAVAILABLE, 3, stored=True),
    Case("verify", read_back(corrupt=True), FAILED, Reason.WRITE_UNVERIFIED, 1, stored=True),
]
HANGING = [case for case in CASES if case.fault.hang_s]
#: Where others fail, whether the source is away is asked by fetching a scan, which may be this one.
ONCE = [case for case in CASES if case.fault.times == 1]
OTHERS = [case for case in CASES if case not in (*HANGING, *ONCE)]


@pytest.mark.parametrize(
    ("cases", "patience_s"),
    # A slow machine is no fault.
    [(OTHERS, 60.0), (ONCE, 60.0), (HANGING, HANGS_S / 2)],
    ids=["answers", "once", "hangs"],
)
def test_a_fault_of_the_road_ends_one_item_with_its_reason(
    cases: list[Case],
    patience_s: float,
    in_s3: dict[str, object],
    road: BadRoad,
    opened: ExitStack,
    s3_bucket: S3Bucket,
    tmp_path: Path,
) -> None:
    """The others are in review, on their first attempt; nothing unverified is recorded."""
    victims = {f"{number + number // 9 + 1:05d}.jpg": case for number, case in enumerate(cases)}
    put_scans(s3_bucket, tmp_path / "archive", len(cases) + 2 * SCANS)
    worker = begin({**in_s3, "s3_timeout_s": patience_s}, opened)
    road.faults += [of(name, case.fault) for name, case in victims.items()]
    work_off(worker)
    items = items_of(worker.ledger)
    pages = s3_bucket.client.list_objects_v2(Bucket=s3_bucket.name, Prefix="colour/")
    keys = [entry["Key"] for entry in pages["Contents"]]
    recorded = [row.key for row in derivatives(worker.ledger)]
    for name, case in victims.items():
        victim = items.pop(name)
        # What is done may be in doubt, by a network that knows nothing: that is no fault.
        reason = None if case.reason is None else victim.reason
        assert (victim.status, reason) == (case.status, case.reason), f"{case}: {victim.detail}"
        assert victim.attempts == case.attempts, case
        assert any(name in key for key in recorded) is (case.status is REVIEW), case
        assert any(name in key for key in keys) is case.stored, case
    assert len(items) >= SCANS
    assert {(item.status, item.attempts) for item in items.values()} == {(REVIEW, 1)}


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
    """No attempt counts, and the run ends by itself; when it is mended, all is done at its time."""
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
    worker.ledger.write(lambda c: c.execute(NOW))
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
    ways = [get(**SLOW, times=2), put(**SLOW, times=2), read_back(**SLOW, times=2)]
    throttled = [of(f"{number:05d}.", fault) for number, fault in enumerate(ways)]
    road.faults += throttled
    work_off(worker)
    assert standing(worker) == {(REVIEW, 1)}
    assert [fault.times for fault in throttled] == [0, 0, 0]
    assert road.count("PUT", throttled[1].path) == 3


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
    """Work everything off in a thread, and make trouble once it has begun; why it aborted."""
    aborted: list[str] = []

    def work() -> None:
        aborted.append(work_off(worker).aborted)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive() and not any(attempts for _, attempts in standing(worker)):
        thread.join(0.05)
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
