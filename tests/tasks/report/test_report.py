"""The morning report: complete, reconciled, self-contained, and safe whatever the archive holds."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from PIL import Image

from tasks.errors import Reason
from tasks.ledger.records import RunEnding
from tasks.report import (
    Backlog,
    Confidence,
    Found,
    ItemCounts,
    Picture,
    RecipeFacts,
    RunFacts,
    RunReport,
    Sample,
    Speed,
    Trouble,
    Urgency,
    needs_of,
    render_report,
    report_key,
)
from tasks.report.reasons import REASON_HELP, STATUS_HELP
from tasks.schema import ItemStatus
from tasks.storage.keys import is_storable

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&\u202e\x00\n"
STARTED = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
ENDED = STARTED + timedelta(hours=7)


def picture_bytes(media_type: str) -> bytes:
    """Make a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (12, 8), "teal").save(file, media_type)
    return file.getvalue()


def make_report() -> RunReport:
    """Make the report of a night in which most things happened."""
    return RunReport(
        title="The night of 22 November 2026",
        run=RunFacts(7, "2026-11-22 22:00", "nightly", STARTED, ENDED, RunEnding.COMPLETED),
        sources=("s3://scans",),
        output="s3://colour",
        recipe=RecipeFacts("default", "9f" * 32, "7e" * 32),
        found=Found(found=1000, new=20, changed=1),
        scans=1000,
        tonight=ItemCounts(
            {ItemStatus.PUBLISHED: 12, ItemStatus.REVIEW: 5, ItemStatus.QUARANTINED: 2},
            {Reason.LOW_CONFIDENCE: 5, Reason.TRUNCATED: 2},
        ),
        archive=ItemCounts(
            {ItemStatus.PUBLISHED: 900, ItemStatus.REVIEW: 45, ItemStatus.PENDING: 40,
             ItemStatus.QUARANTINED: 9},
            {Reason.LOW_CONFIDENCE: 45, Reason.TRUNCATED: 9},
        ),
        speed=Speed(19, 25_200.0, {"fetch": 1000.0, "infer": 9000.0}),
        troubles=(
            Trouble(
                ItemStatus.QUARANTINED, Reason.TRUNCATED, items=9, new=2,
                samples=(Sample("s3://scans/a.tif", "strip 14 of 220 ends early", 1),),
            ),
        ),
        noted=(Sample("s3://scans/b.tif", "Orientation is 9, which means nothing"),),
        confidence=Confidence(0.62, 0.64),
        backlog=Backlog(40, STARTED - timedelta(days=1), 53_000.0),
        pictures=(
            Picture("a.jpg", picture_bytes("JPEG"), picture_bytes("PNG"), ItemStatus.REVIEW, 0.4,
                    "https://example.org/a.jpg?X-Amz-Signature=1&b=2", Reason.LOW_CONFIDENCE),
        ),
    )  # fmt: skip


class Page(HTMLParser):
    """What stands in a page: its tags with their attributes, its text, and whether tags match."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, report: RunReport) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.source = forms(report)["index.html"]
        self.feed(self.source)
        self.close()
        assert self._open == [], "tags are left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that it closes the one opened last."""
        assert self._open.pop() == tag
        if tag in {"td", "th"}:
            self.text += " "

    def handle_data(self, data: str) -> None:
        """Collect what is read, less the style."""
        if self._open and self._open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all *tag* elements."""
        return [attributes for name, attributes in self.tags if name == tag]


def forms(report: RunReport) -> dict[str, str]:
    """Render all forms, by the last part of their key."""
    return {file.key.rpartition("/")[2]: file.content.decode() for file in render_report(report)}


def test_three_forms_of_one_report() -> None:
    """The page last: whoever finds it finds the others."""
    files = render_report(make_report())
    assert [file.key for file in files] == [
        "reports/2026-11-22 22:00-run7/report.csv",
        "reports/2026-11-22 22:00-run7/report.json",
        "reports/2026-11-22 22:00-run7/index.html",
    ]
    assert [file.key for file in files] == [
        report_key("2026-11-22 22:00", 7, form) for form in ("csv", "json", "html")
    ]
    assert [file.content_type.partition(";")[0] for file in files] == [
        "text/csv", "application/json", "text/html",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", "x" * 500, "..", HOSTILE])
def test_a_run_may_be_called_anything(name: str) -> None:
    """Its report stays under `reports/`."""
    key = report_key(name, 7, "html")
    assert key != report_key(name, 8, "html")
    assert key.startswith("reports/")
    assert key.count("/") == 2
    assert is_storable(key)


def test_the_page_tells_what_happened() -> None:
    """The figures, in words a person reads first."""
    text = " ".join(Page(make_report()).text.split())
    assert "17 pictures coloured. 2 matters need you." in text
    assert "9 scans quarantined, 2 new: truncated" in text
    assert "45 coloured pictures wait for a curator" in text
    assert "equals the 1,000 scans known: the counts reconcile" in text
    assert "s3://scans/a.tif" in text
    assert "machine’s guess" in text
    assert "22 November 2026, 22:00 UTC to 23 November 2026, 05:00 UTC, 7 h" in text
    assert "about 14 h 43 min of work" in text


def test_counts_reconcile_on_the_page_and_in_the_table() -> None:
    """Found = sum over statuses + what has no item yet, in both forms."""
    report = make_report()
    assert report.without_item == 6
    text = " ".join(Page(report).text.split())
    assert "no item yet is known, and not enqueued under this recipe 6" in text
    rows = list(csv.DictReader(io.StringIO(forms(report)["report.csv"].removeprefix("\ufeff"))))
    known = [row for row in rows if row["kind"] == "archive" and not row["reason"]]
    assert int(known[0]["items"]) == sum(int(row["items"]) for row in known[1:])


def test_counts_that_do_not_reconcile_are_shouted() -> None:
    """An item too many means that a promise is broken."""
    report = replace(make_report(), scans=990)
    first = needs_of(report)[0]
    assert first.urgency is Urgency.NOW
    assert "do not reconcile: 990 scans, 994 items" in first.what
    assert "the counts do not reconcile" in Page(report).text


def test_the_page_stands_alone() -> None:
    """No script, nothing loaded from elsewhere: it can be mailed, archived, and opened offline."""
    page = Page(make_report())
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base", "video"}
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    assert not any(name.startswith("on") for _, given in page.tags for name in given)
    assert "@import" not in page.source
    assert "url(" not in page.source
    policy = next(m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none';")


def test_the_page_can_be_read_without_eyes() -> None:
    """Language, alternative texts, headers of tables, labels of regions, one main heading."""
    page = Page(make_report())
    assert page.all("html") == [{"lang": "en"}]
    assert [image["alt"] for image in page.all("img")] == [
        "The scan, in greys: a.jpg",
        "The derivative, coloured by a machine: a.jpg",
    ]
    assert all(header.get("scope") in {"row", "col"} for header in page.all("th"))
    assert len(page.all("h1")) == 1
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    labelled = {given.get("aria-labelledby") for given in page.all("section")}
    assert labelled <= set(ids)


def luminance(colour: str) -> float:
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [("ink", "paper"), ("soft", "paper"), ("soft", "card"), ("link", "card"), ("ink", "code"),
     ("quarantined", "card"), ("mount-ink", "mount")],
)  # fmt: skip
def test_contrast(scheme: int, ink: str, ground: str) -> None:
    """WCAG's 4.5 to 1 for text, by day and by night."""
    roots = re.findall(r":root \{(.*?)\}", Page(make_report()).source, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", "".join(roots[: scheme + 1])))
    lighter, darker = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


SPOIL: dict[str, Callable[[RunReport], RunReport]] = {
    "title": lambda r: replace(r, title=HOSTILE),
    "run": lambda r: replace(r, run=replace(r.run, name=HOSTILE, kind=HOSTILE)),
    "detail": lambda r: replace(
        r, run=replace(r.run, ending=RunEnding.ABORTED, detail=f"`{HOSTILE}`")
    ),
    "places": lambda r: replace(r, sources=(HOSTILE,), output=HOSTILE),
    "recipe": lambda r: replace(r, recipe=RecipeFacts(HOSTILE, HOSTILE, HOSTILE)),
    "found": lambda r: replace(r, found=Found(incomplete=HOSTILE)),
    "sample": lambda r: replace(
        r, troubles=(replace(r.troubles[0], samples=(Sample(HOSTILE, HOSTILE),)),)
    ),
    "note": lambda r: replace(r, noted=(Sample(HOSTILE, HOSTILE),)),
    "picture": lambda r: replace(r, pictures=(replace(r.pictures[0], title=HOSTILE),)),
    "link": lambda r: replace(r, pictures=(replace(r.pictures[0], link=f"https://{HOSTILE}"),)),
    "script": lambda r: replace(r, pictures=(replace(r.pictures[0], link="javascript:alert(1)"),)),
    "stage": lambda r: replace(r, speed=Speed(1, 1.0, {HOSTILE: 1.0})),
}


def test_notes_are_told_in_every_form() -> None:
    """Of a few scans, with what was odd about them."""
    told = forms(make_report())
    for name in ("index.html", "report.csv", "report.json"):
        assert "Orientation is 9" in told[name], name


@pytest.mark.parametrize("field", SPOIL)
def test_nothing_from_the_archive_becomes_markup(field: str) -> None:
    """File names and messages are text, whatever is in them."""
    clean, page = Page(make_report()), Page(SPOIL[field](make_report()))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in clean.tags}
    assert not page.all("script")
    assert not any(name.startswith("on") for _, given in page.tags for name in given)
    assert not any((link["href"] or "").startswith("javascript") for link in page.all("a"))
    assert "\x00" not in page.source
    assert "\u202e" not in page.source  # turns the direction of what follows


def test_links_are_whole() -> None:
    """A signed address works as it was given."""
    (link,) = Page(make_report()).all("a")
    assert link["href"] == "https://example.org/a.jpg?X-Amz-Signature=1&b=2"


def test_a_picture_must_be_one() -> None:
    """Anything else would show as a broken image, and is a mistake of the caller."""
    report = make_report()
    with pytest.raises(ValueError, match="not JPEG, not PNG"):
        forms(replace(report, pictures=(replace(report.pictures[0], after=b"<svg>"),)))


def test_no_cell_is_a_formula() -> None:
    """A file may be called "=cmd|…": a spreadsheet must not run it."""
    report = make_report()
    trouble = replace(report.troubles[0], samples=(Sample("=cmd|' /C calc'!A0", "+1", 1),))
    text = forms(replace(report, troubles=(trouble,)))["report.csv"]
    assert text.startswith("\ufeff")
    cells = [cell for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"))) for cell in row]
    assert "'=cmd|' /C calc'!A0" in cells
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)


def test_the_json_holds_everything_but_the_pictures() -> None:
    """For programs, with what people are told."""
    content = json.loads(forms(make_report())["report.json"])
    assert content["archive"]["statuses"]["published"] == 900
    assert content["without_item"] == 6
    assert content["run"]["started_at"].startswith("2026-11-22")
    assert content["confidence"]["drift"] == pytest.approx(-0.02)
    assert content["needs"][0]["command"].startswith("autochrome ")
    assert set(content["pictures"][0]) == {"title", "status", "confidence", "link", "reason"}


def test_the_most_urgent_comes_first() -> None:
    """A run that stopped, then what is left behind, then what is good to know."""
    report = make_report()
    known = replace(report.troubles[0], reason=Reason.KILLED_WORKER, new=0)
    report = replace(
        report,
        run=replace(report.run, ending=RunEnding.ABORTED, detail="no database; start it"),
        troubles=(known, *report.troubles),
        confidence=Confidence(0.5, 0.7),
    )
    needs = needs_of(report)
    assert [need.urgency for need in needs] == ["now", "soon", "soon", "soon", "know"]
    assert needs[0].do == "no database; start it"
    assert "fell by 0.20" in needs[3].what
    assert "none of them new" in needs[4].what


def test_a_quiet_night_needs_nobody() -> None:
    """And says so, even if nothing at all was done."""
    quiet = replace(
        make_report(),
        found=Found(),
        scans=0,
        tonight=ItemCounts(),
        archive=ItemCounts(),
        speed=Speed(),
        troubles=(),
        confidence=Confidence(),
        backlog=Backlog(),
        pictures=(),
    )
    assert needs_of(quiet) == ()
    text = " ".join(Page(quiet).text.split())
    assert "0 pictures coloured. Nothing needs you." in text
    assert "Nothing was worked on." in text


def test_every_status_and_reason_is_explained() -> None:
    """Whoever adds one says what it means and what to do."""
    assert set(REASON_HELP) == set(Reason)
    assert set(STATUS_HELP) == set(ItemStatus)
    for entry in (*REASON_HELP.values(), *STATUS_HELP.values()):
        assert entry.means
        assert not entry.means.endswith(".")
        assert entry.do.endswith(".")


def test_every_status_has_a_colour() -> None:
    """In both schemes."""
    source = Page(make_report()).source
    for status in ItemStatus:
        assert len(re.findall(rf"--{status}: #", source)) == 2
