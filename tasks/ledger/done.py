"""What a run has done, as its attempts tell: for a report that is made after it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from tasks.errors import Reason
from tasks.ledger import refusals
from tasks.ledger.engine import reads
from tasks.ledger.notes import notes_in
from tasks.ledger.records import ClaimedItem
from tasks.ledger.uris import uri_of
from tasks.schema import (
    AttemptEnding,
    ItemStatus,
    attempt,
    claim,
    derivative,
    item,
    scan,
    store,
)


@dataclass(frozen=True)
class DoneDerivative:
    """A derivative that the run has written, with its scan as it is now."""

    item: ClaimedItem
    key: str
    sha256: str
    status: ItemStatus
    reason: Reason | None
    confidence: float
    is_film: bool = False  #: then it is a frame of it


@dataclass(frozen=True)
class RunOutcomes:
    """The outcomes of a run, some of its derivatives, and what was noted about some scans."""

    statuses: Counter[ItemStatus]
    reasons: Counter[Reason]
    derivatives: Sequence[DoneDerivative]
    noted: Mapping[str, tuple[str, ...]]  #: by the scan's URI


_SHOWN = ("poster", "access", "master")
_OUTCOMES = attempt.join(claim, claim.c.id == attempt.c.claim_id)
_HAS_OUTCOME = and_(
    attempt.c.ending == AttemptEnding.FINISHED, attempt.c.status != ItemStatus.PENDING
)


@reads
def list_done(connection: Connection, run_id: int, *, derivatives: int, noted: int) -> RunOutcomes:
    """What came of a run's claims.

    Args:
        connection: To the ledger.
        run_id: The run.
        derivatives: So many of them are wanted, the first by digest.
        noted: Of so many scans the notes are wanted, the first by place.
    """
    statuses: Counter[ItemStatus] = Counter()
    reasons: Counter[Reason] = Counter()
    counted = (
        select(attempt.c.status, attempt.c.reason, func.count())
        .select_from(_OUTCOMES)
        .where(claim.c.run_id == run_id, _HAS_OUTCOME)
        .group_by(attempt.c.status, attempt.c.reason)
    )
    for status, reason, number in connection.execute(counted):
        statuses[ItemStatus(status)] += number
        if reason:
            reasons[Reason(reason)] += number
    # Several kinds of a scan may be among them: the smaller file is shown, of a film a picture.
    by_item: dict[int, Row[Any]] = {}
    for row in connection.execute(_derivatives(run_id).limit(4 * derivatives)):
        known = by_item.get(row.item_id)
        if known is None or _SHOWN.index(row.kind) < _SHOWN.index(known.kind):
            by_item[row.item_id] = row
    shown = [_derivative(row) for row in list(by_item.values())[:derivatives]]
    notes = {
        uri_of(row.url, row.key, row.page): notes_in(row.notes)
        for row in connection.execute(_noted(run_id).limit(noted))
    }
    return RunOutcomes(statuses, reasons, shown, notes)


def _noted(run_id: int) -> Select[Any]:
    """Items of a run with notes on the files that it has seen."""
    seen = (
        select(attempt.c.id)
        .select_from(_OUTCOMES)
        .where(
            claim.c.run_id == run_id,
            _HAS_OUTCOME,
            attempt.c.item_id == item.c.id,
            attempt.c.revision == scan.c.revision,
        )
        .correlate(item, scan)
    )
    return (
        select(store.c.url, scan.c.key, scan.c.page, item.c.notes)
        .select_from(
            item.join(scan, scan.c.id == item.c.scan_id).join(store, store.c.id == scan.c.store_id)
        )
        .where(item.c.notes != "", seen.exists())
        .order_by(store.c.url, scan.c.key, scan.c.page)
    )


def _derivatives(run_id: int) -> Select[Any]:
    return (
        select(
            item.c.id.label("item_id"),
            item.c.collection,
            item.c.confidence,
            attempt.c.number,
            attempt.c.status,
            attempt.c.reason,
            derivative.c.kind,
            derivative.c.key.label("derivative_key"),
            derivative.c.sha256.label("derivative_sha256"),
            store.c.url,
            scan.c.id.label("scan_id"),
            scan.c.key,
            scan.c.page,
            scan.c.revision,
            scan.c.size_bytes,
            scan.c.etag,
            scan.c.version,
        )
        .select_from(
            _OUTCOMES.join(item, item.c.id == attempt.c.item_id)
            .join(scan, and_(scan.c.id == item.c.scan_id, scan.c.revision == attempt.c.revision))
            .join(store, store.c.id == scan.c.store_id)
            .join(
                derivative,
                and_(
                    derivative.c.item_id == item.c.id,
                    derivative.c.revision == attempt.c.revision,
                    derivative.c.correction_id == item.c.correction_id,
                    derivative.c.kind.in_(_SHOWN),
                ),
            )
        )
        .where(claim.c.run_id == run_id, _HAS_OUTCOME)
        # What is held, since then perhaps, is shown to nobody: a report is read by many.
        .where(item.c.status != ItemStatus.HELD, ~refusals.is_held())
        .order_by(derivative.c.sha256, derivative.c.id)
    )


def _derivative(row: Row[Any]) -> DoneDerivative:
    return DoneDerivative(
        item=ClaimedItem(
            id=row.item_id,
            scan_id=row.scan_id,
            uri=uri_of(row.url, row.key, row.page),
            source=row.url,
            key=row.key,
            page=row.page,
            revision=row.revision,
            size_bytes=row.size_bytes,
            etag=row.etag,
            version=row.version,
            sha256=None,
            attempt=row.number,
            collection=row.collection,
        ),
        key=row.derivative_key,
        sha256=row.derivative_sha256,
        status=ItemStatus(row.status),
        reason=Reason(row.reason) if row.reason else None,
        confidence=row.confidence or 0.0,
        is_film=row.kind == "poster",
    )
