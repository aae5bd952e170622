"""Notes on a scan: sentences of which an item keeps some, a line each."""

from collections.abc import Iterable

from tasks.ledger import sql

#: An item keeps this many, each of this length: files can be odd in more ways than anyone reads.
MAX_NOTES = 20
MAX_LENGTH = 400


def lines_of(notes: Iterable[str]) -> str:
    """Notes as the ledger keeps them: each once, without control characters, not too many."""
    words = list(dict.fromkeys(" ".join(_shown(note).split()) for note in notes))
    kept = [note[:MAX_LENGTH] for note in words[:MAX_NOTES] if note]
    if len(words) > MAX_NOTES:
        kept[-1] = f"and {len(words) - MAX_NOTES + 1} more"
    return sql.storable("\n".join(kept))


def notes_in(lines: str | None) -> tuple[str, ...]:
    """Notes from what the ledger keeps."""
    return tuple((lines or "").splitlines())


def _shown(note: str) -> str:
    return "".join(char if char.isprintable() else " " for char in note)
