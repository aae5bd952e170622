"""References as a manifest again: what was said of each, and where its file is now."""

import csv
import io
from collections.abc import Iterable

from tasks.ledger.reference_records import ReferenceRow
from tasks.references.manifest import COLUMNS

_MORE = ("id", "split", "sha256", "collection", "origin", "added_by", "added_at", "withdrawn")


def to_manifest(rows: Iterable[ReferenceRow]) -> str:
    """A CSV file that `autochrome references add` takes, once its last columns are cut off."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*COLUMNS, *_MORE))
    for row in rows:
        writer.writerow(
            [
                f"{row.store}/{row.key}",
                *(str(getattr(row.described, name)) for name in COLUMNS[1:]),
                row.id,
                row.split,
                row.sha256,
                row.collection,
                row.origin,
                row.added_by,
                row.added_at.isoformat(timespec="seconds"),
                row.withdrawn_why or "",
            ]
        )
    return text.getvalue()
