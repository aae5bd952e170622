"""What people said of colours: recorded, withdrawn, and found again by a scan's bytes.

A correction is about bytes, as a no is: it counts for them wherever they lie, and under every
recipe to come. The latest that stands counts; nothing is ever deleted.

Of a film it is about a frame, and of each frame the latest counts. What counts for the film as a
whole is named by the number of the latest change: a withdrawal is a row of its own there, too. So
`of_frames` can say of any number what counted then.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.sql.selectable import FromClause

from tasks.errors import AutochromeError, UsageError
from tasks.ledger import sql
from tasks.ledger.decisions import record
from tasks.ledger.engine import reads, writes
from tasks.ledger.filters import one_file_at
from tasks.ledger.records import CorrectionRow, ShotRow
from tasks.ledger.sweeping import uncount
from tasks.ledger.uris import uri_of
from tasks.schema import CLAIMED, AttemptEnding, DecisionKind, correction, item, scan, store


class CorrectedMeanwhile(AutochromeError):
    """Somebody else has corrected the scan since this person began."""

    def __init__(self, last: CorrectionRow | None) -> None:
        self.last = last  #: that stands now
        said = "the correction that you went on from was withdrawn"
        if last is not None:
            said = f"{last.who} has corrected it at {last.made_at:%H:%M on %Y-%m-%d} (UTC)"
        super().__init__(f"{said}; look at it, then save yours over it or give it up")


@dataclass(frozen=True)
class NewCorrection:
    """What a person says.

    Attributes:
        uri: Of the scan; it counts for the bytes that this holds now, wherever they lie.
        said: As `colormodel.correction.Correction.as_json` has it.
        who: Says it.
        note: In words, for the record; may be empty.
        seen: The correction that the person went on from, 0 for none; None: whatever stands.
        frame: Of a film: which frame it is about, from 0.
    """

    uri: str
    said: Mapping[str, Any]
    who: str
    note: str = ""
    seen: int | None = None
    frame: int | None = None


# --- on `scan`, `item` ---------------------------------------------------------------------------

_SAME_BYTES = and_(correction.c.sha256 == scan.c.sha256, correction.c.page == scan.c.page)
_STANDS = correction.c.withdrawn_at.is_(None)

LATEST = (
    select(func.max(correction.c.id)).where(_SAME_BYTES, _STANDS).correlate(scan).scalar_subquery()
)
"""On `scan`: the correction that counts for it, or NULL."""

ARE_THERE = select(correction.c.id).exists()
"""Whether there is any."""


def is_corrected() -> ColumnElement[bool]:
    """On `scan`: a correction counts for it."""
    return select(correction.c.id).where(_SAME_BYTES, _STANDS).correlate(scan).exists()


def is_corrected_since(items: FromClause = item) -> ColumnElement[bool]:
    """On `scan` and its `item`, or an alias: another correction counts than it was made with."""
    other = or_(
        and_(correction.c.id > items.c.correction_id, _STANDS),
        and_(correction.c.id == items.c.correction_id, ~_STANDS),
    )
    return select(correction.c.id).where(_SAME_BYTES, other).correlate(scan, items).exists()


# --- within a transaction ------------------------------------------------------------------------


def by_ids(connection: Connection, ids: Collection[int]) -> dict[int, CorrectionRow]:
    """Corrections by their numbers."""
    wanted = select(correction).where(correction.c.id.in_(sql.these(ids)))
    return {row.id: _row(row) for row in connection.execute(wanted)}


@reads
def of_bytes(connection: Connection, sha256: str | None, page: int) -> list[CorrectionRow]:
    """All that was said of some bytes, withdrawn or not, the latest last."""
    if sha256 is None:
        return []
    mine = and_(correction.c.sha256 == sha256, correction.c.page == page)
    rows = connection.execute(select(correction).where(mine).order_by(correction.c.id))
    return [_row(row) for row in rows]


@reads
def standing(connection: Connection, sha256: str, page: int) -> CorrectionRow | None:
    """The correction that counts for some bytes; of a film, the latest change."""
    return counting(of_bytes(connection, sha256, page), None)


@reads
def of_film(connection: Connection, number: int) -> dict[int, CorrectionRow]:
    """What counted of a film's frames when *number* was its latest change; 0: nothing."""
    row = by_ids(connection, [number]).get(number)
    return {} if row is None else of_frames(of_bytes(connection, row.sha256, row.page), number)


def of_frames(rows: Iterable[CorrectionRow], number: int) -> dict[int, CorrectionRow]:
    """What counted of a film's frames when *number* was its latest change.

    Args:
        rows: All that was said of the film, the latest last.
        number: Of a correction, or of a withdrawal.

    Returns:
        By the number of the frame.
    """
    known = [row for row in rows if row.id <= number]
    gone = {row.parent_id for row in known if row.is_withdrawal}
    return {
        row.frame: row
        for row in known
        if row.frame is not None and not row.is_withdrawal and row.id not in gone
    }


def counting(rows: Sequence[CorrectionRow], frame: int | None) -> CorrectionRow | None:
    """What counts now: for a scan, or for a frame of a film.

    Args:
        rows: All that was said of their bytes, the latest last.
        frame: The frame; None for a scan.
    """
    if frame is not None:
        return of_frames(rows, rows[-1].id).get(frame) if rows else None
    return next((row for row in reversed(rows) if row.withdrawn_at is None), None)


def said_otherwise(connection: Connection, shots: Iterable[ShotRow], number: int) -> list[int]:
    """The shots, by their ids, for whose frames something else counts by now than they were told.

    Args:
        connection: To the ledger.
        shots: Of one film; those that are kept grey are told nothing.
        number: Of the film's latest change.
    """
    others = [one for one in shots if one.correction_id != number and not one.is_grey]
    known = by_ids(connection, {number, *(one.correction_id for one in others)} if others else ())
    rows = next((of_bytes(connection, one.sha256, one.page) for one in known.values()), [])
    now = of_frames(rows, number)

    def differs(one: ShotRow) -> bool:
        before = of_frames(rows, one.correction_id)
        return any(
            before.get(frame) != now.get(frame) for frame in {*before, *now} if one.looks_at(frame)
        )

    return [one.id for one in others if differs(one)]


@writes
def correct(connection: Connection, new: NewCorrection) -> CorrectionRow:
    """Record what a person said of a scan's colours.

    It counts from now on, for all scans of these bytes and under every recipe. Whoever is just
    colouring them does it once more; what is done already waits for an order (`list_corrected`).

    Raises:
        UsageError: No scan is known there, nobody has read it yet, or it has no such frame.
        CorrectedMeanwhile: *seen* is not the correction that counts now.
    """
    row = _lock_scan(connection, new.uri)
    _check_frame(new, row.frames)
    before = counting(of_bytes(connection, row.sha256, row.page), new.frame)
    if new.seen is not None and new.seen != (before.id if before else 0):
        raise CorrectedMeanwhile(before)
    made = connection.execute(
        insert(correction)
        .values(
            scan_id=row.id,
            sha256=row.sha256,
            page=row.page,
            frame=new.frame,
            said=dict(new.said),
            parent_id=before.id if before else None,
            who=sql.storable(new.who),
            note=sql.storable(new.note),
            made_at=sql.now(),
        )
        .returning(correction)
    ).one()
    scope = {"uri": uri_of(row.url, row.key, row.page), "correction": made.id}
    if new.frame is not None:
        scope["frame"] = new.frame
    record(connection, DecisionKind.CORRECT, who=new.who, why=new.note, scope=scope)
    _take_from_workers(connection, row.sha256, row.page, new.who)
    return _row(made)


@writes
def withdraw(connection: Connection, correction_id: int, *, who: str, why: str) -> CorrectionRow:
    """Let a correction count no more: what it was made over does again.

    Raises:
        UsageError: There is none of that number, or it is withdrawn.
    """
    wanted = select(correction).where(correction.c.id == correction_id).with_for_update()
    found = connection.execute(wanted).first()
    if found is None:
        raise UsageError(f"there is no correction {correction_id}; `autochrome item` lists them")
    if not found.said:
        raise UsageError(f"number {correction_id} is a withdrawal; say again what was withdrawn")
    if found.withdrawn_at is not None:
        raise UsageError(f"correction {correction_id} was withdrawn by {found.withdrawn_by}")
    values = {
        "withdrawn_by": sql.storable(who),
        "withdrawn_at": sql.now(),
        "withdrawn_why": sql.storable(why),
    }
    mine = update(correction).where(correction.c.id == correction_id).values(values)
    row = connection.execute(mine.returning(correction)).one()
    if row.frame is not None:
        same = {name: row._mapping[name] for name in ("scan_id", "sha256", "page", "frame")}
        change = {"said": {}, "parent_id": row.id, "who": values["withdrawn_by"], "note": ""}
        connection.execute(insert(correction).values(**same, **change, made_at=sql.now()))
    scope = {"correction": correction_id, "withdrawn": True}
    record(connection, DecisionKind.CORRECT, who=who, why=why, scope=scope)
    _take_from_workers(connection, row.sha256, row.page, who)
    return _row(row)


def _check_frame(new: NewCorrection, frames: int | None) -> None:
    """See that a frame is named where there are several, and only there."""
    if frames is None and new.frame is not None:
        raise UsageError(f"{new.uri} is no film: leave the frame out")
    if frames is not None and new.frame is None:
        raise UsageError(f"{new.uri} is a film: say which frame this is about, 0 to {frames - 1}")
    if frames is not None and not 0 <= (new.frame or 0) < frames:
        raise UsageError(f"{new.uri} has frames 0 to {frames - 1}, and no frame {new.frame}")


def _lock_scan(connection: Connection, uri: str) -> Row[Any]:
    found = connection.execute(
        select(scan.c.id, scan.c.sha256, scan.c.page, scan.c.key, scan.c.frames, store.c.url)
        .join(store, store.c.id == scan.c.store_id)
        .where(one_file_at(connection, uri))
        .order_by(scan.c.page)
        .limit(1)
        .with_for_update(of=scan)
    ).first()
    if found is None:
        raise UsageError(f"no scan is known at {uri}; `autochrome discover` finds new ones")
    if found.sha256 is None:
        raise UsageError(f"{uri} was not read yet; colour it first, with `autochrome run`")
    return found


def _take_from_workers(connection: Connection, sha256: str, page: int, who: str) -> None:
    """Whoever colours these bytes just now does so by what was said before: not counted."""
    theirs = select(scan.c.id).where(
        scan.c.id == item.c.scan_id, scan.c.sha256 == sha256, scan.c.page == page
    )
    being_done = and_(CLAIMED, theirs.correlate(item).exists())
    said = f"{who} has corrected it meanwhile"
    uncount(connection, being_done, AttemptEnding.REVOKED, detail=said)


def _row(row: Row[Any]) -> CorrectionRow:
    return sql.record(CorrectionRow, row)
