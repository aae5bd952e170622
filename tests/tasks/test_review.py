"""Reviews as CSV: out, filled in, in again."""

import csv
import io

import pytest

from tasks.errors import UsageError
from tasks.ledger import ItemFilter, ItemStatus, Ledger
from tasks.ledger.pages import add_pages
from tasks.review import carry_out, read_reviews, write_reviews
from tests.tasks.ledger.building import SOURCE, claim, enqueued, finish_all, statuses

WAITING = ItemFilter(statuses=[ItemStatus.REVIEW])


def waiting(ledger: Ledger, count: int) -> int:
    """A recipe with that many items in review."""
    recipe_id = enqueued(ledger, count)
    finish_all(ledger, claim(ledger, recipe_id))
    return recipe_id


def filled_in(ledger: Ledger, decisions: list[tuple[str, str, str, str]]) -> str:
    """The exported file with decision, reason, note and reviewer of its first rows."""
    rows = list(csv.DictReader(io.StringIO("".join(write_reviews(ledger, WAITING)))))
    for row, said in zip(rows, decisions, strict=False):
        row.update(zip(("decision", "reason", "note", "reviewer"), said, strict=True))
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def test_what_was_decided_in_a_file_is_carried_out_and_recorded(ledger: Ledger) -> None:
    """Each item's story names the reviewer, the reason and the note of its row."""
    recipe_id = waiting(ledger, 4)
    text = filled_in(
        ledger,
        [
            ("approve", "", "", "Mme B"),
            ("Reject", "wrong colours", "the sky is green", "M. A"),
            ("approved", "", "fine", ""),
        ],
    )
    reviews, undecided = read_reviews(ledger, text.encode(), name="r.csv", who="whoever")
    done = carry_out(ledger, reviews, undecided=undecided)
    assert (done.approved, done.rejected, done.undecided, done.passed_over) == (2, 1, 1, ())
    assert statuses(ledger, recipe_id) == {"published": 2, "rejected": 1, "review": 1}
    stories = [ledger.get_story(row.uri) for row in ledger.list_items(ItemFilter(), limit=9)]
    said = [[(d.who, d.why) for d in story.items[0].decisions] for story in stories]
    assert said == [
        [("Mme B", "")],
        [("M. A", "wrong colours: the sky is green")],
        [("whoever", "fine")],
        [],
    ]


def test_items_that_no_longer_wait_are_named(ledger: Ledger) -> None:
    """The rest of the file is carried out; the same file twice does nothing the second time."""
    waiting(ledger, 2)
    text = filled_in(ledger, [("approve", "", "", "B")] * 2)
    reviews, _ = read_reviews(ledger, text.encode(), name="r.csv", who="w")
    ledger.reject(ItemFilter(ids=[reviews[0].item_id]), who="A", why="first")
    assert carry_out(ledger, reviews).passed_over == (reviews[0].item_id,)
    again = carry_out(ledger, reviews)
    assert (again.approved, len(again.passed_over)) == (0, 2)


def test_the_name_of_a_file_means_its_first_page(ledger: Ledger) -> None:
    """As in what is exported: its other pages have names of their own."""
    recipe_id = enqueued(ledger, 1)
    held = claim(ledger, recipe_id)
    add_pages(ledger, held.items[0].scan_id, 3)
    finish_all(ledger, held)
    finish_all(ledger, claim(ledger, recipe_id))
    rows = csv.DictReader(io.StringIO("".join(write_reviews(ledger, WAITING))))
    text = "".join(f"{row['uri']},approve\n" for row in list(rows)[:2])
    reviews, _ = read_reviews(ledger, f"item,decision\n{text}".encode(), name="r.csv", who="w")
    assert [one.item_id for one in reviews] == [
        row.id for row in ledger.list_items(WAITING, limit=2)
    ]


def test_an_item_that_was_coloured_anew_since_is_not_what_was_seen(ledger: Ledger) -> None:
    """Neither approved nor rejected; a file without the column goes by the item."""
    recipe_id = waiting(ledger, 2)
    text = filled_in(ledger, [("approve", "", "", "B")] * 2)
    first = ledger.list_items(WAITING, limit=1)[0]
    ledger.redo(ItemFilter(ids=[first.id]), who="A", why="other bytes")
    finish_all(ledger, claim(ledger, recipe_id))
    reviews, _ = read_reviews(ledger, text.encode(), name="r.csv", who="w")
    done = carry_out(ledger, reviews)
    assert (done.approved, done.passed_over) == (1, (first.id,))
    assert statuses(ledger, recipe_id) == {"published": 1, "review": 1}
    short = f"item,decision\n{first.id},approve\n"
    reviews, _ = read_reviews(ledger, short.encode(), name="r.csv", who="w")
    assert carry_out(ledger, reviews).approved == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,maybe,,,", "line 3: 'maybe' is no decision"),
        ("999999,approve,,,", "line 3: there is no item '999999'"),
        (f"{2**70},approve,,,", "line 3: (there is no item|nothing has a number)"),
        ("file:///nowhere/a.tif,approve,,,", "line 3: no scans are known at"),
        (f"{SOURCE}/box/,approve,,,", "line 3: .* names many scans"),
        ("1,reject,,,", "line 3: item 1 is decided twice"),
    ],
)
def test_a_file_with_a_mistake_changes_nothing(ledger: Ledger, row: str, said: str) -> None:
    """It is read to its end before anything is done."""
    recipe_id = waiting(ledger, 2)
    text = f"item,decision,reason,note,reviewer\n1,approve,,,\n{row}\n"
    with pytest.raises(UsageError, match=said):
        read_reviews(ledger, text.encode(), name="r.csv", who="w")
    assert statuses(ledger, recipe_id) == {"review": 2}


def test_a_file_without_the_columns_is_refused(ledger: Ledger) -> None:
    """With what it needs."""
    with pytest.raises(UsageError, match="no column 'decision'"):
        read_reviews(ledger, b"item,what\n1,approve\n", name="r.csv", who="w")


@pytest.mark.parametrize(
    ("encoding", "separator"),
    [
        ("utf-8-sig", ";"),
        ("utf-16", "\t"),
        ("utf-16-le", ";"),
        ("utf-16-be", ","),
        ("utf-8", ","),
        ("utf-32", "|"),
    ],
)
def test_a_file_as_spreadsheets_of_other_countries_save_it_is_read(
    ledger: Ledger, encoding: str, separator: str
) -> None:
    """German Excel parts by semicolons, “Unicode text” is UTF-16 with tabs; words are kept."""
    waiting(ledger, 2)
    rows = [("Item", "Decision", "note", "reviewer"), ("1", "approve", "schön; ja, „so“", "Żółw")]
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    content = (mark + text.getvalue()).encode(encoding)
    (review,), _ = read_reviews(ledger, content, name="r.csv", who="w")
    assert (review.item_id, review.decision) == (1, "approve")
    assert (review.note, review.reviewer) == ("schön; ja, „so“", "Żółw")


def test_an_encoding_that_nothing_tells_is_asked_for(ledger: Ledger) -> None:
    """Guessing would write wrong words into the record."""
    waiting(ledger, 1)
    content = "item;decision;note\n1;reject;grün\n".encode("cp1252")
    with pytest.raises(UsageError, match=r"not in utf-8.*--encoding cp1252"):
        read_reviews(ledger, content, name="r.csv", who="w")
    (review,), _ = read_reviews(ledger, content, name="r.csv", who="w", encoding="cp1252")
    assert review.note == "grün"
    for none in ("klingon", "undefined"):
        with pytest.raises(UsageError, match=f"no encoding '{none}'"):
            read_reviews(ledger, content, name="r.csv", who="w", encoding=none)
    marked = b"\xef\xbb\xbfitem,decision\n1,reject\n"
    assert len(read_reviews(ledger, marked, name="r.csv", who="w", encoding="utf-8")[0]) == 1


@pytest.mark.parametrize(
    "head",
    ["sep=;\r\n", '"sep=;"\n', "sep=;;;;\n", "SEP=;\r", "\ufeffsep=;\n", "\n;;;\n", '"";;\n'],
)
def test_what_programs_write_before_the_header_is_passed_over(ledger: Ledger, head: str) -> None:
    """Excel's line that names the separator, as others save it again, and rows without a word."""
    waiting(ledger, 1)
    content = f'{head}item;decision;"note, as it is, in short"\n1;reject;a,b,c,d\n'
    (review,), _ = read_reviews(ledger, content.encode(), name="r.csv", who="w")
    assert (review.item_id, review.decision) == (1, "reject")


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n"])
def test_any_line_ends_are_read_and_what_is_no_table_is_named(ledger: Ledger, ends: str) -> None:
    """As an old Macintosh writes them, too; a line without an end is no header."""
    waiting(ledger, 2)
    content = ends.join(["item;decision;note", "1;approve;", '2;reject;"two', 'lines"', ""])
    reviews, _ = read_reviews(ledger, content.encode(), name="r.csv", who="w")
    assert [review.decision for review in reviews] == ["approve", "reject"]
    with pytest.raises(UsageError, match=r"r\.csv, line"):
        read_reviews(ledger, b"item" * 50_000, name="r.csv", who="w")


def test_of_two_columns_of_one_name_none_is_lost(ledger: Ledger) -> None:
    """A decision stands where either says it; two that differ are refused before any is made."""
    waiting(ledger, 1)
    item_id = ledger.list_items(WAITING, limit=1)[0].id
    head = "item,decision,decision\n"
    reviews, undecided = read_reviews(
        ledger, f"{head}{item_id},reject,\n".encode(), name="r.csv", who="w"
    )
    assert ([one.decision for one in reviews], undecided) == (["reject"], 0)
    with pytest.raises(UsageError, match="line 2: two columns 'decision' say"):
        read_reviews(ledger, f"{head}{item_id},reject,approve\n".encode(), name="r.csv", who="w")
