"""Finishing a batch: the last step of every item, and the only one that makes it visible.

The token's claim is locked first, so a sweeper and a late worker cannot both have an item. Whatever
was lost meanwhile is refused, item by item; the rest is written as sets, a statement a table.

A worker that is refused may have stored a derivative all the same, over that of the item's next
holder: then nobody knows which of the two is there, and the item is done once more. Where the next
holder has finished, its record tells; where it has not, a reason on the claimed item tells it.
"""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    select,
)

from tasks.errors import Reason, Verdict
from tasks.ledger import sql
from tasks.ledger.claims import lock_claim
from tasks.ledger.decisions import Decision, carry_out, supersede_others
from tasks.ledger.finishing_statements import (
    COUNT,
    DERIVATIVES,
    HELD_ITEMS,
    IN_OTHER_HANDS,
    SETTLED,
    OutcomeRow,
    derivatives_statement,
    settled_statements,
)
from tasks.ledger.notes import lines_of
from tasks.ledger.pages import add_pages
from tasks.ledger.records import Backoff, Ending, Outcome
from tasks.ledger.refusals import Refusal, standing
from tasks.ledger.refused_files import bind_to_bytes
from tasks.ledger.vanishing import GONE, GONE_DETAIL, GONE_REASON
from tasks.schema import (
    AttemptEnding,
    DecisionKind,
    ItemStatus,
    attempt,
    claim,
    derivative,
    item,
    status_in,
)

_TITLE_LIMIT = 300  #: what is looked for is how titles begin
_OVERWRITTEN = "a worker whose lease had run out may have written over its derivative"


# --- finishing -----------------------------------------------------------------------------------


def finish(
    connection: Connection,
    token: str,
    outcomes: Sequence[Outcome],
    *,
    backoff: Backoff,
    store_ids: Mapping[str, int],
) -> dict[int, Ending]:
    """Write the outcomes of items that the token still holds; see `Ledger.finish`."""
    held = lock_claim(connection, token)
    rows = _held_items(connection, held.id) if held else {}
    accepted = {o.item_id: o for o in outcomes if o.item_id in rows}
    refused = [o for o in outcomes if o.item_id not in rows and o.derivatives]
    if refused:
        _warn_next_holders(connection, token, refused)
        _do_again_what_was_overwritten(connection, refused, store_ids)
    if held is None:
        return {}
    if not accepted:  # all was taken from it: the claim ends with the last of its items
        _count(connection, held.id, [], accepted, rows)
        return {}
    settled = [
        _settle(outcome, rows[item_id], max_attempts=held.max_attempts, backoff=backoff)
        for item_id, outcome in accepted.items()
    ]
    if held.has_refusals:
        first_read = (one for one in settled if one.sha256 and not rows[one.item_id].sha256)
        bind_to_bytes(connection, {one.scan_id: one.sha256 or "" for one in first_read})
        settled = _obey(connection, settled, rows)
    given = {**SETTLED.given(vars(one) for one in settled), "of_claim": held.id}
    for statement in settled_statements(connection.dialect.name):
        connection.execute(statement, given)
    _write_derivatives(connection, accepted.values(), rows, store_ids)
    _write_pages(connection, settled, rows)
    published = [one.scan_id for one in settled if one.status == ItemStatus.PUBLISHED]
    if published:
        supersede_others(connection, published, recipe_id=held.recipe_id, who=held.worker)
    _count(connection, held.id, settled, accepted, rows)
    return {one.item_id: _ending(one.status, one.reason) for one in settled}


def _ending(status: str, reason: str | None) -> Ending:
    return Ending(ItemStatus(status), Reason(reason) if reason else None)


def finished_before(
    connection: Connection, token: str, item_ids: Collection[int]
) -> dict[int, Ending]:
    """Which of the items this token's holder has finished already, and where they stand now."""
    rows = connection.execute(
        select(item.c.id, item.c.status, item.c.reason)
        .join(attempt, attempt.c.item_id == item.c.id)
        .join(claim, claim.c.id == attempt.c.claim_id)
        .where(
            claim.c.token == token,
            attempt.c.ending == AttemptEnding.FINISHED,
            attempt.c.item_id.in_(sql.these(item_ids)),
        )
    )
    return {row.id: _ending(row.status, row.reason) for row in rows}


def _held_items(connection: Connection, claim_id: int) -> dict[int, sql.AnyRow]:
    return {row.id: row for row in connection.execute(HELD_ITEMS, {"of_claim": claim_id}).all()}


def _may_pass(reason: Reason | None) -> bool:
    """Whether another attempt may go well.

    So it may for a scan that ended the process that read it: another process on the machine may
    have taken the memory. After its last attempt it is quarantined.
    """
    return reason is not None and (
        reason.verdict is Verdict.RETRY or reason is Reason.KILLED_WORKER
    )


def _settle(
    outcome: Outcome, row: sql.AnyRow, *, max_attempts: int, backoff: Backoff
) -> OutcomeRow:
    status, reason, detail, wait_s = outcome.status, outcome.reason, outcome.detail, 0.0
    is_warned = row.reason is not None and bool(outcome.derivatives)  # while it held the item
    if is_warned:
        status, reason, detail = ItemStatus.FAILED, Reason(row.reason), _OVERWRITTEN
    may_pass = is_warned or (_may_pass(reason) and not outcome.is_final)
    if may_pass and row.vanished_at is not None:
        status, reason, detail = GONE, GONE_REASON, GONE_DETAIL  # while it was being worked on
    elif may_pass and row.attempts < max_attempts:
        status = ItemStatus.PENDING
        if outcome.retry_in_s is not None:
            wait_s = outcome.retry_in_s
        elif not is_warned:  # nothing that time would mend
            wait_s = backoff.delay_s(row.attempts, fraction=random.random())  # noqa: S311 - spreads retries, guards nothing
    return OutcomeRow(
        item_id=row.id,
        scan_id=row.scan_id,
        revision=row.revision,
        number=row.attempts,
        status=status.value,
        reason=reason.value if reason else None,
        detail=sql.storable(detail) or None,
        wait_s=wait_s,
        confidence=outcome.confidence,
        seconds=outcome.seconds,
        sha256=outcome.scan_sha256,
        listing=outcome.listing,
        width=outcome.width,
        height=outcome.height,
        bits=outcome.bits,
        pages=outcome.pages,
        title=sql.storable(outcome.title)[:_TITLE_LIMIT] if outcome.title else None,
        notes=None if outcome.notes is None else lines_of(outcome.notes),
        correction_id=None if status is ItemStatus.PENDING else outcome.correction_id,
    )


def _obey(
    connection: Connection, settled: Sequence[OutcomeRow], rows: Mapping[int, sql.AnyRow]
) -> list[OutcomeRow]:
    """A person's no stands: what would be open to users, or look fresh in review, waits."""
    coloured = {ItemStatus.PUBLISHED.value, ItemStatus.REVIEW.value}
    asked = [
        {
            "item_id": one.item_id,
            "scan_id": one.scan_id,
            "sha256": one.sha256 or rows[one.item_id].sha256,
            "page": rows[one.item_id].page,
        }
        for one in settled
        if one.status in coloured
    ]
    against = standing(connection, asked) if asked else {}
    return [
        _refused(one, against[one.item_id]) if one.item_id in against else one for one in settled
    ]


def _refused(one: OutcomeRow, refusal: Refusal) -> OutcomeRow:
    said = [refusal.in_words(), *([one.reason] if one.reason else []), one.detail or ""]
    is_hold = refusal.kind is DecisionKind.HOLD
    return replace(
        one,
        status=(ItemStatus.HELD if is_hold else ItemStatus.REVIEW).value,
        reason=Reason.DECIDED_BEFORE.value,
        detail=sql.storable("; ".join(part for part in said if part)),
    )


def _write_derivatives(
    connection: Connection,
    accepted: Iterable[Outcome],
    rows: Mapping[int, sql.AnyRow],
    store_ids: Mapping[str, int],
) -> None:
    records = [
        {**record, "revision": rows[record["item_id"]].revision}
        for record in _records(accepted, store_ids)
    ]
    if not records:
        return
    written = derivatives_statement(connection.dialect.name)
    connection.execute(written, DERIVATIVES.given(records))


def _records(outcomes: Iterable[Outcome], store_ids: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for outcome in outcomes:
        for record in outcome.derivatives:
            store_id = store_ids[record.store]
            yield {
                **vars(record),
                "item_id": outcome.item_id,
                "correction_id": outcome.correction_id,
                "store_id": store_id,
            }


def _warn_next_holders(connection: Connection, token: str, refused: Sequence[Outcome]) -> None:
    """Whoever holds the items now cannot know whether its derivative is still there.

    Before what has ended is looked at: a holder that is just finishing is waited for here.
    """
    theirs = IN_OTHER_HANDS.where(item.c.id.in_(sql.these(o.item_id for o in refused)))
    connection.execute(theirs, {"token": token})


def _do_again_what_was_overwritten(
    connection: Connection, refused: Sequence[Outcome], store_ids: Mapping[str, int]
) -> None:
    """Put ended items back to pending whose derivative a refused worker stored as other bytes."""
    stored = DERIVATIVES.table(connection)
    overwritten = select(derivative.c.item_id).join(
        stored,
        and_(
            derivative.c.item_id == stored.c.item_id,
            derivative.c.store_id == stored.c.store_id,
            derivative.c.key == stored.c.key,
            derivative.c.sha256 != stored.c.sha256,
        ),
    )
    again = Decision(
        DecisionKind.OVERWRITTEN,
        ItemStatus.PENDING,
        "finish",
        "a worker whose lease had run out wrote over its derivative",
    )
    in_use = status_in(ItemStatus.PUBLISHED, ItemStatus.REVIEW)
    found = connection.execute(overwritten, DERIVATIVES.given(_records(refused, store_ids)))
    carry_out(connection, again, and_(in_use, item.c.id.in_(sql.these(found.scalars()))))


def _write_pages(
    connection: Connection, settled: Sequence[OutcomeRow], rows: Mapping[int, sql.AnyRow]
) -> None:
    """A file with more pages has them all enqueued, whatever became of its first."""
    for one in settled:
        if one.pages and one.pages > 1 and rows[one.item_id].page == 0:
            add_pages(connection, one.scan_id, one.pages)


def _count(
    connection: Connection,
    claim_id: int,
    settled: Sequence[OutcomeRow],
    outcomes: Mapping[int, Outcome],
    rows: Mapping[int, sql.AnyRow],
) -> None:
    """Add to the claim's figures, for the failure budget, and end it when nothing is left of it.

    An item that is tried again is not finished.
    """
    finished = [one for one in settled if one.status != ItemStatus.PENDING]
    written = [file for one in finished for file in outcomes[one.item_id].derivatives]
    failed = sum(one.status == ItemStatus.FAILED for one in finished)
    connection.execute(
        COUNT,
        {
            "of_claim": claim_id,
            "more_finished": len(finished),
            "more_failed": failed,
            "more_source": sum(rows[one.item_id].size_bytes for one in finished),
            "more_derived": sum(file.size_bytes for file in written),
        },
    )
