"""Reviews as CSV files: what waits for a curator goes out, what was decided comes in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.errors import UsageError
from tasks.ledger import ItemFilter, ItemRow, Ledger
from tasks.ledger.references import find_item
from tasks.spreadsheets import read_table, write_rows

COLUMNS = ("item", "decision", "reason", "note", "reviewer")
#: Written beside them, and read again where it is there: what the reviewer saw of the item.
SEEN = "seen"
#: Columns that help to decide and are not read again.
_SHOWN = ("uri", "status", "review_reason", "confidence")
_DECISIONS = {
    "approve": "approve", "approved": "approve", "reject": "reject", "rejected": "reject"
}  # fmt: skip
_AT_ONCE = 1000


@dataclass(frozen=True)
class Review:
    """What a reviewer decided about one item."""

    item_id: int
    decision: str
    reason: str
    note: str
    reviewer: str
    seen: str  #: as `ItemRow.seen`; empty: whatever it is now

    @property
    def why(self) -> str:
        """Reason and note, as the record has them."""
        return ": ".join(part for part in (self.reason, self.note) if part)


@dataclass(frozen=True)
class ReviewImport:
    """What became of a file of reviews."""

    approved: int
    rejected: int
    undecided: int  #: rows without a decision
    passed_over: tuple[int, ...]  #: items that no longer wait for review, or not as they were seen


def write_reviews(ledger: Ledger, chosen: ItemFilter) -> Iterable[str]:
    """Give a CSV file, line by line: a row for each item, its decision to be filled in."""
    yield from write_rows([(*COLUMNS, *_SHOWN, SEEN)])
    after_id = 0
    while rows := ledger.list_items(chosen, limit=_AT_ONCE, after_id=after_id):
        yield from write_rows((row.id, "", "", "", "", *_shown(row)) for row in rows)
        after_id = rows[-1].id


def read_reviews(
    ledger: Ledger, content: bytes, *, name: str, who: str, encoding: str | None = None
) -> tuple[list[Review], int]:
    """Read what was decided, and how many rows say nothing.

    Args:
        ledger: Knows the items.
        content: The file, as any spreadsheet saves it.
        name: For messages.
        who: The reviewer where a row names none.
        encoding: Of the file, where neither a byte order mark nor UTF-8 tells.

    Raises:
        UsageError: A column is missing, a row's item or decision does not exist, or an item stands
            there twice with different decisions. Nothing is changed then.
    """
    table = read_table(content, name=name, encoding=encoding)
    missing = {"item", "decision"} - set(table.columns)
    if missing:
        raise UsageError(f"{name}: has no column {sorted(missing)[0]!r}; it needs {COLUMNS}")
    reviews: dict[int, Review] = {}
    undecided = 0
    for row in table.rows:
        said = {column: row.cells.get(column, "") for column in (*COLUMNS, SEEN)}
        if not said["decision"]:
            undecided += 1
            continue
        where = f"{name}, line {row.number}"
        review = _review(ledger, said, where, who)
        if reviews.setdefault(review.item_id, review).decision != review.decision:
            raise UsageError(f"{where}: item {review.item_id} is decided twice")
    return list(reviews.values()), undecided


def carry_out(ledger: Ledger, reviews: Sequence[Review], *, undecided: int = 0) -> ReviewImport:
    """Approve and reject: a decision on record for each reviewer and reason.

    An item that was coloured anew since it was exported is not what the reviewer saw.
    """
    together: dict[tuple[str, str, str], dict[int, str]] = {}
    for review in reviews:
        key = (review.decision, review.reviewer, review.why)
        together.setdefault(key, {})[review.item_id] = review.seen
    moved = {"approve": 0, "reject": 0}
    passed_over: list[int] = []
    for (decision, who, why), seen in together.items():
        rows = ledger.list_items(ItemFilter(ids=list(seen)), limit=len(seen))
        waiting = [
            row.id for row in rows if row.status == "review" and seen[row.id] in {"", row.seen}
        ]
        move = {"approve": ledger.approve, "reject": ledger.reject}[decision]
        moved[decision] += move(ItemFilter(ids=waiting), who=who, why=why) if waiting else 0
        passed_over += sorted(set(seen) - set(waiting))
    return ReviewImport(moved["approve"], moved["reject"], undecided, tuple(passed_over))


def _review(ledger: Ledger, said: Mapping[str, str], where: str, who: str) -> Review:
    decision = _DECISIONS.get(said["decision"].lower())
    if decision is None:
        raise UsageError(f"{where}: {said['decision']!r} is no decision; write approve or reject")
    try:
        found = find_item(ledger, said["item"])
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    if found is None:
        raise UsageError(f"{where}: there is no item {said['item']!r}")
    return Review(
        found[0], decision, said["reason"], said["note"], said["reviewer"] or who, said[SEEN]
    )


def _shown(row: ItemRow) -> tuple[object, ...]:
    confidence = "" if row.confidence is None else f"{row.confidence:.3f}"
    return (row.uri, row.status, row.reason or "", confidence, row.seen)
