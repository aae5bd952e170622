"""Manifests: CSV files in which curators describe their references, a row each."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from tasks.errors import UsageError
from tasks.ledger.reference_records import Certainty, Description, ReferenceKind

#: What a manifest's columns may be called; `file` alone is needed.
COLUMNS = ("file", *(field.name for field in fields(Description)))
#: Other names for them.
_ALSO = {"path": "file", "class": "kind", "licence": "rights", "license": "rights", "url": "file"}


@dataclass(frozen=True)
class Described:
    """A file as a manifest names it, and what is said of it; *wrong* says what cannot be."""

    file: str
    description: Description
    wrong: str = ""


def read_manifest(text: str, *, name: str, default: Description) -> list[Described]:
    """Read a manifest.

    Args:
        text: Its content, UTF-8 with or without a byte order mark.
        name: For messages.
        default: What is said of those of which a row says nothing.

    Raises:
        UsageError: It has no column `file`, or one that no manifest has.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    columns = [_column(column or "") for column in reader.fieldnames or ()]
    unknown = [column for column in columns if column not in COLUMNS]
    if "file" not in columns or unknown:
        said = f"has no column {unknown[0]!r}" if unknown else "needs a column `file`"
        raise UsageError(f"{name}: a manifest {said}; it has: {', '.join(COLUMNS)}")
    reader.fieldnames = columns
    return [_described(row, default) for row in reader if (row.get("file") or "").strip()]


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


def _described(
    row: Mapping[str | None, str | Sequence[str] | None], default: Description
) -> Described:
    said = {
        name: value.strip()
        for name, value in row.items()
        if isinstance(name, str) and isinstance(value, str)
    }
    file = said.pop("file")
    if None in row:
        return Described(file, default, "its row has more fields than the manifest has columns")
    try:
        return Described(file, describe(default, said))
    except UsageError as error:
        return Described(file, default, str(error))


def _column(name: str) -> str:
    plain = name.strip().lower()
    return _ALSO.get(plain, plain)
