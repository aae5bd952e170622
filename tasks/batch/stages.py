"""The stages of one item: fetch, decode, encode, put, verify, and the outcome they lead to.

Every function here ends in a value or an outcome, never in an exception: what happened to a scan is
recorded, and its neighbours do not notice.
"""

import contextlib
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from colormodel.correction import Correction
from colormodel.planes import ChromaMap
from tasks.batch.lease import Lease, LeaseLost
from tasks.batch.pixel_work import (
    ReadRequest,
    ReadScan,
    WriteRequest,
    read_in_child,
    write_scan,
)
from tasks.batch.storing import store_verified
from tasks.batch.worker import Worker
from tasks.derivatives import WrittenFile
from tasks.derivatives.colour import OwnColour
from tasks.derivatives.keys import derivative_key
from tasks.errors import (
    AccessDenied,
    AutochromeError,
    FixityMismatch,
    Reason,
    SourceAway,
    StorageUnavailable,
    UsageError,
    reason_of,
)
from tasks.films.kinds import is_film
from tasks.ledger import (
    STATUS_AFTER,
    ClaimedItem,
    CorrectionRow,
    DerivativeRecord,
    ItemStatus,
    Outcome,
)
from tasks.ledger.corrections import standing
from tasks.provenance import CorrectionStatement, Provenance, this_program
from tasks.provenance.corrections import corrected, corrected_film, read_said
from tasks.scans.descriptive import Descriptive
from tasks.storage import ChangedSinceListing, ObjectArchived

#: Below this much free scratch space an unnamed failure is taken for a full disk.
SCRATCH_FLOOR_BYTES = 32 << 20

#: The ledger keeps this much of an explanation.
DETAIL_LIMIT = 1000


#: Time spent, by stage.
StageSeconds = defaultdict[str, float]


@dataclass
class Work:
    """One item on its way through the stages, with what is known of it so far."""

    item: ClaimedItem
    folder: Path
    lease: Lease
    sha256: str | None = None
    read: ReadScan | None = None
    confidence: float | None = None
    is_suspected_negative: bool = False
    tone_doubt: str = ""
    correction: CorrectionRow | None = None  #: what a person said of these bytes
    is_film: bool = False  #: it is for `tasks.batch.films`, fetched or not
    frames: tuple[CorrectionRow, ...] = ()  #: of a film: what counts, one for each frame
    notes: tuple[str, ...] | None = None  #: of a film; those of a picture are in *read*
    derivatives: list[DerivativeRecord] = field(default_factory=list)
    seconds: StageSeconds = field(default_factory=lambda: defaultdict(float))

    @property
    def path(self) -> Path:
        """Where the fetched scan lies."""
        return self.folder / "scan"

    @property
    def scan(self) -> ReadScan:
        """What reading the scan told; only asked for after it was read."""
        if self.read is None:
            raise RuntimeError(f"{self.item.uri} was not read yet")
        return self.read

    @property
    def said(self) -> Correction:
        """What a person said of it; nothing where nobody did."""
        return Correction() if self.correction is None else read_said(self.correction)

    @property
    def statement(self) -> CorrectionStatement | None:
        """The same as provenance has it."""
        if self.correction is None:
            return None
        if self.is_film:
            return corrected_film(self.frames, self.correction.id)
        return corrected(self.correction)

    @property
    def lightness(self) -> np.ndarray:
        """L* for the network, float32 (h, w)."""
        return self.scan.lightness

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent within to stage *name*."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start


@dataclass(frozen=True)
class ItemResult:
    """An item at its end: what the ledger is to record, and what the work told."""

    work: Work
    outcome: Outcome
    is_lost: bool = False  #: it is in other hands: there is nothing to record
    away: str | None = None  #: the place of its source that is, where it is not its own fault


def read_item(worker: Worker, item: ClaimedItem, folder: Path, lease: Lease) -> Work | ItemResult:
    """Fetch and decode a scan into its own *folder*; an outcome if that is where it ends.

    A film, which its content tells, is fetched and no more, and a large one not yet.
    """
    work = Work(item, folder, lease, correction=item.correction)
    try:
        folder.mkdir()
        with work.stage("fetch"):
            work.is_film = worker.sources.is_large_film(item)
            if work.is_film:
                return work
            fetch_item(worker, work)
        work.is_film = is_film(work.path)
        if work.is_film:
            return work
        with work.stage("decode"):
            work.read = read_in_child(worker.pixels.run, _read_request(worker, work))
    except Exception as error:  # noqa: BLE001  each item's outcome is recorded, whatever it is
        return end_with_error(worker, work, error)
    return work


def write_item(worker: Worker, work: Work, chroma_map: ChromaMap) -> ItemResult:
    """Encode, put and verify the derivatives of a scan."""
    work.confidence = chroma_map.score
    try:
        with work.stage("encode"):
            request = _write_request(worker, work, chroma_map)
            pixels = work.scan.header.pixels
            files = worker.pixels.run(write_scan, request, pixels=pixels)
        work.tone_doubt = _tone_doubt(work, files)
        for file in files:
            put_verified(worker, work, file)
    except Exception as error:  # noqa: BLE001  each item's outcome is recorded, whatever it is
        return end_with_error(worker, work, error)
    reason = _review_reason(worker, work)
    publish = worker.settings.publish_directly and reason is None
    status = ItemStatus.PUBLISHED if publish else ItemStatus.REVIEW
    unread = "; ".join(work.scan.header.unread)
    return end_item(work, status, reason, unread or work.tone_doubt or files[0].note)


def _tone_doubt(work: Work, files: list[WrittenFile]) -> str:
    """Why the scan's tone may be another: by what the file states, or as only one reading tells."""
    of_files = (file.tone.doubt for file in files if file.tone and file.tone.doubt)
    return work.scan.tone_doubt or next(of_files, "")


def end_with_error(
    worker: Worker, work: Work, error: BaseException, *, is_final: bool = False
) -> ItemResult:
    """What an exception means for its item.

    The ledger decides whether it is tried again, unless it is *final*.
    """
    reason = reason_of(error)
    if reason is Reason.UNEXPECTED and _is_full(worker.scratch):
        reason = Reason.OUTPUT_FULL
    detail = str(error) or type(error).__name__
    if reason is Reason.UNEXPECTED:
        detail = f"{type(error).__name__}: {detail}"
    elif reason is Reason.OUTPUT_FULL and not isinstance(error, AutochromeError):
        place = worker.scratch.parent  # stores name themselves
        detail = f"no room is left in {place} ({detail}); free some, or set AUTOCHROME_SCRATCH"
    status = STATUS_AFTER.get(reason.verdict, ItemStatus.FAILED)
    done = end_item(work, status, reason, detail, is_final=is_final)
    away = error.place if isinstance(error, SourceAway) else None
    return replace(done, is_lost=isinstance(error, LeaseLost), away=away)


def fetch_item(worker: Worker, work: Work) -> None:
    """Fetch a scan's file into its folder, and see that it holds the bytes on record.

    Raises:
        AutochromeError: It cannot be had now, or is not what it was.
    """
    item = work.item
    try:
        store = worker.sources.open(item.source)
        work.sha256 = store.fetch(item.key, work.path, version=item.version, etag=item.etag)
    except (ChangedSinceListing, ObjectArchived):
        raise  # its source has answered
    except (AccessDenied, StorageUnavailable, UsageError):
        worker.sources.check(item.source, item.key)
        raise
    if item.sha256 and item.sha256 != work.sha256:
        if item.is_doubted:
            raise ChangedSinceListing(
                f"{item.uri}: holds other bytes than it held when it was read last; "
                "the next discovery gives it a new revision"
            )
        raise FixityMismatch(
            f"{item.uri}: sha256 is {work.sha256}, recorded was {item.sha256}, yet its store says "
            "that it has not changed; compare it with a copy before trusting either"
        )

    if item.may_be_corrected:  # elsewhere: whose bytes these are is known only now
        work.correction = standing(worker.ledger, work.sha256, item.page)


def _read_request(worker: Worker, work: Work) -> ReadRequest:
    return ReadRequest(
        path=work.path,
        page=work.item.page,
        limits=worker.limits,
        network_px=worker.checkpoint.network_px,
    )


def _write_request(worker: Worker, work: Work, chroma_map: ChromaMap) -> WriteRequest:
    return WriteRequest(
        path=work.path,
        page=work.item.page,
        limits=worker.limits,
        chroma_map=chroma_map,
        provenance=provenance_of(worker, work),
        policy=worker.policy,
        own_colour=OwnColour.of(
            work.scan.findings.own_colour, work.said if work.correction else None, chroma_map
        ),
    )


def provenance_of(worker: Worker, work: Work) -> Provenance:
    """What the derivatives of an item say of their origin."""
    card = worker.checkpoint.card
    return Provenance(
        scan_uri=work.item.uri,
        scan_sha256=work.sha256 or "",
        checkpoint_digest=worker.checkpoint.digest,
        recipe_digest=worker.recipe_digest,
        model_name=f"{card.name} {card.version}",
        software=this_program(),
        created_at=datetime.now(UTC),
        confidence=work.confidence or 0.0,
        descriptive=work.read.header.descriptive if work.read else Descriptive(),
        page=work.item.page,
        notes=(work.read.notes if work.read else work.notes) or (),
        correction=work.statement,
    )


def put_verified(worker: Worker, work: Work, file: WrittenFile) -> None:
    """Store a derivative, read it back, and note it.

    Raises:
        LeaseLost: The item may be in other hands.
        AutochromeError: It cannot be stored, or does not come back as it was.
    """
    output = worker.output
    number = work.correction.id if work.correction else 0
    key = derivative_key(worker.recipe_digest, work.item, file, correction=number)
    store_verified(output, work.lease, key, file, stage=work.stage)
    work.derivatives.append(
        DerivativeRecord(
            kind=file.kind,
            store=output.url,
            key=key,
            content_type=file.content_type,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            max_delta_l=file.tone.max_delta_l if file.tone else None,
            mean_delta_l=file.tone.mean_delta_l if file.tone else None,
            luma_identical=file.tone.luma_identical if file.tone else file.luma_identical,
        )
    )


def _review_reason(worker: Worker, work: Work) -> Reason | None:
    if work.scan.header.unread:  # before what a picture shows: nobody would look for lost rights
        return Reason.METADATA_UNREADABLE
    if work.is_suspected_negative:
        return Reason.NEGATIVE_SUSPECTED
    if work.tone_doubt:
        return Reason.TONE_DOUBTFUL
    return work.scan.findings.reason or _colour_doubt(worker, work)


def _colour_doubt(worker: Worker, work: Work) -> Reason | None:
    if work.correction is not None:  # a person has looked at the colours
        return None
    is_sure = (work.confidence or 0.0) >= worker.settings.review_below_confidence
    if not is_sure or not worker.checkpoint.tells_confidence:
        return Reason.LOW_CONFIDENCE
    return None


def end_item(
    work: Work,
    status: ItemStatus,
    reason: Reason | None,
    detail: str,
    *,
    is_final: bool = False,
) -> ItemResult:
    """An item's outcome, with all that is known of it by now."""
    header = work.read.header if work.read else None
    outcome = Outcome(
        item_id=work.item.id,
        status=status,
        reason=reason,
        detail=detail[:DETAIL_LIMIT],
        scan_sha256=work.sha256,
        listing=work.item.listing,
        width=header.width if header else None,
        height=header.height if header else None,
        bits=header.bits if header else None,
        pages=header.pages if header else None,
        title=header.descriptive.title or header.descriptive.description if header else None,
        confidence=work.confidence,
        notes=_notes(work),
        derivatives=tuple(work.derivatives),
        seconds=sum(work.seconds.values()),
        correction_id=work.correction.id if work.correction else 0,
        is_final=is_final,
    )
    return ItemResult(work, outcome)


def _notes(work: Work) -> tuple[str, ...] | None:
    notes = work.read.notes if work.read else work.notes
    if notes is None or work.statement is None:
        return notes
    return (*notes, f"Coloured by {work.statement.in_words()}.")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < SCRATCH_FLOOR_BYTES
    except OSError:
        return False
