"""A film's reel: its segments fetched and put together, and what is written beside it."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

from tasks.batch.film_files import OpenFilm
from tasks.batch.film_work import Cut, CutRequest, ReelRequest, assemble_reel, cut_master
from tasks.batch.lease import LeaseLost
from tasks.batch.stages import Work, provenance_of
from tasks.batch.storing import asking
from tasks.batch.worker import Worker
from tasks.derivatives import WrittenFile
from tasks.derivatives.sidecar import write_sidecar
from tasks.errors import FixityMismatch, Reason, ScanTooLarge
from tasks.films.reel import Reel
from tasks.ledger import films
from tasks.ledger.records import ShotRow
from tasks.provenance import Provenance
from tasks.provenance.xmp import build_xmp
from tasks.scans.findings import Doubt
from tasks.storage import ObjectMissing
from tasks.words import bytes_in_words, count

logger = logging.getLogger(__name__)

#: Scratch space that is left free for whatever else is worked on.
KEPT_FREE_BYTES = 256 << 20


@dataclass(frozen=True)
class MadeReel:
    """A reel on the local disk, gated.

    Attributes:
        files: What is to be stored: first the master.
        confidence: Of its shots that are in colour, by their frames.
        reason: Why a curator has to look; None where nothing is in the way.
        detail: The same in words.
    """

    files: tuple[WrittenFile, ...]
    confidence: float
    reason: Reason | None
    detail: str


def make_reel(worker: Worker, work: Work, token: str, film: OpenFilm) -> MadeReel | None:
    """Put a film together whose shots are all done; None where some have to be coloured again.

    Args:
        worker: What is open.
        work: The item.
        token: Of the claim that holds it.
        film: Its file.

    Raises:
        LeaseLost: Shots would have to be, and the item is in other hands.
        ToneGateFailed: Its Y′ is not the film's, frame by frame.
        ScanTooLarge: There is no room for it on the disk.
        AutochromeError: The segments cannot be had, or not be put together.
    """
    shots = films.list_shots(worker.ledger, work.item.id)
    _check_room(worker, shots)
    folder = Path(mkdtemp(dir=work.folder, prefix="reel-"))
    segments = _fetch_segments(worker, work, token, shots, folder)
    if segments is None:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    coloured = [shot for shot in shots if not shot.is_grey]
    # What was said of a shot that is kept grey is on record, and has no part in this reel.
    work.frames = tuple(
        row for row in work.frames if any(shot.looks_at(row.frame or 0) for shot in coloured)
    )
    frames = sum(shot.frames for shot in coloured)
    confidence = sum((shot.confidence or 0.0) * shot.frames for shot in coloured) / max(frames, 1)
    work.confidence = confidence
    provenance = provenance_of(worker, work)
    request = ReelRequest(film.path, film.header, tuple(segments), folder, provenance)
    pixels = film.header.frames * film.header.width * film.header.height
    reel = worker.pixels.run(assemble_reel, request, pixels=pixels)
    told = {doubt.reason for doubt in film.header.doubts}
    more = tuple(doubt for doubt in reel.doubts if doubt.reason not in told)
    work.notes = (*(work.notes or ()), *(doubt.words for doubt in more))
    reason, detail = _doubt(worker, work, (*more, *film.header.doubts), coloured)
    provenance = replace(provenance, notes=(*provenance.notes, *(one.words for one in more)))
    return MadeReel(tuple(_files(worker, reel, folder, provenance)), confidence, reason, detail)


def _check_room(worker: Worker, shots: Sequence[ShotRow]) -> None:
    """See that the segments, and the reel beside them, fit on the disk."""
    needed = 2 * sum(shot.segment_bytes or 0 for shot in shots) + KEPT_FREE_BYTES
    free = shutil.disk_usage(worker.scratch).free
    if needed > free:
        raise ScanTooLarge(
            f"to put the film together takes {bytes_in_words(needed)} of scratch space, and "
            f"{bytes_in_words(free)} are free; set AUTOCHROME_SCRATCH to a larger disk, then "
            "`autochrome retry --reason too_large`: its shots are done"
        )


def _fetch_segments(
    worker: Worker, work: Work, token: str, shots: Sequence[ShotRow], folder: Path
) -> list[Path] | None:
    """The segments, in order; None where some are gone, and their shots are open again.

    Of shots that were in a reel before, the segments were discarded: they are cut from its master.
    """
    paths = {shot.number: folder / f"{shot.number:05}.mkv" for shot in shots}
    kept = [shot for shot in shots if shot.segment_key is None]
    gone = [] if _cut(worker, work, kept, paths) else [shot.number for shot in kept]
    for shot in shots:
        if shot.segment_key is not None:
            fetched = _fetched(worker, shot.segment_key, paths[shot.number])
            if fetched != shot.segment_sha256:
                gone.append(shot.number)
    if not gone:
        return [*paths.values()]
    logger.warning("%s: %s must be coloured again", work.item.uri, count(len(gone), "shot"))
    if not films.reopen(worker.ledger, token, work.item.id, gone):
        raise LeaseLost("the lease ran out; another worker does this film")
    return None


def _cut(worker: Worker, work: Work, shots: Sequence[ShotRow], paths: Mapping[int, Path]) -> bool:
    """Take shots from the film's master; False where that is not there, or is not what it was."""
    made = films.master_of(worker.ledger, work.item.id) if shots else None
    if made is None:
        return not shots
    master = work.folder / "master.mkv"
    is_whole = made.store == worker.output.url and made.sha256 == _fetched(worker, made.key, master)
    if is_whole:
        cuts = tuple(Cut(shot.first, shot.frames, paths[shot.number]) for shot in shots)
        worker.pixels.run(cut_master, CutRequest(master, cuts), pixels=made.size_bytes)
    master.unlink(missing_ok=True)
    return is_whole


def _fetched(worker: Worker, key: str, path: Path) -> str:
    """The digest of what was fetched; nothing where it is not there, or damaged.

    Raises:
        OutputAway: The output as a whole is away: then nothing of it is gone.
    """
    try:
        with asking(worker.output):
            return worker.output.fetch(key, path)
    except (ObjectMissing, FixityMismatch):
        return ""


def _doubt(
    worker: Worker, work: Work, doubts: Sequence[Doubt], coloured: Sequence[ShotRow]
) -> tuple[Reason | None, str]:
    """Why a curator has to look at a film. Of shots that a person corrected, one has looked."""
    for doubt in doubts:
        return doubt.reason, doubt.words
    least = worker.settings.review_below_confidence
    frames = [row.frame or 0 for row in work.frames]
    unsure = [
        shot
        for shot in coloured
        if (shot.confidence or 0.0) < least and not any(map(shot.looks_at, frames))
    ]
    if not worker.checkpoint.tells_confidence:
        return Reason.LOW_CONFIDENCE, ""
    if not unsure:
        return None, ""
    worst = min(unsure, key=lambda shot: shot.confidence or 0.0)
    return Reason.LOW_CONFIDENCE, (
        f"{len(unsure)} of {count(len(coloured), 'shot')}, the least sure {worst.number} "
        f"with {worst.confidence or 0.0:.2f}"
    )


def _files(worker: Worker, reel: Reel, folder: Path, provenance: Provenance) -> list[WrittenFile]:
    policy = worker.policy
    files = [WrittenFile.of("master", reel.master, reel.note, luma_identical=True)]
    if policy.access:
        files.append(WrittenFile.of("access", reel.access, "H.264, with the film's sound"))
    files.append(WrittenFile.of("poster", reel.poster, "a frame of the film"))
    files.append(WrittenFile.of("framemd5", reel.framemd5, "a digest of each frame's Y′"))
    xmp = folder / "master.xmp"
    xmp.write_bytes(build_xmp(provenance, rights=policy.rights))
    files.append(WrittenFile.of("xmp", xmp, "XMP of the master"))
    if policy.sidecar:
        sidecar = folder / "sidecar.json"
        write_sidecar(sidecar, files, provenance=provenance)
        files.append(WrittenFile.of("sidecar", sidecar, "what is known of the other files"))
    return files
