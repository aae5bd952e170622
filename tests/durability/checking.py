"""What must be true when all is over, whoever was killed on the way."""

from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO

from PIL import Image
from sqlalchemy import func, select

from tasks.ledger import Ledger
from tasks.schema import (
    AttemptEnding,
    DecisionKind,
    ItemStatus,
    attempt,
    claim,
    decision,
    decision_item,
    derivative,
    item,
)
from tasks.settings import Settings
from tasks.storage import open_store
from tests.tasks.ledger.building import check_tallies

ANEW = (DecisionKind.OVERWRITTEN, DecisionKind.RETRY, DecisionKind.REDO)
COUNTED = (AttemptEnding.FINISHED, AttemptEnding.EXPIRED)


@dataclass
class Verdict:
    """Figures, and what is wrong; nothing is, if all is well."""

    items: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    endings: dict[str, int] = field(default_factory=dict)  #: of attempts
    most_attempts: int = 0
    anew: int = 0  #: items that were done again: a late worker wrote over them, or by decision
    derivatives: int = 0
    wrong: list[str] = field(default_factory=list)


def check_all(ledger: Ledger, settings: Settings, *, items: int) -> Verdict:
    """Look at every row and every stored file."""
    verdict = Verdict()
    _check_counts(ledger, verdict, items)
    _check_attempts(ledger, verdict)
    _check_files(ledger, settings, verdict)
    return verdict


def _check_counts(ledger: Ledger, verdict: Verdict, items: int) -> None:
    counts = ledger.counts()
    verdict.statuses = {status.value: n for status, n in counts.items.items()}
    verdict.items = counts.enqueued
    check_tallies(ledger)
    if not items == counts.scans == counts.enqueued:
        verdict.wrong.append(f"{items} scans, {counts.scans} known, {counts.enqueued} items")
    unended = {"pending", "claimed"} & set(verdict.statuses)
    if unended:
        verdict.wrong.append(f"not ended: {verdict.statuses}")
    if ledger.open_workers():
        verdict.wrong.append(f"leases left: {ledger.open_workers()}")


def _check_attempts(ledger: Ledger, verdict: Verdict) -> None:
    """Each item was finished once (again where it was to be), and its count is its records'."""
    rows = ledger.read(
        lambda c: c.execute(
            select(
                item.c.id,
                item.c.attempts,
                attempt.c.ending,
                (attempt.c.status == ItemStatus.PENDING).label("is_tried_again"),
                func.count(attempt.c.id),
                func.count(func.distinct(attempt.c.claim_id)),
            )
            .join(attempt, attempt.c.item_id == item.c.id)
            .group_by(item.c.id, item.c.attempts, attempt.c.ending, attempt.c.status)
        ).all()
    )
    again = Counter(
        ledger.read(
            lambda c: (
                c.execute(
                    select(decision_item.c.item_id)
                    .join(decision, decision.c.id == decision_item.c.decision_id)
                    .where(decision.c.kind.in_(list(ANEW)))
                )
                .scalars()
                .all()
            )
        )
    )
    verdict.anew = again.total()
    endings: Counter[str] = Counter()
    counted: Counter[int] = Counter()
    finished: Counter[int] = Counter()
    attempts: dict[int, int] = {}
    for item_id, number, ending, is_tried_again, n, claims in rows:
        endings[ending] += n
        attempts[item_id] = number
        if n != claims:
            verdict.wrong.append(f"item {item_id}: a claim of it ended twice")
        if ending in COUNTED:
            counted[item_id] += n
        if ending == AttemptEnding.FINISHED and not is_tried_again:
            finished[item_id] += n
    verdict.endings = dict(endings)
    verdict.most_attempts = max(attempts.values(), default=0)
    for item_id, number in attempts.items():
        # Being done again begins a new count.
        if number != counted[item_id] and item_id not in again:
            verdict.wrong.append(f"item {item_id}: {number} attempts, {counted[item_id]} on record")
        if finished[item_id] != 1 + again[item_id]:
            verdict.wrong.append(f"item {item_id} was finished {finished[item_id]} times")
    if len(attempts) != verdict.items:
        verdict.wrong.append(f"{len(attempts)} items were attempted, of {verdict.items}")
    open_claims = ledger.read(
        lambda c: c.execute(
            select(func.count())
            .select_from(item)
            .join(claim, claim.c.id == item.c.claim_id)
            .where(item.c.status != "claimed")
        ).scalar_one()
    )
    if open_claims:
        verdict.wrong.append(f"{open_claims} items belong to a claim and are not claimed")


def _check_files(ledger: Ledger, settings: Settings, verdict: Verdict) -> None:
    """What is recorded is stored, whole; what is stored is recorded."""
    rows = ledger.read(lambda c: c.execute(select(derivative.c.key, derivative.c.sha256)).all())
    recorded = {row.key: row.sha256 for row in rows}
    verdict.derivatives = len(rows)
    if len(recorded) < len(rows):
        verdict.wrong.append(f"{len(rows)} derivatives on record have {len(recorded)} keys")
    writer = open_store(settings.output, settings=settings, writable=True)
    for key, sha256 in recorded.items():
        if writer.digest(key) != sha256:
            verdict.wrong.append(f"{key}: not the bytes on record")
            continue
        with Image.open(BytesIO(writer.read(key))) as picture:
            picture.load()  # raises where it is not whole
    reader = open_store(settings.output, settings=settings)
    stored = {found.key for found in reader.list_objects()}
    stored -= {key for key in stored if key.startswith("reports/")}
    if stored != set(recorded):
        odd = sorted(stored ^ set(recorded))
        verdict.wrong.append(f"{len(odd)} keys stored or recorded alone: {odd[:3]}")
