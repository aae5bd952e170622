"""What a run has done, as its attempts tell: for a report that is made after it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from tasks.errors import Reason
from tasks.ledger.ledger import Ledger
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


@dataclass(frozen=True)
class Done:
    """The outcomes of a run, and some of its derivatives."""

    statuses: Counter[ItemStatus]
    reasons: Counter[Reason]
    derivatives: Sequence[DoneDerivative]


def list_done(ledger: Ledger, run_id: int, *, derivatives: int) -> Done:
    """What came of a run's claims; so many derivatives of it, the first by digest."""
    return ledger.database.read(lambda c: _list_done(c, run_id, derivatives))


_OUTCOMES = attempt.join(claim, claim.c.id == attempt.c.claim_id)
_HAS_OUTCOME = and_(
    attempt.c.ending == AttemptEnding.FINISHED, attempt.c.status != ItemStatus.PENDING
)


def _list_done(connection: Connection, run_id: int, derivatives: int) -> Done:
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
    # Two kinds of a scan may be among them: the smaller file is shown.
    by_item: dict[int, Row[Any]] = {}
    for row in connection.execute(_derivatives(run_id).limit(4 * derivatives)):
        if row.item_id not in by_item or row.kind == "access":
            by_item[row.item_id] = row
    shown = [_derivative(row) for row in list(by_item.values())[:derivatives]]
    return Done(statuses, reasons, shown)


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
                    derivative.c.kind.in_(["master", "access"]),
                ),
            )
        )
        .where(claim.c.run_id == run_id, _HAS_OUTCOME)
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
    )
