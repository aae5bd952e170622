"""What the ledger's tests build their cases from."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Unpack

from sqlalchemy import func, select

from tasks.ledger import Claim, DerivativeRecord, Ledger, Outcome, Recipe
from tasks.ledger.fixity import due_derivatives, due_sources
from tasks.ledger.records import DerivativeRow, FixityFilter, FixitySubject, SourceRow
from tasks.schema import (
    FixityOutcome,
    ItemStatus,
    derivative_fixity,
    item,
    item_tally,
    scan,
    scan_fixity,
    scan_tally,
)
from tasks.storage import ObjectInfo
from tests.orders import ClaimTerms, claim_batch, enqueue

SOURCE = "s3://archive/scans"
OUTPUT = "s3://colour/out"
DIGEST = "ab" * 32


@dataclass(frozen=True)
class Listed(ObjectInfo):
    """An object of a listing."""

    size_bytes: int = 1000
    etag: str = "first"
    modified_at: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def changed(self) -> "Listed":
        """The same key with other content, for sure: it is longer."""
        return replace(self, etag=self.etag + "'", size_bytes=self.size_bytes + 1)

    def touched(self) -> "Listed":
        """The same key, listed otherwise: with what content, its bytes will say."""
        return replace(self, etag=self.etag + "'")


def listing(keys: Iterable[str]) -> list[Listed]:
    """Objects with these keys."""
    return [Listed(key) for key in keys]


def keys(count: int) -> list[str]:
    """That many keys, in order."""
    return [f"box/{number:04d}.tif" for number in range(count)]


def recipe(ledger: Ledger, name: str = "a") -> int:
    """A recipe, by its name."""
    return ledger.ensure_recipe(Recipe(name * 8, {"quality": 90}))


def enqueued(ledger: Ledger, count: int, *, collection: str = "photographs") -> int:
    """A recipe with that many pending items; returns its id."""
    ledger.record_listing(SOURCE, listing(keys(count)), collection=collection)
    recipe_id = recipe(ledger)
    assert enqueue(ledger, recipe_id) == count
    return recipe_id


def claim(ledger: Ledger, recipe_id: int, **terms: Unpack[ClaimTerms]) -> Claim:
    """A batch that must be there."""
    found = claim_batch(ledger, recipe_id, **terms)
    assert found is not None
    return found


def claims_nothing(ledger: Ledger, recipe_id: int) -> bool:
    """Whether no item can be claimed now."""
    return claim_batch(ledger, recipe_id, limit=1) is None


def done(
    item_id: int, status: ItemStatus = ItemStatus.REVIEW, *, sha256: str | None = None
) -> Outcome:
    """The outcome of an item that was coloured."""
    return Outcome(
        item_id,
        status,
        scan_sha256=DIGEST if sha256 is None else sha256,
        width=600,
        height=400,
        bits=8,
        pages=1,
        confidence=0.5,
        seconds=1.25,
        derivatives=(derivative(item_id),),
    )


def derivative(item_id: int, *, sha256: str = DIGEST) -> DerivativeRecord:
    """A derivative's record."""
    return DerivativeRecord(
        "master", OUTPUT, f"recipe/{item_id}.jpg", "image/jpeg", 123, sha256, 0.25, 0.125, True
    )


def derivatives(ledger: Ledger, *, after_id: int = 0, limit: int = 1000) -> list[DerivativeRow]:
    """The derivatives that an audit would look at."""
    return due_derivatives(ledger, FixityFilter(0.0), after_id=after_id, limit=limit)


def sources(ledger: Ledger) -> list[SourceRow]:
    """The scans' files that an audit would look at."""
    return due_sources(ledger, FixityFilter(0.0), after_id=0, limit=1000)


def finish_all(ledger: Ledger, held: Claim, status: ItemStatus = ItemStatus.REVIEW) -> None:
    """End every item of a batch alike."""
    outcomes = [done(one.id, status) for one in held.items]
    assert ledger.finish(held.token, outcomes).keys() == {one.id for one in held.items}


def statuses(ledger: Ledger, recipe_id: int | None = None) -> dict[str, int]:
    """How many items by status, from the tallies, checked against the rows."""
    check_tallies(ledger)
    return {status.value: n for status, n in ledger.counts(recipe_id).items.items()}


def check_tallies(ledger: Ledger) -> None:
    """The tallies say what counting says."""
    item_key = (item_tally.c.recipe_id, item_tally.c.collection, item_tally.c.status)
    tallied = (
        select(*item_key, item_tally.c.reason, func.sum(item_tally.c.n))
        .group_by(*item_key, item_tally.c.reason)
        .having(func.sum(item_tally.c.n) != 0)
    )
    reason = func.coalesce(item.c.reason, "")
    columns = (item.c.recipe_id, item.c.collection, item.c.status, reason)
    counted = select(*columns, func.count()).group_by(*columns)
    scans_tallied = (
        select(scan_tally.c.collection, scan_tally.c.vanished, func.sum(scan_tally.c.n))
        .group_by(scan_tally.c.collection, scan_tally.c.vanished)
        .having(func.sum(scan_tally.c.n) != 0)
    )
    vanished = scan.c.vanished_at.is_not(None)
    scans_counted = select(scan.c.collection, vanished, func.count()).group_by(
        scan.c.collection, vanished
    )
    for kept, true in ((tallied, counted), (scans_tallied, scans_counted)):
        found = ledger.read(
            lambda c, kept=kept, true=true: (
                sorted(map(tuple, c.execute(kept).all())),
                sorted(map(tuple, c.execute(true).all())),
            )
        )
        assert found[0] == found[1]


def checks(ledger: Ledger, subject: FixitySubject) -> dict[FixityOutcome, int]:
    """How many files by the outcome of their latest check."""
    table = {FixitySubject.DERIVATIVE: derivative_fixity, FixitySubject.SOURCE: scan_fixity}[
        subject
    ]
    rows = ledger.read(lambda c: c.execute(select(table.c.outcome)).scalars().all())
    return Counter(FixityOutcome(outcome) for outcome in rows)
