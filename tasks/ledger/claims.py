"""Claiming, renewing and giving back.

A claim is one row with a token and an expiry by the database's clock; the items of its batch point
to it. So renewing changes one row, and whoever takes an expired claim locks that row and has them
all. A lease that ran out is lost even when nobody has taken its items yet: a holder who was away
for longer than his lease cannot know.
"""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    Update,
    and_,
    bindparam,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.selectable import FromClause

from tasks.errors import Reason
from tasks.ledger import corrections, outages, sql
from tasks.ledger.engine import writes
from tasks.ledger.records import Claim, ClaimedItem, ClaimRequest
from tasks.ledger.refusals import ARE_THERE
from tasks.ledger.sweeping import IS_EXPIRED, sweep, uncount
from tasks.ledger.uris import uri_of
from tasks.schema import (
    CLAIMED,
    DOUBTED,
    PENDING_ALONE,
    PENDING_IN_ORDER,
    AttemptEnding,
    ItemStatus,
    OrderState,
    claim,
    item,
    outage,
    scan,
    store,
    work_order,
)

_OPEN = claim.c.ended_at.is_(None)


def new_token() -> str:
    """A token that nobody else has."""
    return secrets.token_hex(16)


# --- statements ----------------------------------------------------------------------------------
# Those of every claim are built once: building one takes longer than running it.

_RECIPE = bindparam("recipe", type_=BigInteger)
_ORDER = bindparam("order", type_=BigInteger)


# Asked in the claim itself: of an order that is paused or cancelled, or whose deadline has passed,
# nothing is claimed, however lately a worker has looked. Its parameter is `order`.
RUNS = (
    select(work_order.c.id)
    .where(
        work_order.c.id == _ORDER,
        work_order.c.state == OrderState.RUNNING,
        or_(work_order.c.deadline_at.is_(None), work_order.c.deadline_at > sql.now()),
    )
    .exists()
)


def _with_scans(items: FromClause) -> Select[Any]:
    return (
        select(
            items.c.id,
            items.c.scan_id,
            items.c.attempts,
            items.c.collection,
            store.c.url,
            scan.c.key,
            scan.c.page,
            # The scan's, not the item's: it belongs to the ETag and version that come with it,
            # whatever a discovery is committing at this moment.
            scan.c.revision,
            scan.c.size_bytes,
            scan.c.etag,
            scan.c.version,
            scan.c.sha256,
            scan.c.listing,
            DOUBTED.label("is_doubted"),
            # Not what was said: most scans have none, and of the others it is asked for by number.
            corrections.LATEST.label("corrected_by"),
            and_(scan.c.sha256.is_(None), corrections.ARE_THERE).label("may_be_corrected"),
        )
        .join(scan, scan.c.id == items.c.scan_id)
        .join(store, store.c.id == scan.c.store_id)
    )


def _due(*pending: ColumnElement[bool]) -> Select[Any]:
    return select(item.c.id, item.c.scan_id, item.c.attempts, item.c.collection).where(
        *pending,
        item.c.order_id == _ORDER,
        item.c.recipe_id == _RECIPE,
        item.c.not_before <= sql.now(),
    )


def _ready(*pending: ColumnElement[bool]) -> Select[Any]:
    """Lock the *most* first items that are due, passing over what others are just taking.

    The CTE makes PostgreSQL pick and lock exactly once, before it looks at any other table. SQLite
    has no row locks and needs none: the transaction is the only one that writes.
    """
    picked = (
        _due(*pending)
        .where(RUNS)
        .order_by(item.c.not_before, item.c.id)
        .limit(bindparam("most", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    return _with_scans(picked)


_SUSPECT = _ready(PENDING_ALONE)
_TOGETHER = _ready(PENDING_IN_ORDER)
# A place that is away is asked about only where there is one: that takes a look at each scan.
_SUSPECT_ELSEWHERE = _ready(PENDING_ALONE, ~outages.is_out(item))
_TOGETHER_ELSEWHERE = _ready(PENDING_IN_ORDER, ~outages.is_out(item))


def _there_is(kind: str, thing: Select[Any]) -> Select[Any]:
    return select(literal(kind)).where(thing.exists())


# What there is to do, in one look: each way to the server is one more turn to wait for.
_LOOK = union_all(
    _there_is("expired", select(claim.c.id).where(IS_EXPIRED)),
    _there_is("away", select(outage.c.id)),
    _there_is("suspect", _due(PENDING_ALONE)),
)
_MAKE = (
    insert(claim)
    .values(
        token=bindparam("token"),
        worker=bindparam("worker"),
        recipe_id=_RECIPE,
        run_id=bindparam("run"),
        max_attempts=bindparam("attempts"),
        claimed_at=sql.now(),
        expires_at=sql.now(bindparam("lease_s", type_=Float)),
        finished=0,
        failed=0,
    )
    .returning(claim.c.id, claim.c.expires_at)
)
_HELD = (
    select(
        claim.c.id,
        claim.c.recipe_id,
        claim.c.max_attempts,
        claim.c.worker,
        ARE_THERE.label("has_refusals"),
    )
    .where(claim.c.token == bindparam("token"), _OPEN, claim.c.expires_at > sql.now())
    .with_for_update()
)


_PICKED = sql.Rows("picked_items", id=BigInteger, revision=Integer)


def _mark_claimed(dialect: str, claim_id: ColumnElement[int]) -> Update:
    picked = _PICKED.table_for(dialect)
    return (
        update(item)
        .where(item.c.id == picked.c.id)
        .values(
            status=ItemStatus.CLAIMED,
            revision=picked.c.revision,
            reason=null(),
            detail=null(),
            claim_id=claim_id,
            attempts=item.c.attempts + 1,
            changed_at=sql.now(),
        )
    )


def _make_and_mark() -> Select[Any]:
    made = _MAKE.cte("made")
    marked = _mark_claimed("postgresql", select(made.c.id).scalar_subquery())
    return select(made.c.id, made.c.expires_at).add_cte(marked.cte("marked"))


_MARK = _mark_claimed("sqlite", bindparam("made", type_=BigInteger))
_MAKE_AND_MARK = _make_and_mark()  # SQLite cannot do both in one


# --- claiming ------------------------------------------------------------------------------------


def claim_items(connection: Connection, wanted: ClaimRequest, *, token: str) -> Claim | None:
    """Sweep, then take what is wanted; see `Ledger.claim`."""
    mine = {"recipe": wanted.recipe_id, "order": wanted.order_id}
    seen = set(connection.execute(_LOOK, mine).scalars())
    if "expired" in seen:
        sweep(connection)
        seen = set(connection.execute(_LOOK, mine).scalars())
    suspect, together = _SUSPECT, _TOGETHER
    if "away" in seen:
        suspect, together = _SUSPECT_ELSEWHERE, _TOGETHER_ELSEWHERE
    rows: Sequence[sql.AnyRow] = []
    if "suspect" in seen:
        rows = connection.execute(suspect, {**mine, "most": 1}).all()
    if not rows:
        rows = connection.execute(together, {**mine, "most": wanted.limit}).all()
    if not rows:
        return None
    expires_at = _take(connection, wanted, rows, token=token)
    tried_again = outages.places(connection) if "away" in seen else frozenset()
    items = _claimed_items(connection, rows, attempt_offset=1)
    return Claim(token, expires_at, items, tried_again, wanted.order_id)


def _take(
    connection: Connection, wanted: ClaimRequest, rows: Sequence[sql.AnyRow], *, token: str
) -> datetime:
    """Make the claim, and let the rows point to it; returns when it expires."""
    given = {
        "token": token,
        "worker": sql.storable(wanted.worker),
        "recipe": wanted.recipe_id,
        "run": wanted.run_id,
        "attempts": wanted.max_attempts,
        "lease_s": wanted.lease_s,
    }
    picked = _PICKED.given({"id": row.id, "revision": row.revision} for row in rows)
    if sql.is_postgresql(connection):
        made = connection.execute(_MAKE_AND_MARK, {**given, **picked}).one()
    else:
        made = connection.execute(_MAKE, given).one()
        connection.execute(_MARK, {**picked, "made": made.id})
    expires_at: datetime = made.expires_at
    return expires_at


def reread_claim(connection: Connection, token: str, order_id: int) -> Claim | None:
    """A claim that was made although the answer never arrived."""
    found = connection.execute(
        select(claim.c.id, claim.c.expires_at).where(claim.c.token == token)
    ).first()
    if found is None:
        return None
    mine = _with_scans(item).where(CLAIMED, item.c.claim_id == found.id)
    rows = connection.execute(mine).all()
    items = _claimed_items(connection, rows, attempt_offset=0)
    return Claim(token, found.expires_at, items, order_id=order_id)


def claimed_item(connection: Connection, item_id: int) -> ClaimedItem:
    """An item that is claimed, for whoever works at a part of it."""
    rows = connection.execute(_with_scans(item).where(item.c.id == item_id)).all()
    return _claimed_items(connection, rows, attempt_offset=0)[0]


def _claimed_items(
    connection: Connection, rows: Sequence[sql.AnyRow], *, attempt_offset: int
) -> tuple[ClaimedItem, ...]:
    ids = {row.corrected_by for row in rows if row.corrected_by is not None}
    said = corrections.by_ids(connection, ids) if ids else {}
    # By place, not by name: a row looks a name up each time, and there are hundreds in a batch.
    return tuple(
        ClaimedItem(
            id=item_id,
            scan_id=scan_id,
            uri=uri_of(url, key, page),
            source=url,
            key=key,
            page=page,
            revision=revision,
            size_bytes=size_bytes,
            etag=etag,
            version=version,
            sha256=sha256,
            attempt=attempts + attempt_offset,
            collection=collection,
            listing=listing,
            is_doubted=bool(is_doubted),
            correction=said.get(corrected_by),
            may_be_corrected=bool(may_be_corrected),
        )
        for (
            item_id,
            scan_id,
            attempts,
            collection,
            url,
            key,
            page,
            revision,
            size_bytes,
            etag,
            version,
            sha256,
            listing,
            is_doubted,
            corrected_by,
            may_be_corrected,
        ) in rows
    )


# --- holding -------------------------------------------------------------------------------------


@writes
def renew(connection: Connection, token: str, *, lease_s: float) -> int:
    """Let the lease last for *lease_s* from now; returns how many items are still held."""
    claim_id = connection.execute(
        update(claim)
        .where(claim.c.token == token, _OPEN, claim.c.expires_at > sql.now())
        .values(expires_at=sql.now(lease_s))
        .returning(claim.c.id)
    ).scalar()
    if claim_id is None:
        return 0
    held = select(func.count()).select_from(item).where(CLAIMED, item.c.claim_id == claim_id)
    return connection.execute(held).scalar_one()


def lock_claim(connection: Connection, token: str) -> sql.AnyRow | None:
    """The claim while its lease lasts, locked against sweepers; None when it is lost."""
    return connection.execute(_HELD, {"token": token}).first()


def holds_nothing(claim_id: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Whether none of the claim's items is left."""
    return ~select(item.c.id).where(CLAIMED, item.c.claim_id == claim_id).exists()


@writes
def give_back(  # noqa: PLR0913 - four of them have defaults
    connection: Connection,
    token: str,
    item_ids: Collection[int] | None = None,
    *,
    reason: Reason | None = None,
    detail: str = "",
    wait_s: float = 0.0,
) -> int:
    """Put items, or all that are left, back to pending; the attempt does not count.

    Args:
        connection: To the ledger.
        token: Of the claim.
        item_ids: Which items; None: all.
        reason: For the attempt's record, with *detail*.
        detail: Why.
        wait_s: Not to be claimed before.
    """
    held = lock_claim(connection, token)
    if held is None:
        return 0
    chosen = and_(CLAIMED, item.c.claim_id == held.id)
    if item_ids is not None:
        chosen = and_(chosen, item.c.id.in_(sql.these(item_ids)))
    count = uncount(
        connection,
        chosen,
        AttemptEnding.GIVEN_BACK,
        detail=sql.storable(detail),
        reason=reason,
        wait_s=wait_s,
    )
    connection.execute(
        update(claim)
        .where(claim.c.id == held.id, holds_nothing(held.id))
        .values(ended_at=sql.now())
    )
    return count
