"""Manifests: CSV files in which curators describe their references, a row each."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from tasks.errors import UsageError
from tasks.ledger.reference_records import Certainty, Description, ReferenceKind
from tasks.spreadsheets import Row, read_table

#: What a manifest's columns may be called; `file` alone is needed.
COLUMNS = ("file", *(field.name for field in fields(Description)))
#: What the ledger tells besides when references are exported; passed over when they come back.
EXPORTED = ("id", "split", "sha256", "collection", "origin", "added_by", "added_at", "withdrawn")
#: Other names for them.
_ALSO = {"path": "file", "class": "kind", "licence": "rights", "license": "rights", "url": "file"}


@dataclass(frozen=True)
class ManifestEntry:
    """A file as a manifest names it, and what is said of it; *wrong* says what cannot be."""

    file: str
    description: Description
    wrong: str = ""


def read_manifest(content: bytes, *, name: str, default: Description) -> list[ManifestEntry]:
    """Read a manifest.

    Args:
        content: The file, as any spreadsheet saves it.
        name: For messages.
        default: What is said of those of which a row says nothing.

    Raises:
        UsageError: It has no column `file`, or one that no manifest has.
    """
    table = read_table(content, name=name, column=lambda said: _ALSO.get(said, said))
    unknown = [column for column in table.columns if column not in (*COLUMNS, *EXPORTED)]
    if "file" not in table.columns or unknown:
        said = f"has no column {unknown[0]!r}" if unknown else "needs a column `file`"
        raise UsageError(f"{name}: a manifest {said}; it has: {', '.join(COLUMNS)}")
    return [_described(row, default) for row in table.rows if row.cells["file"]]


def describe(default: Description, said: Mapping[str, str]) -> Description:
    """Put what is said over what is said of all.

    Raises:
        UsageError: A class or certainty that there is not.
    """
    words: dict[str, object] = {name: text for name, text in said.items() if text}
    for name, kind in (("kind", ReferenceKind), ("certainty", Certainty)):
        if name in words:
            words[name] = _word(kind, name, said[name])
    return replace(default, **words)  # type: ignore[arg-type]  # names are COLUMNS


def _word(
    kind: type[ReferenceKind] | type[Certainty], name: str, text: str
) -> ReferenceKind | Certainty:
    plain = text.strip().lower().replace("-", "_").replace(" ", "_")
    for one in kind:
        if plain == one or plain.startswith(f"{one}_"):  # as in "period photograph"
            return one
    shown = {"kind": "class"}.get(name, name)
    raise UsageError(f"there is no {shown} {text!r}; there are {', '.join(kind)}")


def _described(row: Row, default: Description) -> ManifestEntry:
    said = {name: row.cells[name] for name in COLUMNS if name in row.cells}
    file = said.pop("file")
    if row.is_too_long:
        return ManifestEntry(file, default, "its row has more fields than the manifest has columns")
    try:
        return ManifestEntry(file, describe(default, said))
    except UsageError as error:
        return ManifestEntry(file, default, str(error))
