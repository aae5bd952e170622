"""The statements that a batch is finished with, built once a dialect.

Building one takes longer than running it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Float,
    Insert,
    Integer,
    Text,
    TextClause,
    Update,
    bindparam,
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
from sqlalchemy.sql.selectable import CTE

from tasks.errors import Reason
from tasks.ledger import sql
from tasks.ledger.claims import holds_nothing
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
class OutcomeRow:
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
    listing: int | None
    width: int | None
    height: int | None
    bits: int | None
    pages: int | None
    title: str | None
    notes: str | None
    correction_id: int | None


SETTLED = sql.rows_of("settled", OutcomeRow)

DERIVATIVES = sql.Rows(
    "derivatives",
    item_id=BigInteger,
    revision=Integer,
    correction_id=BigInteger,
    kind=Text,
    store_id=BigInteger,
    key=Text,
    content_type=Text,
    size_bytes=BigInteger,
    sha256=Text,
    max_delta_l=Float,
    mean_delta_l=Float,
    luma_identical=Boolean,
)


OF_CLAIM = bindparam("of_claim", type_=BigInteger)

HELD_ITEMS = (
    select(
        item.c.id,
        item.c.scan_id,
        item.c.attempts,
        item.c.revision,
        item.c.reason,
        scan.c.page,
        scan.c.size_bytes,
        scan.c.sha256,
        scan.c.vanished_at,
    )
    .join(scan, scan.c.id == item.c.scan_id)
    .where(CLAIMED, item.c.claim_id == OF_CLAIM)
    .with_for_update(of=item)
)
IN_OTHER_HANDS = (
    update(item)
    .where(
        CLAIMED,
        item.c.claim_id.not_in(select(claim.c.id).where(claim.c.token == bindparam("token"))),
    )
    .values(reason=Reason.WRITE_UNVERIFIED)
)
COUNT = (
    update(claim)
    .where(claim.c.id == OF_CLAIM)
    .values(
        finished=claim.c.finished + bindparam("more_finished", type_=Integer),
        failed=claim.c.failed + bindparam("more_failed", type_=Integer),
        source_bytes=claim.c.source_bytes + bindparam("more_source", type_=BigInteger),
        derivative_bytes=claim.c.derivative_bytes + bindparam("more_derived", type_=BigInteger),
        ended_at=case((holds_nothing(OF_CLAIM), sql.now()), else_=null()),
    )
)


@cache
def settled_statements(dialect: str) -> tuple[Update | Insert, ...]:
    """What outcomes are written with."""
    new = SETTLED.table_for(dialect)
    items, attempts, scans = _update_items(new), _insert_attempts(new), _update_scans(new)
    if dialect == "postgresql":
        # All in one: each way to the server is one more turn to wait for. SQLite cannot.
        return (scans.add_cte(items.cte("items"), attempts.cte("attempts")),)
    return items, attempts, scans


def _update_items(new: CTE) -> Update:
    is_again = new.c.status == ItemStatus.PENDING
    return (
        update(item)
        .where(item.c.id == new.c.item_id)
        .values(
            status=new.c.status,
            reason=new.c.reason,
            detail=new.c.detail,
            confidence=func.coalesce(new.c.confidence, item.c.confidence),
            notes=func.coalesce(new.c.notes, item.c.notes),
            correction_id=func.coalesce(new.c.correction_id, item.c.correction_id),
            claim_id=null(),
            # Where the worker lived to tell of another cause, the item is no suspect any more.
            alone=is_again & new.c.reason.is_not_distinct_from(Reason.KILLED_WORKER.value),
            not_before=case((is_again, sql.now(new.c.wait_s)), else_=item.c.not_before),
            changed_at=sql.now(),
        )
    )


def _insert_attempts(new: CTE) -> Insert:
    columns = {
        "item_id": new.c.item_id,
        "claim_id": OF_CLAIM,
        "revision": new.c.revision,
        "number": new.c.number,
        "ending": literal(AttemptEnding.FINISHED.value),
        "status": new.c.status,
        "reason": new.c.reason,
        "detail": new.c.detail,
        "seconds": new.c.seconds,
        "ended_at": sql.now(),
    }
    return insert(attempt).from_select(list(columns), select(*columns.values()))


def _update_scans(new: CTE) -> Update:
    """Keep what the worker found out about the files, where it is news.

    Bytes other than those on record are none of this revision: damage, or for a discovery to
    compare. And a file that was listed anew while it was read is in doubt from now on.
    """
    names = ("sha256", "width", "height", "bits", "pages", "title")
    read: dict[str, ColumnElement[Any]] = {
        name: func.coalesce(new.c[name], scan.c[name]) for name in names
    }
    read_listing = case(
        (new.c.sha256.is_not(None), func.coalesce(new.c.listing, scan.c.listing)),
        else_=scan.c.read_listing,
    )
    values = {
        **read,
        "read_listing": read_listing,
        "archived": or_(scan.c.archived, func.coalesce(new.c.reason, "") == Reason.ARCHIVED),
    }
    is_news = or_(*(scan.c[name].is_distinct_from(value) for name, value in values.items()))
    is_same = func.coalesce(scan.c.sha256 == new.c.sha256, true())
    return (
        update(scan)
        .where(scan.c.id == new.c.scan_id, scan.c.revision == new.c.revision, is_same, is_news)
        .values(values)
    )


@cache
def derivatives_statement(dialect: str) -> TextClause:
    """What derivatives are written with.

    Written twice, a derivative is the same file: the later record replaces the earlier.
    """
    new = DERIVATIVES.table_for(dialect)
    columns = {**{name: new.c[name] for name in DERIVATIVES.columns}, "written_at": sql.now()}
    statement = sql.insert_for(dialect, derivative).from_select(
        list(columns), select(*columns.values()).where(true())
    )
    key = ("item_id", "revision", "kind", "correction_id")
    replaced = {name: statement.excluded[name] for name in columns if name not in key}
    upsert = statement.on_conflict_do_update(index_elements=list(key), set_=replaced)
    return sql.written_out(upsert, dialect)
