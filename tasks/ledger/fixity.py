"""Fixity: which files are due to be read again, and what was found.

The latest check of each file is kept. Files that were checked lately are not due, so an audit that
was broken off goes on where it stopped, and several at once share the work in the end.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    and_,
    literal,
    or_,
    select,
    true,
)

from tasks.ledger import sql
from tasks.ledger.engine import reads, writes
from tasks.ledger.reading import derivative_row, select_derivatives
from tasks.ledger.records import DerivativeRow, FixityCheck, FixityFilter, FixitySubject, SourceRow
from tasks.ledger.uris import uri_of
from tasks.schema import (
    FixityOutcome,
    ItemStatus,
    derivative,
    derivative_fixity,
    item,
    scan,
    scan_fixity,
    status_in,
    store,
)

# Where a derivative is meant to be in its store. That of a claimed item may be being written anew.
_KEPT = and_(
    status_in(ItemStatus.PUBLISHED, ItemStatus.REVIEW, ItemStatus.SUPERSEDED, ItemStatus.REJECTED),
    derivative.c.revision == item.c.revision,
)
_PRESENT = and_(scan.c.page == 0, scan.c.sha256.is_not(None), scan.c.vanished_at.is_(None))

_CHECKS = sql.Rows("checks", id=BigInteger, expected=Text, outcome=Text, sha256=Text, detail=Text)


@reads
def due_derivatives(
    connection: Connection, chosen: FixityFilter, *, after_id: int, limit: int
) -> list[DerivativeRow]:
    """Derivatives to read again, by id from *after_id* on."""
    wanted = (
        select_derivatives()
        .where(derivative.c.id > after_id, _KEPT, _is_due(derivative_fixity, derivative, chosen))
        .order_by(derivative.c.id)
        .limit(limit)
    )
    if chosen.collections:
        wanted = wanted.where(item.c.collection.in_(list(chosen.collections)))
    return [derivative_row(row) for row in connection.execute(wanted)]


@reads
def due_sources(
    connection: Connection, chosen: FixityFilter, *, after_id: int, limit: int
) -> list[SourceRow]:
    """Scans' files to read again, by scan id from *after_id* on: those that were read once."""
    wanted = (
        select(scan, store.c.url)
        .join(store, store.c.id == scan.c.store_id)
        .where(scan.c.id > after_id, _PRESENT, _is_due(scan_fixity, scan, chosen))
        .order_by(scan.c.id)
        .limit(limit)
    )
    if chosen.collections:
        wanted = wanted.where(scan.c.collection.in_(list(chosen.collections)))
    return [_source_row(row) for row in connection.execute(wanted)]


def _source_row(row: sql.AnyRow) -> SourceRow:
    return sql.record(
        SourceRow,
        row,
        scan_id=row.id,
        source=row.url,
    )


def _is_due(checked: Table, subject: Table, chosen: FixityFilter) -> ColumnElement[bool]:
    lately = and_(
        checked.c.checked_at > sql.now(-chosen.older_than_s),
        checked.c.outcome != FixityOutcome.UNREADABLE,
    )
    return (
        ~select(checked.c.subject_id).where(checked.c.subject_id == subject.c.id, lately).exists()
    )


@writes
def record_checks(
    connection: Connection, subject: FixitySubject, checks: Sequence[FixityCheck], *, run_id: int
) -> frozenset[int]:
    """Write what was found; returns the ids for which it stands.

    A file that was replaced while it was read is passed over: it has another digest on record by
    now, or its item is just being worked on.
    """
    given = _CHECKS.given(vars(check) for check in checks)
    found = _CHECKS.table(connection)
    is_derivative = subject is FixitySubject.DERIVATIVE
    recorded = derivative if is_derivative else scan
    same = and_(recorded.c.id == found.c.id, recorded.c.sha256 == found.c.expected)
    standing = select(found).join(recorded, same)
    if is_derivative:
        standing = standing.join(item, item.c.id == derivative.c.item_id).where(_KEPT)
    else:
        standing = standing.where(_PRESENT)
    return frozenset(
        connection.execute(_upsert(connection, subject, standing, run_id), given).scalars()
    )


def _upsert(
    connection: Connection, subject: FixitySubject, standing: Select[Any], run_id: int
) -> Any:  # noqa: ANN401 - of one of two dialects
    table = _table_of(subject)
    rows = standing.subquery("standing")
    columns = {
        "subject_id": rows.c.id,
        "run_id": literal(run_id, BigInteger()),
        "outcome": rows.c.outcome,
        "sha256": rows.c.sha256,
        "detail": rows.c.detail,
        "checked_at": sql.now(),
    }
    new = sql.insert_or(connection, table).from_select(
        list(columns), select(*columns.values()).where(true())
    )
    changed = {name: new.excluded[name] for name in columns if name != "subject_id"}
    upsert = new.on_conflict_do_update(index_elements=["subject_id"], set_=changed)
    return upsert.returning(table.c.subject_id)


def _table_of(subject: FixitySubject) -> Table:
    return derivative_fixity if subject is FixitySubject.DERIVATIVE else scan_fixity


@reads
def find_derivatives(connection: Connection, keys: Sequence[str]) -> list[DerivativeRow]:
    """The derivatives on record under these keys, in any store. Reads the whole table."""
    wanted = select_derivatives().where(derivative.c.key.in_(list(keys))).order_by(derivative.c.id)
    return [derivative_row(row) for row in connection.execute(wanted)]


@reads
def last_derivative(connection: Connection, url: str) -> str | None:
    """The key of the derivative that was recorded last in the store at *url*; None: none was."""
    theirs = select(derivative.c.key).join(store, store.c.id == derivative.c.store_id)
    last = theirs.where(store.c.url == url).order_by(derivative.c.id.desc()).limit(1)
    key: str | None = connection.execute(last).scalar()
    return key


def is_damaged(table: Table) -> ColumnElement[bool]:
    """On a table of checks: the file is not what is on record."""
    return or_(
        table.c.outcome == FixityOutcome.MISMATCHED, table.c.outcome == FixityOutcome.MISSING
    )


@reads
def damaged_items(connection: Connection, *, run_id: int) -> list[int]:
    """The items whose derivatives in use a run found damaged.

    What was made before a correction, or with an earlier one, is not made anew by doing it again.
    """
    wanted = (
        select(derivative.c.item_id)
        .join(derivative_fixity, derivative_fixity.c.subject_id == derivative.c.id)
        .join(item, item.c.id == derivative.c.item_id)
        .where(
            derivative_fixity.c.run_id == run_id,
            is_damaged(derivative_fixity),
            derivative.c.correction_id == item.c.correction_id,
        )
        .distinct()
    )
    return list(connection.execute(wanted).scalars())


def uri_of_source(row: SourceRow) -> str:
    """How people name the file."""
    return uri_of(row.source, row.key)
