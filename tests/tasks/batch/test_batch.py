"""A batch: every stage may fail, each scan gets its outcome, and its neighbours do not notice."""

import errno
import hashlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from colormodel.checkpoint import DEFAULT_CHECKPOINT, Card, save_checkpoint
from colormodel.infer import Colorizer
from colormodel.networks import NetworkConfig, build_network
from colormodel.neutral import neutral_mask
from tasks.batch.batch import colorize_batch
from tasks.batch.pixel_work import read_small, write_scan
from tasks.batch.sources import Sources
from tasks.batch.summary import BatchSummary
from tasks.batch.worker import Worker
from tasks.errors import (
    AccessDenied,
    AutochromeError,
    KilledWorker,
    OutputFull,
    Reason,
    StorageUnavailable,
    ToneGateFailed,
)
from tasks.ledger import Claim, ItemFilter, ItemStatus
from tasks.ledger.done import list_done
from tests.orders import claim_batch, order_for, work_off
from tests.scanfiles import write_jpeg
from tests.workers import MakeSettings, OpenWorker, files_under, items_of

VICTIM = "1.jpg"


def claim_all(worker: Worker) -> Claim:
    """Take every pending item."""
    claim = claim_batch(
        worker.ledger,
        worker.recipe_id,
        worker="a test",
        limit=100,
        lease_s=worker.settings.lease_s,
        max_attempts=worker.settings.max_attempts,
    )
    assert claim is not None
    return claim


def run_of(worker: Worker) -> int:
    """The run that claims are made for."""
    run_id = order_for(worker.ledger, worker.recipe_id).run_id
    assert run_id is not None
    return run_id


def test_every_scan_of_the_archive_is_stored_and_verified(
    make_settings: MakeSettings, worker_for: OpenWorker, archive: Path, tmp_path: Path
) -> None:
    """Digests in the ledger are those of the scan and of the stored file; the scan is untouched."""
    before = files_under(archive)
    worker = worker_for(make_settings())
    summary = colorize_batch(worker, claim_all(worker))
    assert dict(summary.statuses) == {"review": 6}
    assert files_under(archive) == before
    stored = files_under(tmp_path / "colour")
    for name, item in items_of(worker.ledger).items():
        story = worker.ledger.get_story(item.uri)
        scan = next(data for key, data in before.items() if key.endswith(name))
        assert story.scan.sha256 == hashlib.sha256(scan).hexdigest()
        derivatives = story.items[0].derivatives
        assert derivatives, name
        for derivative in derivatives:
            data = stored.pop(derivative.key)
            assert hashlib.sha256(data).hexdigest() == derivative.sha256
            assert len(data) == derivative.size_bytes
    assert not stored, "files that no item knows"


def test_samples_are_pictures_whatever_else_is_written(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """The report shows access copies, or masters, and never a sidecar or a thumbnail."""
    worker = worker_for(make_settings(write_sidecar=True, thumbnail_px=32))
    run_id = run_of(worker)
    colorize_batch(worker, claim_all(worker))
    done = list_done(worker.ledger, run_id, derivatives=12, noted=0)
    kinds = Counter(shown.key.split("/")[1] for shown in done.derivatives)
    assert kinds == {"master": 3, "access": 3}


@pytest.mark.parametrize("is_negative", [False, True])
def test_a_negative_waits_for_a_curator_and_says_why(
    make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path, *, is_negative: bool
) -> None:
    """The bundled network is asked about what neither border nor tones clear."""
    picture = np.pad(skimage.data.camera(), 30, constant_values=5)  # in its film
    source = tmp_path / "negatives"
    source.mkdir()
    write_jpeg(source / "film.jpg", 255 - picture if is_negative else picture)
    settings = make_settings(
        sources=(str(source),), checkpoint=DEFAULT_CHECKPOINT, publish_directly=True
    )
    worker = worker_for(settings)
    colorize_batch(worker, claim_all(worker))
    item = items_of(worker.ledger)["film.jpg"]
    assert (item.reason is Reason.NEGATIVE_SUSPECTED) == is_negative
    assert (item.status is ItemStatus.REVIEW) or not is_negative


def test_on_a_gpu_two_batches_infer_at_once(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """As many as the device takes, and no more; each is told what its scans keep neutral."""
    worker = worker_for(make_settings(batch_items=3, minibatch=1))
    real: Colorizer = worker.colorizer
    assert real.at_once == 1
    inside: list[int] = []
    together = threading.Event()
    most = 0

    class Gpu:
        negativity = real.negativity

        def predict(self, lightness: list[Any], *, neutral: list[Any]) -> list[Any]:
            nonlocal most
            inside.append(1)
            most = max(most, len(inside))
            if len(inside) == 2:
                together.set()
            together.wait(30)
            inside.pop()
            expected = [neutral_mask(plane) for plane in lightness]
            np.testing.assert_array_equal(neutral, expected)
            return list(real.predict(lightness, neutral=neutral))

    two = replace(worker, colorizer=Gpu(), inference=threading.Semaphore(2))  # type: ignore[arg-type]
    summary = work_off(two)
    assert dict(summary.statuses) == {"review": 6}
    assert together.is_set()
    assert most == 2


# --- faults --------------------------------------------------------------------------------------


class Faulty:
    """Something real, of which one method fails for one scan."""

    def __init__(self, inner: Any, method: str, fault: Callable[..., Any]) -> None:  # noqa: ANN401
        self._inner, self._method, self._fault = inner, method, fault

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        real = getattr(self._inner, name)
        if name != self._method:
            return real
        return lambda *args, **kwargs: self._fault(real, *args, **kwargs)


class FaultySources:
    """The worker's sources, one of them faulty; whether one is away, the real ones tell."""

    def __init__(self, inner: Sources, url: str, faulty: Faulty) -> None:
        self._inner, self._url, self._faulty = inner, url, faulty
        self.check, self.is_large_film = inner.check, inner.is_large_film

    def open(self, url: str) -> Any:  # noqa: ANN401
        """The faulty one, or another as it is."""
        return self._faulty if url == self._url else self._inner.open(url)


def fails(error: BaseException) -> Callable[..., Any]:
    """Fail with *error* where the victim is named in the arguments."""

    def fault(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if any(VICTIM in str(argument) for argument in args):
            raise error
        return real(*args, **kwargs)

    return fault


def tells_wrongly(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Give another digest for the victim."""
    return "0" * 64 if VICTIM in str(args[0]) else real(*args, **kwargs)


@dataclass(frozen=True)
class Case:
    """A fault at a stage, and what must follow for the scan that it hits."""

    stage: str
    part: str
    method: str
    fault: Callable[..., Any]
    status: ItemStatus
    reason: Reason
    attempts: int


FAILED, QUARANTINED = ItemStatus.FAILED, ItemStatus.QUARANTINED
SLOW_DOWN = StorageUnavailable("503 SlowDown")
RESET = ConnectionResetError(errno.ECONNRESET, "reset by peer")
SOURCE, PUT, DIGEST = ("source", "fetch"), ("output", "put"), ("output", "digest")

#: stage, where it fails, how → status, reason, attempts.
CASES = [
    Case("fetch", *SOURCE, fails(SLOW_DOWN), FAILED, Reason.STORAGE_UNAVAILABLE, 3),
    Case("fetch", *SOURCE, fails(RESET), FAILED, Reason.STORAGE_UNAVAILABLE, 3),
    Case("fetch", *SOURCE, fails(TimeoutError("timed out")), FAILED, Reason.TIMEOUT, 3),
    Case("fetch", *SOURCE, fails(ZeroDivisionError("a defect")), FAILED, Reason.UNEXPECTED, 1),
    Case("put", *PUT, fails(SLOW_DOWN), FAILED, Reason.STORAGE_UNAVAILABLE, 3),
    Case("verify", *DIGEST, tells_wrongly, FAILED, Reason.WRITE_UNVERIFIED, 1),
    Case("verify", *DIGEST, fails(SLOW_DOWN), FAILED, Reason.STORAGE_UNAVAILABLE, 3),
]


def with_fault(worker: Worker, part: str, method: str, fault: Callable[..., Any]) -> Worker:
    """The worker with one of its parts failing."""
    if part == "source":
        (url,) = {
            item.uri.rpartition("/")[0]
            for item in items_of(worker.ledger).values()
            if VICTIM in item.uri
        }
        faulty = Faulty(worker.sources.open(url), method, fault)
        return replace(worker, sources=FaultySources(worker.sources, url, faulty))  # type: ignore[arg-type]
    faulty = Faulty(getattr(worker, part), method, fault)
    return replace(worker, **{part: faulty})  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.stage}-{case.reason}")
def test_a_fault_ends_one_item_with_its_reason(
    case: Case, make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """Stage and fault decide status, reason and attempts; the other five scans are done."""
    worker = with_fault(worker_for(make_settings()), case.part, case.method, case.fault)
    work_off(worker)
    items = items_of(worker.ledger)
    victim = items.pop(VICTIM)
    assert (victim.status, victim.reason, victim.attempts) == (
        case.status,
        case.reason,
        case.attempts,
    )
    assert {item.status for item in items.values()} == {ItemStatus.REVIEW}
    assert victim.detail


CRASH, TONE = KilledWorker("exit code -11"), ToneGateFailed("max |ΔL*| 3.1")
CHILD_CASES = [
    ("decode", read_small, CRASH, QUARANTINED, Reason.KILLED_WORKER, 3),
    ("decode", read_small, MemoryError(), FAILED, Reason.OUT_OF_MEMORY, 3),
    ("encode", write_scan, TONE, FAILED, Reason.TONE_GATE, 1),
    ("encode", write_scan, CRASH, QUARANTINED, Reason.KILLED_WORKER, 3),
]


@pytest.mark.parametrize(("stage", "work", "error", "status", "reason", "attempts"), CHILD_CASES)
def test_a_fault_in_a_child_ends_one_item_with_its_reason(
    stage: str,
    work: Callable[..., Any],
    error: BaseException,
    status: ItemStatus,
    reason: Reason,
    attempts: int,
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    archive: Path,
) -> None:
    """Decoding and encoding happen in other processes, whose ends are told apart."""
    del stage
    victim_bytes = (archive / VICTIM).read_bytes()

    def fault(
        real: Callable[..., Any],
        asked: object,
        request: Any,  # noqa: ANN401
        **named: int,
    ) -> Any:  # noqa: ANN401
        if asked is work and request.path.read_bytes() == victim_bytes:
            raise error
        return real(asked, request, **named)

    worker = with_fault(worker_for(make_settings()), "pixels", "run", fault)
    work_off(worker)
    items = items_of(worker.ledger)
    victim = items.pop(VICTIM)
    assert (victim.status, victim.reason, victim.attempts) == (status, reason, attempts)
    assert {item.status for item in items.values()} == {ItemStatus.REVIEW}


def test_memory_that_does_not_suffice_for_one_scan_fails_that_scan(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """The network gives an error in place of a map; the ledger tries it again, then gives up."""
    worker = worker_for(make_settings())
    real: Colorizer = worker.colorizer

    class Cramped:
        negativity = real.negativity

        def predict(self, lightness: list[Any], *, neutral: list[Any]) -> list[Any]:
            maps: list[Any] = list(real.predict(lightness, neutral=neutral))
            return [
                MemoryError() if one.shape[0] > one.shape[1] else m
                for one, m in zip(lightness, maps, strict=True)
            ]

    work_off(replace(worker, colorizer=Cramped()))  # type: ignore[arg-type]
    items = items_of(worker.ledger)
    upright = items.pop("flat.tif")
    assert (upright.status, upright.reason) == (ItemStatus.FAILED, Reason.OUT_OF_MEMORY)
    assert {item.status for item in items.values()} == {ItemStatus.REVIEW}


@pytest.mark.parametrize(
    ("temperature", "weights", "said"),
    [(0.0, 1.0, "no finite colours"), (0.4, 0.0, "one and the same colour everywhere")],
    ids=["overflows", "dead"],
)
def test_a_network_that_colours_nothing_stops_the_run_and_is_named(
    temperature: float,
    weights: float,
    said: str,
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    tmp_path: Path,
) -> None:
    """Its weights are finite, its colours are none: no scan is to blame, and none is written."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(name="unet", network_px=64, temperature=temperature))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(weights)
    file = tmp_path / "wrong.safetensors"
    save_checkpoint(file, network, card=Card("wrong one", "0"))
    worker = worker_for(make_settings(checkpoint=file))
    summary = work_off(worker)
    assert "wrong one" in summary.aborted
    assert said in summary.aborted
    assert "autochrome rollback" in summary.aborted
    items = items_of(worker.ledger)
    assert {(item.status, item.attempts) for item in items.values()} == {(ItemStatus.PENDING, 0)}


def test_a_scan_without_finite_colours_fails_alone(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """The network is sound for a ramp, so the scan is what it cannot do."""
    worker = worker_for(make_settings())
    real: Colorizer = worker.colorizer

    class Stumbling:
        negativity = real.negativity
        is_sound = real.is_sound

        def predict(self, lightness: list[Any], *, neutral: list[Any]) -> list[Any]:
            upright = [one.shape[0] > one.shape[1] for one in lightness]
            given = [
                np.nan * one if up else one for one, up in zip(lightness, upright, strict=True)
            ]
            return list(real.predict(given, neutral=neutral))

    work_off(replace(worker, colorizer=Stumbling()))  # type: ignore[arg-type]
    items = items_of(worker.ledger)
    upright = items.pop("flat.tif")
    assert (upright.status, upright.reason) == (ItemStatus.FAILED, Reason.INVALID_PREDICTION)
    assert {item.status for item in items.values()} == {ItemStatus.REVIEW}


@pytest.mark.parametrize(
    "error",
    [
        OutputFull("no room is left"),
        AccessDenied("may not write"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_fail_every_scan_stops_the_run_and_costs_no_attempt(
    error: BaseException, make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """A full disk is nobody's fault: everything is pending again, with all its attempts."""

    def full(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        raise error

    worker = with_fault(worker_for(make_settings()), "output", "put", full)
    summary = work_off(worker)
    assert summary.aborted
    if not isinstance(error, AutochromeError):  # of a disk of ours: it is named, with a remedy
        assert f"no room is left in {worker.scratch.parent}" in summary.aborted
        assert "AUTOCHROME_SCRATCH" in summary.aborted
    assert summary.given_back == 6
    items = items_of(worker.ledger)
    assert {(item.status, item.attempts) for item in items.values()} == {(ItemStatus.PENDING, 0)}


def test_a_stop_finishes_what_was_begun_and_gives_back_the_rest(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """Nothing is left claimed, and no attempt is lost."""
    stop = threading.Event()
    worker = replace(worker_for(make_settings(minibatch=1)), stop=stop)

    def stop_after_one(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        stop.set()
        return real(*args, **kwargs)

    summary = work_off(with_fault(worker, "output", "put", stop_after_one))
    items = items_of(worker.ledger)
    pending = [item for item in items.values() if item.status is ItemStatus.PENDING]
    assert summary.items + summary.given_back == 6
    assert len(pending) == summary.given_back > 0
    assert all(item.attempts == 0 for item in pending)


def test_a_signal_that_ends_the_share_drains_it(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """As Prefect ends a run: SIGTERM raises in the main thread while batches are in flight."""

    class Terminated(BaseException):
        pass

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    def at_the_first(real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if not worker.stop.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
            assert worker.stop.wait(30)
        return real(*args, **kwargs)

    worker = worker_for(make_settings(minibatch=1))
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        with pytest.raises(Terminated):
            work_off(with_fault(worker, "output", "put", at_the_first))
    finally:
        signal.signal(signal.SIGTERM, before)
    statuses = Counter(item.status for item in items_of(worker.ledger).values())
    assert set(statuses) == {ItemStatus.PENDING, ItemStatus.REVIEW}
    pending = worker.ledger.list_items(ItemFilter(statuses=[ItemStatus.PENDING]), limit=9)
    assert {item.attempts for item in pending} == {0}


def test_a_late_worker_does_not_overwrite_the_new_holder(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """A lease that was taken over is lost, and what the late worker found is refused."""
    worker = worker_for(make_settings())
    claim = claim_all(worker)
    worker.ledger.expire_leases({"a test"})
    again = claim_batch(
        worker.ledger, worker.recipe_id, worker="another", limit=1, lease_s=60, max_attempts=3
    )
    assert again is not None
    summary: BatchSummary = colorize_batch(worker, claim)
    assert (summary.items, summary.lost_leases) == (0, 6)


def test_batches_leave_no_scratch_behind(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """Fetched scans and written files go with their batch; whose the folder is stays."""
    worker = worker_for(make_settings())
    work_off(worker)
    assert [path.name for path in worker.scratch.iterdir()] == ["owner"]


def test_a_night_counts_what_the_ledger_made_of_it(
    make_settings: MakeSettings, worker_for: OpenWorker
) -> None:
    """Of bytes that a person rejected once, none are published, nor counted as if they were."""
    settings = make_settings(publish_directly=True, review_below_confidence=0)
    worker = worker_for(settings)
    ledger = worker.ledger
    victim = items_of(ledger)[VICTIM]
    ledger.reject(ItemFilter(uri=victim.uri), who="archivist", why="rights")
    summary = work_off(worker)
    counts = ledger.counts(worker.recipe_id)
    assert counts.reasons[Reason.DECIDED_BEFORE] == 1
    assert summary.reasons[Reason.DECIDED_BEFORE] == 1
    assert dict(summary.statuses) == {s: n for s, n in counts.items.items() if n}
