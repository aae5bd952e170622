"""The whole story of a scan, for `autochrome item`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from tasks.errors import Reason, UsageError
from tasks.ledger import corrections, sql
from tasks.ledger.engine import reads
from tasks.ledger.films import list_shots
from tasks.ledger.filters import one_file_at
from tasks.ledger.reading import (
    derivative_row,
    item_row,
    recipe_row,
    scan_row,
    select_derivatives,
    select_items,
)
from tasks.ledger.records import (
    AttemptRow,
    DecisionRow,
    ItemHistory,
    ItemStory,
    RecipeRow,
    RevisionRow,
)
from tasks.ledger.uris import uri_of
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
    recipe,
    scan,
    scan_revision,
    store,
)


@reads
def get_story(connection: Connection, uri: str) -> ItemStory:
    """All that happened to the scan at *uri* (a page of a file: ``URI#page=2``).

    Raises:
        UsageError: No such scan is known.
    """
    rows = connection.execute(
        select(scan, store.c.url)
        .join(store, store.c.id == scan.c.store_id)
        .where(one_file_at(connection, uri))
        .order_by(scan.c.page)
        .limit(1)
    ).all()
    if not rows:
        raise UsageError(f"no scan is known at {uri}; `autochrome discover` finds new ones")
    return _story(connection, rows[0])


@reads
def story_of(connection: Connection, scan_id: int) -> ItemStory:
    """All that happened to a scan that is there."""
    found = select(scan, store.c.url).join(store, store.c.id == scan.c.store_id)
    return _story(connection, connection.execute(found.where(scan.c.id == scan_id)).one())


@reads
def uris_of_run(connection: Connection, run_id: int) -> list[str]:
    """The scans that a run worked on, in the order in which they became known."""
    rows = connection.execute(
        select(store.c.url, scan.c.key, scan.c.page)
        .join(store, store.c.id == scan.c.store_id)
        .where(
            scan.c.id.in_(
                select(item.c.scan_id)
                .join(attempt, attempt.c.item_id == item.c.id)
                .join(claim, claim.c.id == attempt.c.claim_id)
                .where(claim.c.run_id == run_id)
            )
        )
        .order_by(scan.c.id)
    )
    return [uri_of(row.url, row.key, row.page) for row in rows]


def _story(connection: Connection, row: Row[Any]) -> ItemStory:
    before = select(scan_revision).where(
        scan_revision.c.scan_id == row.id, scan_revision.c.revision < row.revision
    )
    return ItemStory(
        scan=scan_row(row),
        revisions=tuple(
            sql.record(RevisionRow, old)
            for old in connection.execute(before.order_by(scan_revision.c.revision))
        ),
        items=tuple(_histories(connection, row.id)),
        corrections=tuple(corrections.of_bytes(connection, row.sha256, row.page)),
    )


def _histories(connection: Connection, scan_id: int) -> list[ItemHistory]:
    rows = connection.execute(
        select_items().where(item.c.scan_id == scan_id).order_by(item.c.id)
    ).all()
    return [
        ItemHistory(
            item=item_row(row),
            recipe=_recipe(connection, row.recipe_id),
            attempts=(*_attempts(connection, row.id), *_open_attempt(connection, row)),
            derivatives=tuple(
                derivative_row(found)
                for found in connection.execute(
                    select_derivatives()
                    .where(derivative.c.item_id == row.id)
                    .order_by(derivative.c.id)
                )
            ),
            decisions=decisions_of(connection, row.id),
            shots=tuple(list_shots(connection, row.id)),
        )
        for row in rows
    ]


def _recipe(connection: Connection, recipe_id: int) -> RecipeRow:
    return recipe_row(connection.execute(select(recipe).where(recipe.c.id == recipe_id)).one())


def _attempts(connection: Connection, item_id: int) -> Sequence[AttemptRow]:
    rows = connection.execute(
        select(attempt, claim.c.worker, claim.c.run_id, claim.c.claimed_at)
        .join(claim, claim.c.id == attempt.c.claim_id)
        .where(attempt.c.item_id == item_id)
        .order_by(attempt.c.id)
    )
    return [
        sql.record(
            AttemptRow,
            row,
            ending=AttemptEnding(row.ending),
            status=ItemStatus(row.status),
            reason=Reason(row.reason) if row.reason else None,
            detail=row.detail or "",
        )
        for row in rows
    ]


def _open_attempt(connection: Connection, row: Row[Any]) -> Sequence[AttemptRow]:
    """The one that is going on: an attempt is written when it ends."""
    if row.claim_id is None:
        return ()
    held = connection.execute(select(claim).where(claim.c.id == row.claim_id)).one()
    return [
        AttemptRow(
            number=row.attempts,
            revision=row.revision,
            worker=held.worker,
            run_id=held.run_id,
            claimed_at=held.claimed_at,
            ended_at=None,
            ending=None,
            status=ItemStatus.CLAIMED,
            reason=None,
            detail="",
            seconds=None,
        )
    ]


def decisions_of(connection: Connection, item_id: int) -> tuple[DecisionRow, ...]:
    """What was decided about an item, oldest first."""
    rows = connection.execute(
        select(decision, decision_item.c.was, decision_item.c.was_reason, decision_item.c.became)
        .join(decision_item, decision_item.c.decision_id == decision.c.id)
        .where(decision_item.c.item_id == item_id)
        .order_by(decision.c.id)
    )
    return tuple(
        DecisionRow(
            id=row.id,
            kind=DecisionKind(row.kind),
            who=row.who,
            why=row.why,
            decided_at=row.decided_at,
            was=ItemStatus(row.was),
            was_reason=Reason(row.was_reason) if row.was_reason else None,
            became=ItemStatus(row.became),
        )
        for row in rows
    )
