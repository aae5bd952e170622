"""References in the ledger: recorded, withdrawn, frozen into sets; who saw which."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    insert,
    or_,
    select,
    true,
    update,
)

from tasks.errors import UsageError
from tasks.ledger import refusals, sql
from tasks.ledger.changes import ensure_store
from tasks.ledger.engine import reads, writes
from tasks.ledger.filters import one_file_at
from tasks.ledger.reference_records import (
    Certainty,
    Description,
    Exposure,
    NewReference,
    ReferenceKind,
    ReferenceRow,
    ReferenceSetRow,
    Split,
    TrainingVerdict,
    Witness,
)
from tasks.ledger.uris import uri_of
from tasks.schema import (
    champion,
    checkpoint,
    item,
    reference,
    reference_set,
    reference_set_member,
    scan,
    store,
    training,
)

_DESCRIBED = ("rights", "citation", "date", "place", "curator", "note")


@writes
def add_reference(connection: Connection, new: NewReference, *, who: str) -> ReferenceRow | None:
    """Record a reference; None where one of the same bytes is on record already."""
    values = _values(connection, new, who)
    added = sql.insert_or(connection, reference).values(values).on_conflict_do_nothing()
    if not sql.affected(connection, added):
        return None
    return _row(connection.execute(_select().where(reference.c.sha256 == new.sha256)).one())


@reads
def list_references(
    connection: Connection,
    *,
    withdrawn: bool | None = False,
    collection: str | None = None,
    digests: Collection[str] | None = None,
) -> list[ReferenceRow]:
    """References in the order in which they came.

    Args:
        connection: To the ledger.
        withdrawn: Only those that are, or are not; None: all.
        collection: Only those of this collection.
        digests: Only the files of these sha256, a few.
    """
    conditions: list[ColumnElement[bool]] = [true()]
    if withdrawn is not None:
        gone = reference.c.withdrawn_at.is_not(None)
        conditions.append(gone if withdrawn else ~gone)
    if collection is not None:
        conditions.append(reference.c.collection == collection)
    if digests is not None:
        conditions.append(reference.c.sha256.in_(list(digests)))
    wanted = _select().where(and_(*conditions)).order_by(reference.c.id)
    return [_row(row) for row in connection.execute(wanted)]


@reads
def latest_references(  # noqa: PLR0913 - what a page filters by
    connection: Connection,
    *,
    before: int | None = None,
    limit: int,
    withdrawn: bool | None = False,
    set_id: int | None = None,
    with_held: bool = True,
) -> list[ReferenceRow]:
    """References, the latest first, before one of them.

    Args:
        connection: To the ledger.
        before: Only earlier ones than this.
        limit: At most so many.
        withdrawn: Only those that are, or are not; None: all.
        set_id: Only those of this frozen set.
        with_held: Those of scans that are held, too.
    """
    wanted = _select().order_by(reference.c.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(reference.c.id < before)
    if withdrawn is not None:
        gone = reference.c.withdrawn_at.is_not(None)
        wanted = wanted.where(gone if withdrawn else ~gone)
    if set_id is not None:
        member = reference_set_member
        mine = select(member.c.reference_id).where(member.c.reference_set_id == set_id)
        wanted = wanted.where(reference.c.id.in_(mine))
    if not with_held:
        wanted = wanted.where(~_is_of_held())
    return [_row(row) for row in connection.execute(wanted)]


@reads
def find_reference(connection: Connection, named: str, *, with_held: bool = True) -> ReferenceRow:
    """A reference by its number, or by the beginning of its digest.

    Args:
        connection: To the ledger.
        named: Either of them.
        with_held: Also one of a scan that is held.

    Raises:
        UsageError: There is none, or more than one.
    """
    by_id = reference.c.id == int(named) if named.isdecimal() and len(named) < 10 else None
    by_digest = reference.c.sha256.startswith(named, autoescape=True)
    condition = by_digest if by_id is None else by_id
    wanted = _select().where(condition, true() if with_held else ~_is_of_held())
    rows = connection.execute(wanted.limit(2)).all()
    if len(rows) != 1:
        found = "more than one reference begins" if rows else "there is no reference"
        raise UsageError(f"{found} {named!r}; `autochrome references list` shows them")
    return _row(rows[0])


def _is_of_held() -> ColumnElement[bool]:
    """On `reference`: it shows a scan that is held, in colour or as we coloured it."""
    corrected = select(item.c.scan_id).where(item.c.id == reference.c.corrects_item_id)
    is_shown = or_(scan.c.id == reference.c.scan_id, scan.c.id.in_(corrected))
    return select(scan.c.id).where(is_shown, refusals.is_held()).correlate(reference).exists()


@writes
def withdraw_references(connection: Connection, ids: Collection[int], *, who: str, why: str) -> int:
    """Take references out of all later sets; those that saw them stay on record. How many."""
    wanted = reference.c.id.in_(list(ids)) & reference.c.withdrawn_at.is_(None)
    withdrawn = update(reference).where(wanted)
    values = {
        "withdrawn_by": sql.storable(who),
        "withdrawn_at": sql.now(),
        "withdrawn_why": sql.storable(why),
    }
    return sql.affected(connection, withdrawn.values(values))


@writes
def freeze_set(
    connection: Connection, members: Sequence[ReferenceRow], *, who: str
) -> ReferenceSetRow:
    """Freeze a list of references under its digest; the same list is the same set again."""
    lines = sorted(f"{member.sha256} {member.split}" for member in members)
    digest = sha256("\n".join(lines).encode()).hexdigest()
    frozen = sql.insert_or(connection, reference_set).values(
        digest=digest, frozen_at=sql.now(), frozen_by=sql.storable(who)
    )
    is_new = sql.affected(connection, frozen.on_conflict_do_nothing())
    row = connection.execute(select(reference_set).where(reference_set.c.digest == digest)).one()
    if is_new and members:
        of_set = [
            {"reference_set_id": row.id, "reference_id": member.id, "role": member.split.value}
            for member in members
        ]
        connection.execute(insert(reference_set_member), of_set)
    return _set_row(connection, row)


@reads
def known_to_trainings(connection: Connection) -> frozenset[int]:
    """The references that a fine-tuning has learnt from which came to a verdict on its challenger.

    What a failed one saw counts as new still.
    """
    concluded = training.c.verdict.in_([TrainingVerdict.PROMOTED, TrainingVerdict.KEPT])
    seen = (
        select(reference_set_member.c.reference_id)
        .join(training, training.c.reference_set_id == reference_set_member.c.reference_set_id)
        .where(concluded, reference_set_member.c.role == Split.TRAIN)
        .distinct()
    )
    return frozenset(connection.execute(seen).scalars())


@reads
def find_item(connection: Connection, named: str) -> tuple[int, int] | None:
    """The item that a person names by its number or its scan's URI, and its scan: (item, scan).

    Of a file's pages the first is meant, of a scan's items the latest. None where there is none.

    Raises:
        UsageError: The URI is that of many scans, a folder or a pattern, or of no source.
    """
    mine = item.c.id == int(named) if named.isdecimal() else one_file_at(connection, named)
    wanted = select(item.c.id, item.c.scan_id).join(scan, scan.c.id == item.c.scan_id)
    latest = wanted.where(mine).order_by(scan.c.page, item.c.id.desc()).limit(1)
    row = connection.execute(latest).first()
    return None if row is None else (row.id, row.scan_id)


@reads
def find_scan(connection: Connection, uri: str) -> int | None:
    """The scan at *uri*; None where none is known there."""
    found = select(scan.c.id).where(one_file_at(connection, uri)).order_by(scan.c.page).limit(1)
    return connection.execute(found).scalar_one_or_none()


def _select() -> Select[Any]:
    source = store.alias("source")
    return (
        select(
            reference,
            store.c.url.label("store_url"),
            source.c.url.label("source_url"),
            scan.c.key.label("scan_key"),
            scan.c.page,
        )
        .join(store, store.c.id == reference.c.store_id)
        .outerjoin(scan, scan.c.id == reference.c.scan_id)
        .outerjoin(source, source.c.id == scan.c.store_id)
    )


def _values(connection: Connection, new: NewReference, who: str) -> dict[str, Any]:
    described = new.described
    return {
        "store_id": ensure_store(connection, new.store),
        "key": new.key,
        "origin": sql.storable(new.origin),
        "collection": sql.storable(new.collection),
        "sha256": new.sha256,
        "size_bytes": new.size_bytes,
        "width": new.width,
        "height": new.height,
        "split": new.split,
        "phash": new.phash,
        "kind": described.kind,
        "certainty": described.certainty,
        **{name: sql.storable(getattr(described, name)) for name in _DESCRIBED},
        "delivery": new.delivery,
        "vouched": new.vouched,
        "scan_id": new.scan_id,
        "corrects_item_id": new.corrects_item_id,
        "added_by": sql.storable(who),
        "added_at": sql.now(),
    }


def _row(row: Row[Any]) -> ReferenceRow:
    return sql.record(
        ReferenceRow,
        row,
        store=row.store_url,
        split=Split(row.split),
        described=Description(
            kind=ReferenceKind(row.kind),
            certainty=Certainty(row.certainty),
            **{name: getattr(row, name) for name in _DESCRIBED},
            scan=uri_of(row.source_url, row.scan_key, row.page) if row.scan_id else "",
            corrects=str(row.corrects_item_id or ""),
        ),
    )


def _set_row(connection: Connection, row: Row[Any]) -> ReferenceSetRow:
    members = connection.execute(
        select(reference_set_member.c.reference_id, reference_set_member.c.role)
        .where(reference_set_member.c.reference_set_id == row.id)
        .order_by(reference_set_member.c.reference_id)
    ).all()
    return ReferenceSetRow(
        id=row.id,
        digest=row.digest,
        train=tuple(one.reference_id for one in members if one.role == Split.TRAIN),
        evaluation=tuple(one.reference_id for one in members if one.role == Split.EVALUATION),
        frozen_at=row.frozen_at,
    )


@reads
def witnesses_of(connection: Connection, reference_id: int) -> list[Witness]:
    """Every checkpoint that saw a reference, and how: itself, or through one it descends from."""
    # Trainings in their order: a parent's comes before those of its descendants.
    saw = connection.execute(
        select(training.c.id, training.c.parent_id, training.c.challenger_id, _role(reference_id))
        .where(training.c.challenger_id.is_not(None))
        .order_by(training.c.id)
    ).all()
    exposed: dict[int, tuple[Exposure, int]] = {}
    for row in saw:
        exposure = _exposure(row.role, exposed.get(row.parent_id))
        if exposure is not None and exposed.get(row.challenger_id, (None,))[0] != Exposure.LEARNT:
            exposed[row.challenger_id] = (exposure, row.id)
    names = {row.id: row for row in connection.execute(_checkpoints(exposed))}
    in_service = set(connection.execute(select(champion.c.checkpoint_id)).scalars())
    return [
        Witness(
            digest=names[checkpoint_id].digest,
            name=names[checkpoint_id].name,
            exposure=exposure,
            training_id=training_id,
            is_champion=checkpoint_id in in_service,
        )
        for checkpoint_id, (exposure, training_id) in exposed.items()
    ]


def _role(reference_id: int) -> ColumnElement[Any]:
    member = reference_set_member
    return (
        select(member.c.role)
        .where(
            member.c.reference_set_id == training.c.reference_set_id,
            member.c.reference_id == reference_id,
        )
        .scalar_subquery()
        .label("role")
    )


def _exposure(role: str | None, of_parent: tuple[Exposure, int] | None) -> Exposure | None:
    if role == Split.TRAIN:
        return Exposure.LEARNT
    if of_parent is not None and of_parent[0] in {Exposure.LEARNT, Exposure.INHERITED}:
        return Exposure.INHERITED
    return Exposure.JUDGED if role == Split.EVALUATION else None


def _checkpoints(ids: Mapping[int, object]) -> Select[Any]:
    return select(checkpoint.c.id, checkpoint.c.digest, checkpoint.c.name).where(
        checkpoint.c.id.in_(list(ids))
    )
