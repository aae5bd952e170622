"""Claiming, renewing, giving back, and sweeping up after workers that vanished.

A claim is one row with a token and an expiry by the database's clock; the items of its batch point to
it. So renewing changes one row, and whoever takes an expired claim locks that row and has them all.
A lease that ran out is lost even when nobody has taken its items yet: a holder who was away for
longer than his lease cannot know.
"""

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

from tasks.errors import Reason
from tasks.ledger import sql
from tasks.ledger.records import Claim, ClaimedItem
from tasks.ledger.uris import uri_of
from tasks.schema import (
    CLAIMED,
    PENDING_ALONE,
    PENDING_TOGETHER,
    AttemptEnding,
    ItemStatus,
    attempt,
    claim,
    item,
    item_tally,
    scan,
    store,
)

SWEPT_CLAIMS = 20  # at once; the next claim sweeps on
_OPEN = claim.c.ended_at.is_(None)


def new_token() -> str:
    """A token that nobody else has."""
    return secrets.token_hex(16)


def claim_items(
    connection: Connection,
    worker: str,
    *,
    token: str,
    recipe_id: int,
    limit: int,
    lease_s: float,
    max_attempts: int,
    collections: Sequence[str] | None,
    run_id: int | None,
) -> Claim | None:
    """Sweep, then take up to *limit* items; see `Ledger.claim`."""
    sweep(connection)
    rows = _pick(connection, recipe_id=recipe_id, limit=limit, collections=collections)
    if not rows:
        return None
    claim_id, expires_at = connection.execute(
        insert(claim)
        .values(
            token=token,
            worker=worker,
            recipe_id=recipe_id,
            run_id=run_id,
            max_attempts=max_attempts,
            claimed_at=sql.now(),
            expires_at=sql.now(lease_s),
            finished=0,
            failed=0,
        )
        .returning(claim.c.id, claim.c.expires_at)
    ).one()
    _mark_claimed(connection, claim_id, [row.id for row in rows])
    return Claim(token, expires_at, tuple(_claimed_item(row) for row in rows))


def _pick(
    connection: Connection, *, recipe_id: int, limit: int, collections: Sequence[str] | None
) -> list[Row[Any]]:
    """Lock one suspect alone, or else up to *limit* others."""
    alone = select(item).where(PENDING_ALONE, item.c.recipe_id == recipe_id)
    if collections is not None:
        alone = alone.where(item.c.collection.in_(collections))
    rows = _lock_ready(connection, alone, limit=1)
    if rows:
        return rows
    # Collection by collection: with it fixed, the index gives the rows in order and can stop.
    for collection in _waiting_collections(connection, recipe_id, collections):
        together = select(item).where(
            PENDING_TOGETHER, item.c.recipe_id == recipe_id, item.c.collection == collection
        )
        rows += _lock_ready(connection, together, limit=limit - len(rows))
        if len(rows) >= limit:
            break
    return rows


def _waiting_collections(
    connection: Connection, recipe_id: int, collections: Sequence[str] | None
) -> Sequence[str]:
    """The given collections; where none are given, those with pending items, by name."""
    if collections is not None:
        return collections
    waiting = (
        select(item_tally.c.collection)
        .where(item_tally.c.recipe_id == recipe_id, item_tally.c.status == ItemStatus.PENDING)
        .group_by(item_tally.c.collection)
        .having(func.sum(item_tally.c.n) > 0)
        .order_by(item_tally.c.collection)
    )
    return connection.execute(waiting).scalars().all()


def _lock_ready(connection: Connection, candidates: Select[Any], *, limit: int) -> list[Row[Any]]:
    """Lock the first *limit* candidates whose time has come, passing over what others just take.

    The CTE makes PostgreSQL pick and lock exactly once, before it looks at any other table.
    """
    picked = (
        candidates.where(item.c.not_before <= sql.now())
        .order_by(item.c.not_before, item.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    rows = connection.execute(
        select(
            picked.c.id,
            picked.c.scan_id,
            picked.c.attempts,
            picked.c.revision,
            picked.c.collection,
            store.c.url,
            scan.c.key,
            scan.c.page,
            scan.c.size_bytes,
            scan.c.etag,
            scan.c.version,
            scan.c.sha256,
        )
        .join(scan, scan.c.id == picked.c.scan_id)
        .join(store, store.c.id == scan.c.store_id)
    )
    return list(rows)


def _mark_claimed(connection: Connection, claim_id: int, ids: Sequence[int]) -> None:
    given = sql.ids_table(connection, "given")
    connection.execute(
        update(item)
        .where(item.c.id.in_(select(given.c.id)))
        .values(
            status=ItemStatus.CLAIMED,
            reason=null(),
            detail=null(),
            claim_id=claim_id,
            attempts=item.c.attempts + 1,
            changed_at=sql.now(),
        ),
        {"given": sql.as_ids(ids)},
    )


def _claimed_item(row: Row[Any]) -> ClaimedItem:
    return ClaimedItem(
        id=row.id,
        scan_id=row.scan_id,
        uri=uri_of(row.url, row.key, row.page),
        source=row.url,
        key=row.key,
        page=row.page,
        revision=row.revision,
        size_bytes=row.size_bytes,
        etag=row.etag,
        version=row.version,
        sha256=row.sha256,
        attempt=row.attempts + 1,
        collection=row.collection,
    )


def renew(connection: Connection, token: str, *, lease_s: float) -> int:
    """Push the expiry on; returns how many items are still held."""
    claim_id = connection.execute(
        update(claim)
        .where(claim.c.token == token, _OPEN, claim.c.expires_at > sql.now())
        .values(expires_at=sql.now(lease_s))
        .returning(claim.c.id)
    ).scalar()
    held = select(func.count()).select_from(item).where(CLAIMED, item.c.claim_id == claim_id)
    return 0 if claim_id is None else connection.execute(held).scalar_one()


def lock_claim(connection: Connection, token: str) -> Row[Any] | None:
    """The claim while its lease lasts, locked against sweepers; None when it is lost."""
    return connection.execute(
        select(claim.c.id, claim.c.recipe_id, claim.c.max_attempts, claim.c.worker)
        .where(claim.c.token == token, _OPEN, claim.c.expires_at > sql.now())
        .with_for_update()
    ).first()


def close_if_empty(connection: Connection, claim_id: int) -> None:
    """End a claim that holds no item any more."""
    held = select(item.c.id).where(CLAIMED, item.c.claim_id == claim_id).exists()
    connection.execute(
        update(claim).where(claim.c.id == claim_id, _OPEN, ~held).values(ended_at=sql.now())
    )


def give_back(connection: Connection, token: str, item_ids: Collection[int] | None) -> int:
    """Put the batch, or some of it, back to pending; the attempt does not count."""
    held = lock_claim(connection, token)
    if held is None:
        return 0
    chosen: list[ColumnElement[bool]] = [CLAIMED, item.c.claim_id == held.id]
    parameters = {}
    if item_ids is not None:
        given = sql.ids_table(connection, "given")
        chosen.append(item.c.id.in_(select(given.c.id)))
        parameters["given"] = sql.as_ids(item_ids)
    count = release_items(
        connection, chosen, ending=AttemptEnding.GIVEN_BACK, detail="", parameters=parameters
    )
    close_if_empty(connection, held.id)
    return count


def release_items(
    connection: Connection,
    chosen: Sequence[ColumnElement[bool]],
    *,
    ending: AttemptEnding,
    detail: str,
    parameters: dict[str, str],
) -> int:
    """Put claimed items back to pending with their attempt uncounted, and record how it ended."""
    _record_endings(connection, chosen, ItemStatus.PENDING, ending, detail, parameters)
    released = (
        update(item)
        .where(*chosen)
        .values(
            status=ItemStatus.PENDING,
            claim_id=null(),
            attempts=item.c.attempts - 1,
            changed_at=sql.now(),
        )
    )
    return sql.affected(connection, released, parameters)


def _record_endings(
    connection: Connection,
    chosen: Sequence[ColumnElement[bool]],
    status: ItemStatus,
    ending: AttemptEnding,
    detail: str,
    parameters: dict[str, str],
    *,
    reason: Reason | None = None,
) -> None:
    columns = {
        "item_id": item.c.id,
        "claim_id": item.c.claim_id,
        "revision": item.c.revision,
        "number": item.c.attempts,
        "ending": literal(ending.value),
        "status": literal(status.value),
        "reason": literal(reason.value) if reason else null(),
        "detail": literal(detail) if detail else null(),
        "ended_at": sql.now(),
    }
    connection.execute(
        insert(attempt).from_select(list(columns), select(*columns.values()).where(*chosen)),
        parameters,
    )


def sweep(connection: Connection) -> int:
    """Take items back whose lease ran out: once more alone, or quarantined after the last attempt."""
    expired = connection.execute(
        select(claim.c.id, claim.c.max_attempts, claim.c.worker)
        .where(_OPEN, claim.c.expires_at <= sql.now())
        .order_by(claim.c.expires_at)
        .limit(SWEPT_CLAIMS)
        .with_for_update(skip_locked=True)
    ).all()
    return sum(_sweep_claim(connection, one) for one in expired)


def _sweep_claim(connection: Connection, expired: Row[Any]) -> int:
    mine = [CLAIMED, item.c.claim_id == expired.id]
    detail = f"the lease of {expired.worker} ran out"
    used_up = [*mine, item.c.attempts >= expired.max_attempts]
    expiry = AttemptEnding.EXPIRED
    killed = ItemStatus.QUARANTINED
    _record_endings(connection, used_up, killed, expiry, detail, {}, reason=Reason.KILLED_WORKER)
    quarantined = sql.affected(
        connection,
        update(item)
        .where(*used_up)
        .values(
            status=killed,
            reason=Reason.KILLED_WORKER,
            detail=detail,
            claim_id=null(),
            changed_at=sql.now(),
        ),
    )
    _record_endings(connection, mine, ItemStatus.PENDING, expiry, detail, {})
    again = sql.affected(
        connection,
        update(item)
        .where(*mine)
        .values(
            status=ItemStatus.PENDING,
            alone=True,
            claim_id=null(),
            not_before=sql.now(),
            changed_at=sql.now(),
        ),
    )
    connection.execute(update(claim).where(claim.c.id == expired.id).values(ended_at=sql.now()))
    return quarantined + again
