"""One claimed batch, its stages overlapping.

Reading and writing run in threads (which wait for stores) over child processes (which work on
pixels), and the thread that called runs the network. Whatever happens to a scan becomes an outcome
with a reason; only what would stop every scan ends the batch.
"""

import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from colormodel.device import DeviceError
from colormodel.networks import NetworkFault
from colormodel.planes import ChromaMap
from colormodel.session import PictureSession
from tasks.batch.lease import Lease
from tasks.batch.stages import ItemResult, Work, end_with_error, read_item, write_item
from tasks.batch.summary import BatchSummary
from tasks.batch.worker import Worker
from tasks.errors import (
    DatabaseUnavailable,
    InvalidPrediction,
    NoCheckpoint,
    NoDevice,
    Reason,
    Verdict,
)
from tasks.ledger import Claim, ClaimedItem, Ending, ItemStatus

logger = logging.getLogger(__name__)

#: Outcomes go to the ledger in groups of this size, or when this much time has passed.
FINISH_GROUP = 16
FINISH_EVERY_S = 2.0


def colorize_batch(
    worker: Worker, claim: Claim, *, goes_on: Callable[[], bool] = lambda: True
) -> BatchSummary:
    """Colourize the claimed items and finish each one in the ledger.

    Films come last, one after another: they take long, and so *goes_on* is asked between two shots
    whether to go on with them. Those that are not done then are given back, and so are items not
    begun when `worker.stop` is set, or when a cause appears that would stop every item
    (`BatchSummary.aborted`), are given back: their attempt does not count.

    Raises:
        DatabaseUnavailable: The ledger could not be written, for as long as its patience lasts;
            the leases will run out, and another worker takes the items.
    """
    try:
        scratch = TemporaryDirectory(dir=worker.scratch, prefix="batch-")
    except OSError as error:
        given_back = worker.ledger.give_back(claim.token)
        cause = f"no scratch folder can be made: {error}; free space there, or restore it"
        return BatchSummary(given_back=given_back, aborted=cause)
    lease = Lease(worker.ledger, claim.token, lease_s=worker.settings.lease_s)
    with scratch as folder, lease.kept():
        return _Batch(worker, claim, lease, Path(folder), goes_on).run()


class _Batch:
    """What waits, what is under way and what is done of one batch."""

    def __init__(
        self,
        worker: Worker,
        claim: Claim,
        lease: Lease,
        folder: Path,
        goes_on: Callable[[], bool],
    ) -> None:
        self._worker = worker
        self._claim = claim
        self._lease = lease
        self._folder = folder
        self._todo = deque(claim.items)
        self._reading: set[Future[Work | ItemResult]] = set()
        self._ready: dict[tuple[int, ...], list[Work]] = {}  # by shape of the network's input
        self._writing: set[Future[ItemResult]] = set()
        self._films: deque[Work] = deque()
        self._goes_on = goes_on
        self._done: list[ItemResult] = []
        self._finished_at = time.monotonic()
        self._summary = BatchSummary()
        self._tried_again = set(claim.tried_again)
        self._away: dict[tuple[str, str], float] = {}  # for how long nothing is claimed there
        # Enough begun scans to fill a minibatch while the one before is written, and no more:
        # their files lie in the scratch folder.
        self._window = 2 * worker.settings.minibatch

    def run(self) -> BatchSummary:
        """Work until every item is finished or given back."""
        try:
            return self._work_off()
        except DatabaseUnavailable:
            raise  # nothing can be given back: the lease will run out
        except BaseException:
            self._abandon()
            raise

    def _work_off(self) -> BatchSummary:
        while self._todo or self._under_way() or self._films:
            if self._worker.stop.is_set() or self._summary.aborted or self._lease.is_lost:
                self._give_back([*(i.id for i in self._todo), *(w.item.id for w in self._films)])
                self._todo.clear()
                self._films.clear()
            self._begin()
            if works := self._next_minibatch():
                self._infer(works)
            elif self._under_way():
                self._collect()
            elif self._films:
                self._colour_film(self._films.popleft())
            if self._is_time_to_finish():
                self._finish()
        self._finish()
        return self._summary

    def _abandon(self) -> None:
        """Give everything back that has not ended, once no thread works on it any more."""
        begun: set[Future[Any]] = {*self._reading, *self._writing}
        wait([future for future in begun if not future.cancel()])
        self._worker.ledger.give_back(self._claim.token)

    def _under_way(self) -> int:
        ready = sum(len(works) for works in self._ready.values())
        return len(self._reading) + ready + len(self._writing)

    def _begin(self) -> None:
        while self._todo and self._under_way() < self._window:
            item = self._todo.popleft()
            folder = self._folder / str(item.id)
            future = self._worker.io.submit(read_item, self._worker, item, folder, self._lease)
            self._reading.add(future)

    def _next_minibatch(self) -> list[Work]:
        """A full minibatch of one shape, or the fullest when nothing more is being read."""
        if not self._ready:
            return []
        shape = max(self._ready, key=lambda shape: len(self._ready[shape]))
        size = self._worker.settings.minibatch
        if len(self._ready[shape]) < size and self._reading:
            return []
        works = self._ready.pop(shape)
        if works[size:]:
            self._ready[shape] = works[size:]
        return works[:size]

    def _infer(self, works: list[Work]) -> None:
        start = time.perf_counter()
        with self._worker.inference:
            maps = self._predict(works)
        share = (time.perf_counter() - start) / len(works)
        for work, chroma_map in zip(works, maps, strict=True):
            work.seconds["infer"] += share
            if isinstance(chroma_map, BaseException):
                self._end(end_with_error(self._worker, work, chroma_map))
            else:
                future = self._worker.io.submit(write_item, self._worker, work, chroma_map)
                self._writing.add(future)

    def _predict(self, works: list[Work]) -> list[ChromaMap | Exception]:
        """A map for each, or what went wrong; a defect that one picture brings out is its own."""
        try:
            self._look_for_negatives(works)
            plain = [work for work in works if work.correction is None]
            lightness = [work.lightness for work in plain]
            neutral = [work.scan.neutral for work in plain]
            maps = iter(self._worker.colorizer.predict(lightness, neutral=neutral))
            found = [next(maps) if w.correction is None else self._corrected(w) for w in works]
            return [self._blamed(one) for one in found]
        except DeviceError as error:
            return [NoDevice(str(error)) for _ in works]
        except Exception as error:  # noqa: BLE001  each item's outcome is recorded, whatever it is
            if len(works) == 1:
                return [error]
        return [result for work in works for result in self._predict([work])]

    def _corrected(self, work: Work) -> ChromaMap | Exception:
        """The map of a scan that a person has corrected, as the desk shows it."""
        try:
            session = PictureSession(
                self._worker.colorizer, work.lightness, neutral=work.scan.neutral
            )
            return session.colours(work.said)
        except NetworkFault as fault:
            return fault
        except torch.OutOfMemoryError as error:
            return MemoryError(str(error).splitlines()[0])

    def _blamed(self, found: ChromaMap | Exception) -> ChromaMap | Exception:
        """Tell a picture for which the network has no colours from a network that has none."""
        if not isinstance(found, NetworkFault):
            return found
        if self._worker.colorizer.is_sound():
            return InvalidPrediction(f"{found}; nothing was written")
        checkpoint = self._worker.checkpoint
        return NoCheckpoint(
            f"the checkpoint {checkpoint.card.name} ({checkpoint.digest[:12]}, {checkpoint.path}) "
            f"colours no picture, nor a plain ramp ({found}); `autochrome rollback` puts the "
            "champion before back, `autochrome promote` another"
        )

    def _look_for_negatives(self, works: list[Work]) -> None:
        """Ask the network about the scans that neither border nor tones clear."""
        found = [(work, work.scan.findings.negative_doubt) for work in works]
        doubts = [(work, doubt) for work, doubt in found if doubt is not None]
        scores = self._worker.colorizer.negativity([doubt.view for _, doubt in doubts])
        for (work, doubt), score in zip(doubts, scores, strict=True):
            work.is_suspected_negative = score >= doubt.suspected_from

    def _collect(self) -> None:
        """Take what the threads have ended, waiting for it no longer than outcomes may wait."""
        futures: set[Future[Any]] = {*self._reading, *self._writing}
        done, _ = wait(futures, timeout=FINISH_EVERY_S, return_when=FIRST_COMPLETED)
        for future in done:
            result = future.result()
            work = result.work if isinstance(result, ItemResult) else result
            if work.sha256 and self._tried_again:
                self._end_outages(work.item)
            if isinstance(result, ItemResult):
                self._end(result)
            elif result.is_film:
                self._put_aside(result)
            else:
                self._ready.setdefault(result.lightness.shape, []).append(result)
        self._reading = {future for future in self._reading if future not in done}
        self._writing = {future for future in self._writing if future not in done}

    def _put_aside(self, work: Work) -> None:
        """Keep a film for later: the file of one, those of the others are fetched once more."""
        if self._films:
            shutil.rmtree(work.folder, ignore_errors=True)
        self._films.append(work)

    def _colour_film(self, work: Work) -> None:
        """Colour a film, when nothing else of the batch is left."""
        from tasks.batch.films import (  # noqa: PLC0415 - loads FFmpeg
            FilmShare,
            colour_film,
            discard_segments,
        )

        self._finish()
        done = None
        if self._goes_on():
            share = FilmShare(self._claim.order_id, self._goes_on)
            done = colour_film(self._worker, work, self._claim.token, share)
        if done is None:
            shutil.rmtree(work.folder, ignore_errors=True)
            self._give_back([work.item.id])
        else:
            self._end(done)
            self._finish()
            discard_segments(self._worker, work.item)

    def _end(self, done: ItemResult) -> None:
        """Keep an outcome for the ledger; what would stop every item stops the batch instead."""
        shutil.rmtree(done.work.folder, ignore_errors=True)
        reason = done.outcome.reason
        if done.is_lost:
            self._summary.lost_leases += 1
        elif done.away is not None:
            self._wait_for(done.work.item.source, done.away, done)
        elif reason is not None and reason.verdict is Verdict.ABORT:
            self._summary.aborted = self._summary.aborted or done.outcome.detail
            self._give_back([done.outcome.item_id])
        else:
            self._done.append(done)

    def _wait_for(self, source: str, place: str, done: ItemResult) -> None:
        """Give back an item whose source is away, with what was not begun of the same place."""
        why = done.outcome.detail
        if (source, place) not in self._away:
            self._away[source, place] = self._worker.ledger.begin_outage(source, place, why)
            logger.warning("%s; its scans wait", why)
        same = [one for one in self._todo if one.source == source and one.key.startswith(place)]
        self._todo = deque(one for one in self._todo if one not in same)
        self._give_back(
            [done.outcome.item_id, *(one.id for one in same)],
            reason=Reason.SOURCE_AWAY,
            detail=why,
            wait_s=self._away[source, place],
        )

    def _end_outages(self, item: ClaimedItem) -> None:
        """A scan was read: what was away around it is back."""
        back = {
            (source, place)
            for source, place in self._tried_again
            if source == item.source and item.key.startswith(place)
        }
        if back:
            self._worker.ledger.end_outages(item.source, item.key)
            self._tried_again -= back

    def _is_time_to_finish(self) -> bool:
        late = time.monotonic() - self._finished_at > FINISH_EVERY_S
        return len(self._done) >= FINISH_GROUP or (late and bool(self._done))

    def _finish(self) -> None:
        self._finished_at = time.monotonic()
        if not self._done:
            return
        start = time.perf_counter()
        outcomes = [done.outcome for done in self._done]
        accepted = self._worker.ledger.finish(self._claim.token, outcomes)
        self._summary.seconds["finish"] += time.perf_counter() - start
        for done in self._done:
            self._count(done, accepted.get(done.outcome.item_id))
        self._done.clear()

    def _count(self, done: ItemResult, ending: Ending | None) -> None:
        self._summary.add_seconds(done.work.seconds)
        if ending is None:
            self._summary.lost_leases += 1
        elif ending.status is ItemStatus.PENDING:
            self._summary.tried_again += 1
        else:
            self._summary.statuses[ending.status] += 1
            if ending.reason is not None:
                self._summary.reasons[ending.reason] += 1
            if done.outcome.derivatives:
                self._summary.coloured += 1
                self._summary.confidence_sum += done.outcome.confidence or 0.0

    def _give_back(
        self,
        item_ids: Sequence[int],
        *,
        reason: Reason | None = None,
        detail: str = "",
        wait_s: float = 0.0,
    ) -> None:
        if item_ids:
            given_back = self._worker.ledger.give_back(
                self._claim.token, item_ids, reason=reason, detail=detail, wait_s=wait_s
            )
            self._summary.given_back += given_back
            self._summary.lost_leases += len(item_ids) - given_back
