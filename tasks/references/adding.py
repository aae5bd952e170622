"""Taking references in: each file is checked, all together are, and what stands is recorded."""

from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from colormodel.infer import Colorizer
from tasks.batch.children import PixelPool
from tasks.batch.pool import open_pool
from tasks.checkpoints import find_checkpoint
from tasks.errors import AutochromeError, OutputFull, Reason, SourceNotFound, UsageError
from tasks.ledger import Ledger
from tasks.ledger.opening import open_output
from tasks.ledger.reference_records import NewReference, ReferenceKind, ReferenceRow, Split
from tasks.ledger.references import (
    add_reference,
    find_item,
    find_scan,
    list_references,
    withdraw_references,
)
from tasks.paths import is_file
from tasks.references.finding import Found
from tasks.references.look import Look, LookRequest, look_at_reference
from tasks.references.plausible import LEAST_PICTURES, judge_colours
from tasks.references.rules import (
    KnownReference,
    Refusal,
    Verdict,
    judge_against,
    judge_look,
    split_of,
)
from tasks.scans.header import ReadLimits
from tasks.scratch import scratch_folder
from tasks.settings import Settings
from tasks.storage.streams import file_chunks, sha256_of

#: Pictures of one delivery whose colours are asked about: more say nothing new.
_ASKED = 200


@dataclass(frozen=True)
class Delivery:
    """What a person brings, and says of all of it.

    Attributes:
        found: The files.
        collection: What they belong to.
        who: Brings them.
        vouched: They say that the colours are right, though they may look changed.
        dry_run: Only look.
    """

    found: Iterable[Found]
    collection: str
    who: str
    vouched: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Answer:
    """What became of one file: a reference, or a refusal.

    Attributes:
        origin: The file.
        split: What it is for; None where it was refused.
        reference_id: Of the record; None where it was refused, or in a dry run.
        verdict: Why it was refused.
    """

    origin: str
    split: Split | None = None
    reference_id: int | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class _Candidate:
    """A file that passed its own checks and waits for those of all."""

    new: NewReference
    path: Path
    look: Look
    content_type: str


def add_references(
    settings: Settings, ledger: Ledger, delivery: Delivery, *, pixels: PixelPool | None = None
) -> list[Answer]:
    """Check files and record those that may be references; one answer each, in their order.

    Recorded files are copied into the output store, so that a set can be learnt from again when
    the curator's folder is gone.

    Args:
        settings: Of stores, limits and the champion.
        ledger: Where references are recorded.
        delivery: The files.
        pixels: A pool to look at them with, which its owner closes; none: one is opened here.

    Raises:
        AutochromeError: A store, the database or the champion cannot be used.
    """
    opened = nullcontext(pixels) if pixels else closing(open_pool(settings, workers=1))
    with scratch_folder(settings) as scratch, opened as pool:
        judge = _Judge(settings, ledger, pool, scratch)
        answers = [judge.answer(found, delivery) for found in delivery.found]
        suspicion = "" if delivery.vouched else judge.suspicion()
        if suspicion:
            verdict = Verdict(Refusal.IMPLAUSIBLE, suspicion)
            return [one if one.verdict else Answer(one.origin, verdict=verdict) for one in answers]
        recorded = {} if delivery.dry_run else judge.record(delivery.who)
        return [replace(one, reference_id=recorded.get(one.origin)) for one in answers]


class _Judge:
    """Looks at the files of one delivery, one after the other, and keeps what passes."""

    def __init__(self, settings: Settings, ledger: Ledger, pool: PixelPool, scratch: Path) -> None:
        self._settings, self._ledger, self._pool, self._scratch = settings, ledger, pool, scratch
        self._output = open_output(settings, ledger)
        self._known = [KnownReference.of(row) for row in list_references(ledger, withdrawn=None)]
        self._candidates: list[_Candidate] = []
        self._delivery = uuid4().hex

    def answer(self, found: Found, delivery: Delivery) -> Answer:
        """Check one file by itself and against all that came before."""
        try:
            judged = self._candidate(found, delivery)
        except OutputFull:
            raise  # of the scratch disk: no file is to blame
        except AutochromeError as error:
            # That one file may not be read is its own: a manifest may name any.
            judged = Verdict(_refusal_of(error), str(error))
        if isinstance(judged, Verdict):
            return Answer(found.origin, verdict=judged)
        self._candidates.append(judged)
        new = judged.new
        item = new.corrects_item_id
        self._known.append(KnownReference(new.origin, new.sha256, new.phash, new.split, "", item))
        return Answer(found.origin, split=new.split)

    def suspicion(self) -> str:
        """What seems to have happened to the colours of all that passed; empty for nothing."""
        if len(self._candidates) < LEAST_PICTURES:
            return ""
        asked = sorted(self._candidates, key=lambda one: one.new.sha256)[:_ASKED]
        checkpoint = find_checkpoint(self._settings, self._ledger, self._scratch)
        colorizer = Colorizer(checkpoint, device=self._settings.device)
        judged = judge_colours([one.look.codes for one in asked], colorizer)
        if judged is None or not judged.suspicion:
            return ""
        return (
            f"the colours of these {len(asked)} pictures look changed: {judged.suspicion}. Mend "
            "the files, or say --vouch if you know that they are right"
        )

    def record(self, who: str) -> dict[str, int]:
        """Store and record what passed: reference ids by origin."""
        ids = {}
        for one in self._candidates:
            new = one.new
            self._output.put(new.key, one.path, content_type=one.content_type, sha256=new.sha256)
            row = add_reference(self._ledger, new, who=who)
            if row is not None:  # else another process was faster with the same file
                ids[new.origin] = row.id
                self._replace(row, who)
        return ids

    def _replace(self, row: ReferenceRow, who: str) -> None:
        """Of an item, the latest correction is learnt from: the earlier ones are withdrawn."""
        earlier = [
            one.id
            for one in self._known
            if one.id is not None and one.corrects is not None
            if one.corrects == row.corrects_item_id and not one.withdrawn
        ]
        if earlier:
            why = f"corrected anew: reference {row.id}"
            withdraw_references(self._ledger, earlier, who=who, why=why)

    def _candidate(self, found: Found, delivery: Delivery) -> _Candidate | Verdict:
        if found.wrong:
            return Verdict(Refusal.UNDESCRIBED, found.wrong)
        path = found.fetch(self._scratch / f"{len(self._candidates):06}")
        sha256 = sha256_of(file_chunks(path))
        limits = ReadLimits(max_pixels=self._settings.max_pixels)
        look = self._pool.run(look_at_reference, LookRequest(path, limits))
        new = NewReference(
            store=self._output.url,
            key=f"references/{sha256}.{look.header.format}",
            origin=found.origin,
            collection=delivery.collection,
            sha256=sha256,
            size_bytes=path.stat().st_size,
            width=look.header.width,
            height=look.header.height,
            split=split_of(sha256, found.described.kind),
            phash=look.hashes[0],
            described=found.described,
            delivery=self._delivery,
            vouched=delivery.vouched,
        )
        linked = self._linked(new)
        if isinstance(linked, Verdict):
            return linked
        item = linked.corrects_item_id
        others = [one for one in self._known if item is None or one.corrects != item]
        verdict = judge_look(look) or judge_against(look, sha256, others, split=linked.split)
        if verdict is not None:
            return verdict
        return _Candidate(linked, path, look, look.header.format.media_type)

    def _linked(self, new: NewReference) -> NewReference | Verdict:
        """Tie it to the scan or the item that it is said to belong to."""
        said = new.described
        if said.corrects:
            item = find_item(self._ledger, _address(said.corrects))
            if item is None:
                return Verdict(
                    Refusal.UNDESCRIBED, f"there is no item {said.corrects!r} to correct"
                )
            described = replace(said, kind=ReferenceKind.CORRECTION)
            return replace(
                new,
                described=described,
                split=split_of(new.sha256, described.kind),
                corrects_item_id=item[0],
                scan_id=item[1],
            )
        if said.scan:
            scan_id = find_scan(self._ledger, _address(said.scan))
            if scan_id is None:
                return Verdict(Refusal.UNDESCRIBED, f"no scan is known at {said.scan!r}")
            return replace(new, scan_id=scan_id)
        return new


def _address(named: str) -> str:
    """Let the path of a scan stand for its URI, as the other commands do."""
    is_path = named.startswith("/") or ("://" not in named and is_file(Path(named)))
    return Path(named).absolute().as_uri() if is_path and not named.isdecimal() else named


def _refusal_of(error: AutochromeError) -> Refusal:
    if isinstance(error, UsageError) and not isinstance(error, SourceNotFound):
        return Refusal.UNDESCRIBED
    return Refusal.TOO_LARGE if error.reason is Reason.TOO_LARGE else Refusal.UNREADABLE
