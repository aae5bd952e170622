"""Decisions about many items at once: counted first, then done if the count still holds."""

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from tasks.errors import AutochromeError, UsageError
from tasks.ledger import decisions, holds, sql
from tasks.ledger.curating.deciding import TWO_AGREE
from tasks.ledger.curating.undoing import UNDOABLE
from tasks.ledger.engine import reads, writes
from tasks.ledger.filters import condition_of
from tasks.ledger.records import ItemFilter
from tasks.schema import DecisionKind, ItemStatus, decision, decision_item, item, opinion

#: At once; the database's other writers wait meanwhile.
MOST = 10_000
#: So far back a person's latest decisions are looked for.
_LATEST = 2000
_SHOWN = 8

#: What may be decided about many items that stand alike.
DECIDED_ABOUT_MANY = {
    ItemStatus.REVIEW: (DecisionKind.APPROVE, DecisionKind.REJECT, DecisionKind.HOLD),
    ItemStatus.PUBLISHED: (DecisionKind.REJECT, DecisionKind.HOLD),
    ItemStatus.REJECTED: (DecisionKind.APPROVE,),
    ItemStatus.FAILED: (DecisionKind.RETRY, DecisionKind.HOLD),
    ItemStatus.QUARANTINED: (DecisionKind.RETRY, DecisionKind.HOLD),
    ItemStatus.SKIPPED: (DecisionKind.RETRY,),
    ItemStatus.HELD: (DecisionKind.RELEASE,),
}


class CountChanged(AutochromeError):
    """Somebody decided meanwhile: what was confirmed is not what there is."""

    def __init__(self, confirmed: int, now: int) -> None:
        self.now = now
        super().__init__(f"you confirmed {confirmed:,}, and there are {now:,} by now; look again")


@dataclass(frozen=True)
class RecentDecision:
    """A decision that a person made lately, and how many items it moved."""

    id: int
    kind: DecisionKind
    why: str
    decided_at: datetime
    items: int


@dataclass(frozen=True)
class BulkResult:
    """What became of a decision about many."""

    decision_id: int  #: to take it back with; 0 where all wait for a second person
    moved: int
    noted: int = 0  #: what a second person must want, too


@reads
def database_time(connection: Connection) -> datetime:
    """The database's clock: what changes later than a page was made was not seen on it."""
    now: datetime = connection.execute(select(sql.now())).scalar_one()
    return now


@reads
def count_many(connection: Connection, kind: DecisionKind, chosen: ItemFilter) -> int:
    """How many scans a decision about all that the filter finds would move now.

    Raises:
        UsageError: More than `MOST`.
    """
    found = select(item.c.id).where(condition_of(connection, chosen)).limit(MOST + 1).subquery()
    if connection.execute(select(func.count()).select_from(found)).scalar_one() > MOST:
        raise UsageError(
            f"more than {MOST:,} at once: narrow it down by collection, reason, night or "
            f"confidence, or use `autochrome {kind}`"
        )
    if kind is DecisionKind.HOLD:
        return holds.count_held(connection, chosen)
    if kind is DecisionKind.RELEASE:
        return holds.count_released(connection, chosen)
    return decisions.count_decided(connection, kind, chosen)


@writes
def decide_many(  # noqa: PLR0913  who, what and why
    connection: Connection,
    kind: DecisionKind,
    chosen: ItemFilter,
    *,
    who: str,
    why: str,
    confirmed: int,
    must_agree: int = 1,
) -> BulkResult:
    """Carry a decision out about all that the filter finds.

    Where two must agree, about what somebody else has wanted the same for; the rest is noted as
    what this person wants.

    Raises:
        CountChanged: It would not move as many as were confirmed; nothing is changed.
        UsageError: There is nothing that it applies to, or more than `MOST`.
    """
    there = count_many(connection, kind, chosen)
    if there != confirmed:
        raise CountChanged(confirmed, there)
    wanted = confirmed
    agreed: dict[str, list[int]] = {}
    if must_agree > 1 and kind in TWO_AGREE:
        others = _agreeing(connection, kind, chosen, who)
        _note_rest(connection, kind, chosen, who, why, passed_over=others)
        wanted = len(others)
        if not wanted:
            return BulkResult(0, 0, confirmed)
        chosen = replace(chosen, ids=sorted(others))
        for number, other in sorted(others.items(), key=lambda one: (one[1], one[0])):
            agreed.setdefault(other, []).append(number)
        agreed[sql.storable(who)] = sorted(others)
        who = " and ".join(agreed)
    if kind is DecisionKind.HOLD:
        moved = holds.hold(connection, chosen, who=who, why=why)
    elif kind is DecisionKind.RELEASE:
        moved = holds.release(connection, chosen, who=who, why=why)
    else:
        moved = decisions.decide(connection, kind, chosen, who=who, why=why, agreed=agreed)
    if moved != wanted:
        raise CountChanged(confirmed, confirmed - wanted + moved)
    if not moved:
        raise UsageError(f"there is nothing here that {kind} applies to")
    mine = (decision.c.kind == kind) & (decision.c.who == sql.storable(who))
    made = select(decision.c.id).where(mine).order_by(decision.c.id.desc()).limit(1)
    if must_agree > 1:
        number = connection.execute(made).scalar_one()
        ids = select(decision_item.c.item_id).where(decision_item.c.decision_id == number)
        connection.execute(delete(opinion).where(opinion.c.item_id.in_(ids)))
    return BulkResult(int(connection.execute(made).scalar_one()), moved, confirmed - wanted)


@reads
def count_agreeing(
    connection: Connection, kind: DecisionKind, chosen: ItemFilter, *, who: str
) -> int:
    """For how many of what the filter finds somebody else has wanted the same."""
    return len(_agreeing(connection, kind, chosen, who))


def _agreeing(
    connection: Connection, kind: DecisionKind, chosen: ItemFilter, who: str
) -> dict[int, str]:
    """Items that somebody else has wanted the same for since they are as they are, and who."""
    wanted = (
        select(opinion.c.item_id, opinion.c.who)
        .join(item, item.c.id == opinion.c.item_id)
        .where(
            condition_of(connection, chosen),
            opinion.c.kind == kind,
            opinion.c.who != sql.storable(who),
            opinion.c.given_at >= item.c.changed_at,
        )
        .order_by(opinion.c.given_at.desc())
    )
    return {row.item_id: row.who for row in connection.execute(wanted)}


def _note_rest(  # noqa: PLR0913  a row's columns
    connection: Connection,
    kind: DecisionKind,
    chosen: ItemFilter,
    who: str,
    why: str,
    *,
    passed_over: Container[int],
) -> None:
    """Note what a person wants for all but some of what the filter finds."""
    found = select(item.c.id).where(condition_of(connection, chosen))
    rest = [number for number in connection.execute(found).scalars() if number not in passed_over]
    if not rest:
        return
    mine = opinion.c.who == sql.storable(who)
    connection.execute(delete(opinion).where(mine, opinion.c.item_id.in_(sql.these(rest))))
    said = {"who": sql.storable(who), "kind": kind, "why": sql.storable(why)}
    connection.execute(
        insert(opinion).values(given_at=sql.now()), [{"item_id": number, **said} for number in rest]
    )


@reads
def latest_decisions(connection: Connection, who: str) -> list[RecentDecision]:
    """What a person decided lately that can be taken back, the latest first."""
    newest = select(func.max(decision.c.id)).scalar_subquery()
    moved = (
        select(func.count())
        .where(decision_item.c.decision_id == decision.c.id)
        .correlate(decision)
        .scalar_subquery()
    )
    wanted = (
        select(decision, moved.label("items"))
        .where(
            decision.c.id > newest - _LATEST,
            decision.c.who == sql.storable(who),
            decision.c.kind.in_([kind.value for kind in UNDOABLE]),
        )
        .order_by(decision.c.id.desc())
        .limit(_SHOWN)
    )
    return [
        RecentDecision(row.id, DecisionKind(row.kind), row.why, row.decided_at, row.items)
        for row in connection.execute(wanted)
    ]
