"""A film's way through the stages: its shots are found, coloured one by one, and put together.

The item's holder does all of that. Whoever has nothing left to claim colours shots of it meanwhile
(`help_with_a_film`). Between two shots nothing is lost: there it is asked whether to go on.
"""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from colormodel.correction import Correction
from colormodel.device import DeviceError
from colormodel.networks import NetworkFault
from colormodel.planes import ChromaMap, Plane
from colormodel.session import PictureSession
from tasks.batch.film_files import OpenFilm
from tasks.batch.film_work import (
    PartRequest,
    PosterRequest,
    ProbeRequest,
    make_poster,
    part_film,
    probe_film,
)
from tasks.batch.lease import Lease, LeaseLost, ShotLease
from tasks.batch.reels import make_reel
from tasks.batch.stages import (
    DETAIL_LIMIT,
    ItemResult,
    Work,
    end_item,
    end_with_error,
    fetch_item,
    put_verified,
)
from tasks.batch.storing import store_verified
from tasks.batch.summary import BatchSummary
from tasks.batch.worker import Worker
from tasks.derivatives import WrittenFile
from tasks.derivatives.keys import poster_key, work_folder
from tasks.errors import (
    AutochromeError,
    DatabaseUnavailable,
    NoDevice,
    Reason,
    Verdict,
    reason_of,
)
from tasks.films.colouring import FrameCorrections, colour_shot
from tasks.films.shots import Shot
from tasks.ledger import ClaimedItem, ItemStatus, corrections, films
from tasks.ledger.records import FilmFacts, LeasedShot, ShotRequest, ShotResult, ShotRow
from tasks.provenance.corrections import read_said

logger = logging.getLogger(__name__)

#: Who waits for shots in other hands looks so often.
LOOK_S = 1.0

#: And no oftener: what is due can not always be leased, as while its order is paused.
LEAST_WAIT_S = 0.5

#: A shot that went wrong for what may be over is tried again so much later.
AGAIN_AFTER_S = 20.0


class ShotFailed(AutochromeError):
    """A shot cannot be coloured, or was tried as often as it may be: so the film cannot."""

    def __init__(self, shot: ShotRow) -> None:
        last = shot.first + shot.frames - 1
        super().__init__(f"shot {shot.number}, frames {shot.first} to {last}: {shot.detail}")
        self.reason = shot.reason or Reason.UNEXPECTED  # type: ignore[misc]  # the shot's own


class FilmNotFetched(AutochromeError):
    """Who wants to help with a film cannot have its file: that is left to its holder."""

    reason = Reason.SOURCE_AWAY


@dataclass(frozen=True)
class FilmShare:
    """For which order films are coloured, and whether to go on with them."""

    order_id: int
    goes_on: Callable[[], bool]


# --- the item's holder ---------------------------------------------------------------------------


def colour_film(worker: Worker, work: Work, token: str, share: FilmShare) -> ItemResult | None:
    """Take a fetched film to its end; None where it is asked to stop: the shots done stay done.

    Args:
        worker: What is open.
        work: The item, its file fetched.
        token: Of the claim that holds it.
        share: For which order, and whether to go on.
    """
    try:
        with work.stage("decode"):
            film = _open_film(worker, work)
            _take_up(worker, work, token, film)
        with worker.films.lent(_name(work.item), film):
            while True:
                if not _colour_shots(worker, work, token, film, share):
                    return None
                with work.stage("encode"):
                    made = make_reel(worker, work, token, film)
                if made is not None:
                    break  # else some segments are gone: their shots are open again
        for file in made.files:
            put_verified(worker, work, file)
    except Exception as error:  # noqa: BLE001  each item's outcome is recorded, whatever it is
        return end_with_error(worker, work, error, is_final=isinstance(error, ShotFailed))
    work.confidence = made.confidence
    publish = worker.settings.publish_directly and made.reason is None
    status = ItemStatus.PUBLISHED if publish else ItemStatus.REVIEW
    return end_item(work, status, made.reason, made.detail)


def discard_segments(worker: Worker, item: ClaimedItem) -> None:
    """Remove a film's segments, once the ledger has it that its reel is whole; not before."""
    if films.forget_segments(worker.ledger, item.id):
        worker.output.discard(work_folder(worker.recipe_digest, item, item.id))


def _open_film(worker: Worker, work: Work) -> OpenFilm:
    if not work.path.exists():  # it was put aside until its turn came
        work.folder.mkdir(exist_ok=True)
        fetch_item(worker, work)
    return _probed(worker, work)


def _probed(worker: Worker, work: Work) -> OpenFilm:
    """A film on the disk with its header, which is read in a child."""
    request = ProbeRequest.under(worker.settings, work.path)
    header = worker.pixels.run(probe_film, request, pixels=work.item.size_bytes)
    return OpenFilm(work.path, header)


def _take_up(worker: Worker, work: Work, token: str, film: OpenFilm) -> None:
    """Find the film's shots, unless they are on record."""
    item_id, header = work.item.id, film.header
    work.notes = film_notes(film)
    said = work.correction.id if work.correction else 0
    work.frames = tuple(corrections.of_film(worker.ledger, said).values())
    taken = partial(films.take_up, worker.ledger, token, item_id, correction_id=said)
    if taken():
        return
    pixels = header.frames * header.width * header.height
    found = worker.pixels.run(part_film, PartRequest(film.path, header), pixels=pixels)
    frames = sum(one.frames for one in found)
    facts = FilmFacts(frames, header.duration_s, header.width, header.height, header.bits)
    if not films.record_shots(worker.ledger, token, item_id, found, facts) or not taken():
        raise LeaseLost("the lease ran out; another worker does this film")
    logger.info("%s: %d frames in %d shots", work.item.uri, frames, len(found))


def film_notes(film: OpenFilm) -> tuple[str, ...]:
    """What a person should know of a film, a sentence each."""
    return (*film.header.notes, *(doubt.words for doubt in film.header.doubts))


def _colour_shots(worker: Worker, work: Work, token: str, film: OpenFilm, share: FilmShare) -> bool:
    """Colour shot after shot until all are done, by whomever; False where it is asked to stop."""
    # Of these bytes: who has the film next may have found the shots of others already.
    item_id, revision = work.item.id, work.item.revision
    wanted = replace(_request(worker, share), item_id=item_id, revision=revision)
    while True:
        standing = films.standing(worker.ledger, token, item_id)
        if not standing.is_held:
            raise LeaseLost("the film was taken away: it is held, or changed, or in other hands")
        if standing.failed is not None:
            raise ShotFailed(standing.failed)
        if standing.is_done:
            return True
        if worker.stop.is_set() or not share.goes_on():
            return False
        work.lease.make_sure()
        leased = films.lease(worker.ledger, wanted)
        if leased is None:
            with work.stage("wait"):
                worker.stop.wait(min(max(standing.due_in_s or 0.0, LEAST_WAIT_S), LOOK_S))
            continue
        with work.stage("infer"):
            colour_leased(worker, leased, lambda: nullcontext(film))


def _request(worker: Worker, share: FilmShare) -> ShotRequest:
    settings = worker.settings
    return ShotRequest(
        share.order_id,
        worker.name,
        lease_s=settings.lease_s,
        max_attempts=settings.max_attempts,
    )


# --- whoever has nothing else to do --------------------------------------------------------------


def help_with_a_film(worker: Worker, share: FilmShare) -> BatchSummary:
    """Colour one shot of a film that somebody holds for the same order, if one is open."""
    summary = BatchSummary()
    wanted = replace(_request(worker, share), without=worker.films.left_out())
    leased = films.lease(worker.ledger, wanted)
    if leased is None:
        return summary
    began = time.perf_counter()
    fetch = partial(_fetched, worker, leased.film)
    try:
        colour_leased(worker, leased, lambda: worker.films.opened(_name(leased.film), fetch))
    except FilmNotFetched as error:
        logger.warning("%s; its film is left to others", error)
        worker.films.leave_out(leased.film)
        return summary
    except DatabaseUnavailable:
        raise
    except AutochromeError as error:
        summary.aborted = str(error)
    summary.shots = 1
    summary.seconds["infer"] = time.perf_counter() - began
    return summary


def _name(item: ClaimedItem) -> tuple[int, int]:
    """What a film is known by in this process: of other bytes it is another."""
    return item.id, item.revision


def _fetched(worker: Worker, item: ClaimedItem) -> OpenFilm:
    """A film in a folder of its own, for as long as this process helps with it."""
    lease = Lease(worker.ledger, "", lease_s=worker.settings.lease_s)  # its holder has that
    work = Work(item, Path(mkdtemp(dir=worker.scratch, prefix="film-")), lease)
    try:
        fetch_item(worker, work)
        return _probed(worker, work)
    except BaseException as error:
        shutil.rmtree(work.folder, ignore_errors=True)
        if not isinstance(error, Exception) or isinstance(error, DatabaseUnavailable):
            raise
        raise FilmNotFetched(str(error) or type(error).__name__) from error


# --- one shot ------------------------------------------------------------------------------------


def colour_leased(
    worker: Worker, leased: LeasedShot, open_film: Callable[[], AbstractContextManager[OpenFilm]]
) -> None:
    """Colour a shot and finish it, or record why that went wrong.

    Args:
        worker: What is open.
        leased: The shot.
        open_film: Gives the film; the lease is renewed while that takes.

    Raises:
        AutochromeError: What would stop every item, or is nobody's fault; the shot is given back.
    """
    ledger, token, settings = worker.ledger, leased.token, worker.settings
    lease = ShotLease(ledger, token, lease_s=settings.lease_s)
    try:
        with lease.kept(), open_film() as film, _folder(worker) as folder:
            done = _coloured(worker, leased, film, folder, lease)
        films.finish(ledger, token, done)
    except DatabaseUnavailable:
        raise
    except LeaseLost:
        pass  # another worker does this shot
    except Exception as error:
        reason = reason_of(error)
        if reason.verdict in (Verdict.ABORT, Verdict.WAIT):
            wait_s = 0.0 if isinstance(error, FilmNotFetched) else AGAIN_AFTER_S
            films.give_back(ledger, token, wait_s=wait_s)
            raise
        detail = str(error) or type(error).__name__
        logger.warning("%s, shot %d: %s", leased.film.uri, leased.number, detail)
        films.fail(
            ledger,
            token,
            reason,
            detail[:DETAIL_LIMIT],
            max_attempts=settings.max_attempts,
            wait_s=AGAIN_AFTER_S,
        )
    except BaseException:
        films.give_back(ledger, token)
        raise


def _folder(worker: Worker) -> TemporaryDirectory[str]:
    return TemporaryDirectory(dir=worker.scratch, prefix="shot-")


def _coloured(
    worker: Worker, leased: LeasedShot, film: OpenFilm, folder: str, lease: Lease
) -> ShotResult:
    began, item = time.perf_counter(), leased.film
    segment, poster = Path(folder) / "segment.mkv", Path(folder) / "poster.jpg"
    shot = Shot(leased.first, leased.frames, leased.lead, leased.tail, leased.seek)
    network = None if leased.grey else _Network(worker)
    # The later counts where two meet.
    rows = sorted(
        corrections.of_film(worker.ledger, leased.correction_id).values(), key=attrgetter("id")
    )
    frames = [(row.frame or 0, read_said(row)) for row in rows]
    said = FrameCorrections(frames, partial(_corrected, worker))
    outcome = colour_shot(film.path, film.header, shot, network, segment, corrections=said)
    worker.pixels.run(make_poster, PosterRequest(segment, leased.frames // 2, poster))
    folder_key = work_folder(worker.recipe_digest, item, item.id)
    # By the token: whoever was away for too long writes over nobody's.
    segment_key = f"{folder_key}/shot-{leased.number:05}-{leased.token[:8]}.mkv"
    own_key = poster_key(worker.recipe_digest, item, leased.number)
    written = WrittenFile.of("segment", segment, "")
    store_verified(worker.output, lease, segment_key, written)
    store_verified(worker.output, lease, own_key, WrittenFile.of("poster", poster, ""))
    return ShotResult(
        segment_key=segment_key,
        segment_sha256=written.sha256,
        segment_bytes=written.size_bytes,
        luma_sha256=hashlib.sha256("\n".join(outcome.digests).encode()).hexdigest(),
        confidence=outcome.confidence,
        seconds=time.perf_counter() - began,
        poster_key=own_key,
        is_grey=leased.grey,
    )


class _Network:
    """The worker's network, for as many at once as its device takes."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which it looks."""
        return self._worker.colorizer.network_size(height, width)

    def predict(self, lightness: Sequence[Plane]) -> Sequence[ChromaMap | Exception]:
        """Maps of frames of that size.

        Raises:
            NoDevice: The device has failed.
        """
        with _watched(self._worker):
            return self._worker.colorizer.predict(lightness)


def _corrected(worker: Worker, lightness: Plane, said: Correction) -> ChromaMap | Exception:
    """The map of a frame under what a person said of it."""
    try:
        with _watched(worker):
            return PictureSession(worker.colorizer, lightness).colours(said)
    except NetworkFault as fault:
        return fault


@contextmanager
def _watched(worker: Worker) -> Iterator[None]:
    """As many at once as the device takes.

    Raises:
        NoDevice: It has failed.
    """
    try:
        with worker.inference:
            yield
    except DeviceError as error:
        raise NoDevice(str(error)) from error
