"""Finishing a batch: the last step of every item, and the only one that makes it visible.

The token's claim is locked first, so a sweeper and a late worker cannot both have an item. Whatever
was lost meanwhile is refused, item by item; the rest is written as sets, a statement a table.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Float,
    Integer,
    Row,
    Text,
    case,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    update,
)

from tasks.errors import Reason, Verdict
from tasks.ledger import sql
from tasks.ledger.claims import close_if_empty, lock_claim
from tasks.ledger.decisions import supersede_others
from tasks.ledger.pages import add_pages
from tasks.ledger.records import Backoff, Outcome
from tasks.schema import (
    CLAIMED,
    AttemptEnding,
    ItemStatus,
    attempt,
    claim,
    derivative,
    item,
    scan,
)


@dataclass(frozen=True)
class _Settled:
    """An outcome as it is written: the ledger has decided between failing and trying again."""

    item_id: int
    scan_id: int
    revision: int
    number: int
    status: str
    reason: str | None
    detail: str | None
    wait_s: float
    confidence: float | None
    seconds: float | None
    sha256: str | None
    width: int | None
    height: int | None
    bits: int | None
    pages: int | None


_SETTLED_COLUMNS: dict[str, Any] = {
    "item_id": BigInteger(),
    "scan_id": BigInteger(),
    "revision": Integer(),
    "number": Integer(),
    "status": Text(),
    "reason": Text(),
    "detail": Text(),
    "wait_s": Float(),
    "confidence": Float(),
    "seconds": Float(),
    "sha256": Text(),
    "width": Integer(),
    "height": Integer(),
    "bits": Integer(),
    "pages": Integer(),
}

_DERIVATIVE_COLUMNS: dict[str, Any] = {
    "item_id": BigInteger(),
    "revision": Integer(),
    "kind": Text(),
    "store_id": BigInteger(),
    "key": Text(),
    "content_type": Text(),
    "size_bytes": BigInteger(),
    "sha256": Text(),
    "max_delta_l": Float(),
    "mean_delta_l": Float(),
    "luma_identical": Boolean(),
}


def finish(
    connection: Connection,
    token: str,
    outcomes: Sequence[Outcome],
    *,
    backoff: Backoff,
    store_ids: dict[str, int],
) -> frozenset[int]:
    """Write the outcomes of items that the token still holds; see `Ledger.finish`."""
    held = lock_claim(connection, token)
    if held is None:
        return frozenset()
    rows = _held_items(connection, held.id)
    accepted = {o.item_id: o for o in outcomes if o.item_id in rows}
    if not accepted:
        return frozenset()
    settled = [
        _settle(outcome, rows[item_id], max_attempts=held.max_attempts, backoff=backoff)
        for item_id, outcome in accepted.items()
    ]
    given = sql.as_rows(asdict(one) for one in settled)
    _write_items(connection, given)
    _write_attempts(connection, held.id, given)
    _write_scans(connection, settled)
    _write_derivatives(connection, accepted.values(), rows, store_ids)
    _write_pages(connection, settled, rows)
    published = [one.scan_id for one in settled if one.status == ItemStatus.PUBLISHED]
    if published:
        supersede_others(connection, published, recipe_id=held.recipe_id, who=held.worker)
    _count(connection, held.id, settled)
    return frozenset(accepted)


def _held_items(connection: Connection, claim_id: int) -> dict[int, Row[Any]]:
    rows = connection.execute(
        select(item.c.id, item.c.scan_id, item.c.attempts, item.c.revision, scan.c.page)
        .join(scan, scan.c.id == item.c.scan_id)
        .where(CLAIMED, item.c.claim_id == claim_id)
        .with_for_update(of=item)
    )
    return {row.id: row for row in rows}


def _settle(outcome: Outcome, row: Row[Any], *, max_attempts: int, backoff: Backoff) -> _Settled:
    status, wait_s = outcome.status, 0.0
    # A scan that ended the process that read it is tried again too, alone: another process on the
    # machine may have taken the memory.
    again = outcome.reason is not None and (
        outcome.reason.verdict is Verdict.RETRY or outcome.reason is Reason.KILLED_WORKER
    )
    if again and row.attempts < max_attempts:
        fraction = random.random()  # noqa: S311 - spreads retries, guards nothing
        delay_s = backoff.delay_s(row.attempts, fraction=fraction)
        status = ItemStatus.PENDING
        wait_s = delay_s if outcome.retry_in_s is None else outcome.retry_in_s
    return _Settled(
        item_id=row.id,
        scan_id=row.scan_id,
        revision=row.revision,
        number=row.attempts,
        status=status.value,
        reason=outcome.reason.value if outcome.reason else None,
        detail=sql.storable(outcome.detail) or None,
        wait_s=wait_s,
        confidence=outcome.confidence,
        seconds=outcome.seconds,
        sha256=outcome.scan_sha256,
        width=outcome.width,
        height=outcome.height,
        bits=outcome.bits,
        pages=outcome.pages,
    )


def _write_items(connection: Connection, given: str) -> None:
    new = sql.rows_table(connection, "given", **_SETTLED_COLUMNS)
    connection.execute(
        update(item)
        .where(item.c.id == new.c.item_id)
        .values(
            status=new.c.status,
            reason=new.c.reason,
            detail=new.c.detail,
            confidence=func.coalesce(new.c.confidence, item.c.confidence),
            claim_id=null(),
            # Where its worker lived to tell, an item is no suspect any more.
            alone=new.c.reason.is_not_distinct_from(Reason.KILLED_WORKER.value)
            & (new.c.status == ItemStatus.PENDING),
            not_before=case(
                (new.c.status == ItemStatus.PENDING, sql.now(new.c.wait_s)),
                else_=item.c.not_before,
            ),
            changed_at=sql.now(),
        ),
        {"given": given},
    )


def _write_attempts(connection: Connection, claim_id: int, given: str) -> None:
    new = sql.rows_table(connection, "given", **_SETTLED_COLUMNS)
    columns = {
        "item_id": new.c.item_id,
        "claim_id": literal(claim_id, BigInteger()),
        "revision": new.c.revision,
        "number": new.c.number,
        "ending": literal(AttemptEnding.FINISHED.value),
        "status": new.c.status,
        "reason": new.c.reason,
        "detail": new.c.detail,
        "seconds": new.c.seconds,
        "ended_at": sql.now(),
    }
    connection.execute(
        insert(attempt).from_select(list(columns), select(*columns.values())), {"given": given}
    )


def _write_scans(connection: Connection, settled: Sequence[_Settled]) -> None:
    """Keep what the worker found out about the files, where it is news."""
    read = [asdict(one) for one in settled if one.sha256 or one.width]
    if not read:
        return
    new = sql.rows_table(connection, "given", **_SETTLED_COLUMNS)
    names = ("sha256", "width", "height", "bits", "pages")
    is_news = or_(
        *(new.c[name].is_not(None) & scan.c[name].is_distinct_from(new.c[name]) for name in names)
    )
    connection.execute(
        update(scan)
        .where(scan.c.id == new.c.scan_id, scan.c.revision == new.c.revision, is_news)
        .values({name: func.coalesce(new.c[name], scan.c[name]) for name in names}),
        {"given": sql.as_rows(read)},
    )


def _write_derivatives(
    connection: Connection,
    accepted: Iterable[Outcome],
    rows: dict[int, Row[Any]],
    store_ids: dict[str, int],
) -> None:
    records = [
        {
            **asdict(record),
            "item_id": outcome.item_id,
            "revision": rows[outcome.item_id].revision,
            "store_id": store_ids[record.store],
        }
        for outcome in accepted
        for record in outcome.derivatives
    ]
    if not records:
        return
    new = sql.rows_table(connection, "given", **_DERIVATIVE_COLUMNS)
    columns = {**{name: new.c[name] for name in _DERIVATIVE_COLUMNS}, "written_at": sql.now()}
    statement = sql.insert_or(connection, derivative).from_select(
        list(columns), select(*columns.values()).where(true())
    )
    key = ("item_id", "revision", "kind")
    replaced = {name: statement.excluded[name] for name in columns if name not in key}
    connection.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_=replaced),
        {"given": sql.as_rows(records)},
    )


def _write_pages(
    connection: Connection, settled: Sequence[_Settled], rows: dict[int, Row[Any]]
) -> None:
    """A file that turned out to have more pages has them all enqueued, whatever became of the first."""
    for one in settled:
        if one.pages and one.pages > 1 and rows[one.item_id].page == 0:
            add_pages(connection, one.scan_id, one.pages)


def _count(connection: Connection, claim_id: int, settled: Sequence[_Settled]) -> None:
    """Add to the claim's figures, for the failure budget; an item that is tried again is not finished."""
    finished = [one for one in settled if one.status != ItemStatus.PENDING]
    failed = sum(one.status == ItemStatus.FAILED for one in finished)
    connection.execute(
        update(claim)
        .where(claim.c.id == claim_id)
        .values(finished=claim.c.finished + len(finished), failed=claim.c.failed + failed)
    )
    close_if_empty(connection, claim_id)
