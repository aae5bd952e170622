"""Names: each has one URI, and what is shown can be given back."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import UsageError
from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.pages import add_pages
from tasks.ledger.uris import quoted, read_name, root_of, uri_given, uri_of, uri_of_path
from tasks.storage.keys import key_from_name
from tests.orders import enqueue
from tests.tasks.ledger.building import SOURCE, listing, recipe

NAMES = [
    b"plain.tif",
    b"latin1-\xe9t\xe9.jpg",
    b"scan#page=2",
    b"scan.tif#page=2",
    b"scan.tif",
    b"100%.tif",
    b"a%20b.tif",
    b"a b.tif",
    b"%2A.tif",
    b"*.tif",
    b"?.tif",
    b"[1].tif",
    b"line\nfeed.tif",
    b"\x1b[2Jescape.tif",
    b"tab\t.tif",
    b" ends with spaces ",
    b"-rf",
    b"=1+2.tif",
    b"'quote\".tif",
    b"back\\slash.tif",
    "é composed.tif".encode(),
    "e\u0301 decomposed.tif".encode(),
    "\u202egpj.tif".encode(),
    "\u05d0\u05d1.tif".encode(),
    "写真 1.jpg".encode(),
    "private \uef41 \uefff.tif".encode(),
    "\U0001f600.tif".encode(),
    b"nul-like \xc0\x80.tif",
    b"~scans",
    b"#recycle?",
    b"a;b&c=d.tif",
    b"s3:x.tif",
]
KEYS = [key_from_name(name) for name in NAMES]
SOURCES = [
    SOURCE,
    "s3://archive/Boîte 12 #3/100%",
    Path("/my scans/Zürich #1").as_uri(),
    Path(os.fsdecode(b"/latin1-\xe9/*?")).as_uri(),
]


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_shown_can_be_given_back(ledger: Ledger, source: str) -> None:
    """Each name means its own scan and no other, and is text that anything can hold."""
    ledger.record_listing(source, listing(KEYS), collection="photographs")
    enqueue(ledger, recipe(ledger))
    rows = ledger.list_items(ItemFilter(), limit=99)
    assert len({row.uri for row in rows}) == len(KEYS)
    for row in rows:
        assert row.uri.isprintable()
        assert " " not in row.uri
        assert ledger.list_items(ItemFilter(uri=row.uri), limit=99) == [row]
        story = ledger.get_story(uri_given(row.uri))
        assert (story.scan.id, uri_of(source, story.scan.key)) == (row.scan_id, row.uri)


def test_names_as_they_are_typed(ledger: Ledger) -> None:
    """As they stand, where that is no other's URI."""
    ledger.record_listing(SOURCE, listing(KEYS), collection="photographs")
    for name, key in zip(NAMES, KEYS, strict=True):
        if name not in {b"a%20b.tif", b"%2A.tif"}:  # these are URIs of others
            typed = f"{SOURCE}/{os.fsdecode(name)}"
            assert ledger.get_story(uri_given(typed)).scan.key == key
    assert ledger.get_story(f"{SOURCE}/a%20b.tif").scan.key == "a b.tif"


def test_paths_as_they_are_typed(ledger: Ledger, tmp_path: Path) -> None:
    """Bytes and all; from the folder they lie in, too."""
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    ledger.record_listing(tmp_path.as_uri(), listing(KEYS), collection="photographs")
    enqueue(ledger, recipe(ledger))
    for name, key in zip(NAMES, KEYS, strict=True):
        given_ = uri_of_path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        assert given_ == uri_of(tmp_path.as_uri(), key)
        assert [ledger.get_story(given_).scan.key] == [key]
    pattern = uri_of_path(f"{tmp_path}/[1]*")
    assert len(ledger.list_items(ItemFilter(uri=pattern), limit=99)) == 1
    everything = uri_of_path(f"{tmp_path}/*")
    assert len(ledger.list_items(ItemFilter(uri=everything), limit=99)) == len(NAMES)


def test_a_page_of_a_file_whose_name_looks_like_one(ledger: Ledger, tmp_path: Path) -> None:
    """The file of that name comes first; its second page can be named, too."""
    ledger.record_listing(SOURCE, listing(["a.tif", "a.tif#page=2"]), collection="photographs")
    enqueue(ledger, recipe(ledger))
    for row in ledger.list_items(ItemFilter(), limit=9):
        add_pages(ledger, row.scan_id, 2)
    rows = ledger.list_items(ItemFilter(), limit=9)
    assert [row.uri for row in rows] == [
        f"{SOURCE}/a.tif",
        f"{SOURCE}/a.tif%23page=2",
        f"{SOURCE}/a.tif#page=2",
        f"{SOURCE}/a.tif%23page=2#page=2",
    ]
    for number, pages in [(0, [0, 2]), (1, [1, 3]), (2, [2]), (3, [3])]:
        found = ledger.list_items(ItemFilter(uri=rows[number].uri), limit=9)
        assert found == [rows[page] for page in pages]
    (tmp_path / "a.tif").touch()
    assert uri_of_path(f"{tmp_path}/a.tif#page=2") == f"file://{tmp_path}/a.tif#page=2"
    (tmp_path / "a.tif#page=2").touch()
    assert uri_of_path(f"{tmp_path}/a.tif#page=2") == f"file://{tmp_path}/a.tif%23page=2"


def test_a_wildcard_in_a_name_means_that_name(ledger: Ledger) -> None:
    """Whatever else it would match; escaped it never stands for many."""
    ledger.record_listing(
        SOURCE, listing(["box?.tif", "box1.tif", "box2.tif", "x/box1.tif"]), collection="p"
    )
    enqueue(ledger, recipe(ledger))

    def found(uri: str) -> list[str]:
        return [
            row.uri.removeprefix(SOURCE) for row in ledger.list_items(ItemFilter(uri=uri), limit=9)
        ]

    assert found(f"{SOURCE}/box?.tif") == ["/box%3F.tif"]
    assert found(f"{SOURCE}/box%3F.tif") == ["/box%3F.tif"]
    assert found(f"{SOURCE}/box%3*") == []
    assert found(f"{SOURCE}/?ox?.tif") == ["/box%3F.tif", "/box1.tif", "/box2.tif"]
    assert found(f"{SOURCE}/*%3F*") == ["/box%3F.tif"]


def test_accents_may_be_composed_or_not(ledger: Ledger) -> None:
    """Systems write the same name in two ways; the way it is known is found."""
    ledger.record_listing(SOURCE, listing(["e\u0301.tif", "\u00f6.tif"]), collection="p")
    assert ledger.get_story(f"{SOURCE}/\u00e9.tif").scan.key == "e\u0301.tif"
    assert ledger.get_story(f"{SOURCE}/o\u0308.tif").scan.key == "\u00f6.tif"
    mixed = "e\u0301/\u00f6/e\u0301.tif"
    ledger.record_listing("file:///Zu\u0308rich", listing([mixed]), collection="p")
    enqueue(ledger, recipe(ledger))
    for name in ("\u00e9/\u00f6/\u00e9.tif", "\u00e9/", "\u00e9/\u00f6", "\u00e9/\u00f6/\u00e9*"):
        found = ledger.list_items(ItemFilter(uri=f"file:///Z\u00fcrich/{name}"), limit=9)
        assert [read_name(row.uri) for row in found] == [f"file:///Zu\u0308rich/{mixed}"]
        assert len(ledger.list_items(ItemFilter(uri=name), limit=9)) == 1


def test_a_folder_is_no_scan(ledger: Ledger) -> None:
    """What is about one scan, its story or a correction, takes none of many; its pages are one."""
    ledger.record_listing(SOURCE, listing(["box/a.tif", "box/b.tif"]), collection="p")
    with pytest.raises(UsageError, match="names many scans"):
        ledger.get_story(f"{SOURCE}/box/")
    enqueue(ledger, recipe(ledger))
    add_pages(ledger, 1, 2)
    assert ledger.get_story(f"{SOURCE}/box/a.tif").scan.page == 0


def test_addresses_are_written_as_those_of_stores() -> None:
    """Schemes in capitals, this machine by its name."""
    assert uri_given("FILE://localhost/in/a.tif") == "file:///in/a.tif"
    assert uri_given("S3://bucket/Box/a.tif") == "s3://bucket/Box/a.tif"


def test_an_empty_name_is_no_folder() -> None:
    """`approve "$SCAN"` where that is not set must not publish all that lies in this folder."""
    with pytest.raises(UsageError, match="an empty name means no scan"):
        uri_given("")


def test_a_tilde_is_a_home_or_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a user who does not exist it is part of the name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert uri_of_path("./~scans") == f"file://{tmp_path}/~scans"
    assert uri_of_path("~no-such-user/a") == f"file://{tmp_path}/~no-such-user/a"
    assert uri_of_path("~/a.tif") == "file:///home/someone/a.tif"


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_every_name_has_one_uri(name: bytes) -> None:
    """And every URI its name."""
    key = key_from_name(name)
    assert quoted(key).isprintable()
    assert read_name(quoted(key)) == key
    assert root_of(uri_of("file:///x", key)) == f"file:///x/{key.rstrip('/')}/"
