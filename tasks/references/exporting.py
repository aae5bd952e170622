"""References as a manifest again: what was said of each, and where its file is now."""

from collections.abc import Iterable

from tasks.ledger.reference_records import ReferenceRow
from tasks.references.manifest import COLUMNS, EXPORTED
from tasks.spreadsheets import write_rows


def to_manifest(rows: Iterable[ReferenceRow]) -> str:
    """A CSV file that `autochrome references add` takes."""
    return "".join(write_rows([(*COLUMNS, *EXPORTED), *map(_cells, rows)]))


def _cells(row: ReferenceRow) -> tuple[object, ...]:
    return (
        f"{row.store}/{row.key}",
        *(getattr(row.described, name) for name in COLUMNS[1:]),
        row.id,
        row.split,
        row.sha256,
        row.collection,
        row.origin,
        row.added_by,
        row.added_at.isoformat(timespec="seconds"),
        row.withdrawn_why or "",
    )
