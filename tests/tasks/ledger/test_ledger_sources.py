"""Sources that overlap: an object is one scan, whichever finds it, in whatever order."""

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.ledger import ItemFilter, Ledger
from tasks.ledger.uris import uri_given
from tasks.settings import Settings
from tasks.storage import Link, ObjectInfo, open_store
from tests.orders import enqueue
from tests.tasks.ledger.building import Listed, claim, finish_all, listing, recipe, statuses

OUTER = "s3://archive/in"
INNER = "s3://archive/in/box-7"
IN_OUTER = ["a.tif", "box-7/x.tif", "box-7/y.tif", "box-70/z.tif"]
IN_INNER = ["x.tif", "y.tif"]


def discover(ledger: Ledger, source: str) -> tuple[int, int, int]:
    """List one of the two: found, new, vanished."""
    keys = IN_OUTER if source == OUTER else IN_INNER
    found = ledger.record_listing(source, listing(keys), collection=source.rpartition("/")[2])
    return found.found, found.new, found.vanished


@pytest.mark.parametrize("first", [OUTER, INNER])
def test_an_object_of_two_sources_is_one_scan(ledger: Ledger, first: str) -> None:
    """Found by both, coloured once, held once; none of them takes the other's for vanished."""
    second = INNER if first == OUTER else OUTER
    new = discover(ledger, first)[1] + discover(ledger, second)[1]
    assert new == ledger.counts().scans == len(IN_OUTER)
    for source in (first, second, second, first):
        assert discover(ledger, source)[1:] == (0, 0)
    recipe_id = recipe(ledger)
    assert enqueue(ledger, recipe_id) == len(IN_OUTER)
    assert ledger.hold(ItemFilter(uri=f"{INNER}/x.tif"), who="c", why="rights") == 1
    assert ledger.hold(ItemFilter(uri=f"{OUTER}/box-7"), who="c", why="rights") == 1
    assert {one.key for one in claim(ledger, recipe_id).items} == {"a.tif", "box-70/z.tif"}


@pytest.mark.parametrize("first", [OUTER, INNER])
def test_what_is_gone_is_noticed_by_either(ledger: Ledger, first: str) -> None:
    """And what changed, too."""
    discover(ledger, first)
    discover(ledger, OUTER)
    left = [Listed(key) for key in IN_OUTER if key != "box-7/x.tif"]
    assert ledger.record_listing(OUTER, left, collection="in").vanished == 1
    again = [Listed("x.tif"), Listed("y.tif", etag="other")]
    found = ledger.record_listing(INNER, again, collection="box-7")
    assert (found.new, found.reappeared) == (0, 1)
    assert ledger.record_listing(INNER, again[:1], collection="box-7").vanished == 1
    assert (ledger.counts().scans, ledger.counts().vanished) == (len(IN_OUTER), 1)


def test_collections_do_not_go_to_and_fro(ledger: Ledger) -> None:
    """A source within another leaves scans that are known where they are."""
    discover(ledger, INNER)
    for source in (OUTER, INNER, OUTER):
        discover(ledger, source)
        assert ledger.counts(collections=["box-7"]).scans == len(IN_INNER)
        assert ledger.counts(collections=["in"]).scans == len(IN_OUTER) - len(IN_INNER)


def test_a_folder_by_another_name_is_the_same_source(ledger: Ledger, tmp_path: Path) -> None:
    """Through a link, at its root and below; what people type, too."""
    (tmp_path / "in" / "box 7").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for url in ((tmp_path / "link").as_uri(), (tmp_path / "in").as_uri()):
        ledger.record_listing(url, listing(["box 7/x.tif"]), collection="in")
    inner = (tmp_path / "in" / "box 7").as_uri()
    ledger.record_listing(inner, listing(["x.tif"]), collection="box 7")
    assert ledger.counts().scans == 1
    for name in ("link", "in"):
        uri = f"file://{tmp_path}/{name}/box 7/x.tif"
        assert ledger.get_story(uri).scan.key == "box 7/x.tif"
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    finish_all(ledger, claim(ledger, recipe_id))
    chosen = ItemFilter(uri=f"file://{tmp_path}/in/box 7")
    assert ledger.reject(chosen, who="curator", why="no") == 1
    assert statuses(ledger, recipe_id) == {"rejected": 1}


def test_names_that_only_begin_alike_are_apart(ledger: Ledger) -> None:
    """A folder is one to its slash."""
    for source in ("s3://archive/in", "s3://archive/in2", "s3://archive/i"):
        assert ledger.record_listing(source, listing(["a.tif"]), collection="c").new == 1


def test_what_lies_behind_a_link_is_known_by_both_names(ledger: Ledger, tmp_path: Path) -> None:
    """A folder and a file elsewhere, held, found and named by what the links lead to."""
    away = tmp_path / "away"
    source, found = _linked(tmp_path, away)
    ledger.record_listing(source, found, collection="in")
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    for name in (f"{away}/box 7/x.tif", f"{away}/letter.tif", f"{away}/*/y.tif"):
        assert ledger.hold(ItemFilter(uri=uri_given(name)), who="c", why="rights") == 1, name
    assert ledger.hold(ItemFilter(uri=away.as_uri()), who="d", why="rights") == 1
    uri = uri_given(f"{away}/letter.tif")
    assert ledger.get_story(uri).scan.key == "l.tif"
    assert {one.key for one in claim(ledger, recipe_id).items} == {"own.tif"}
    assert ledger.release(ItemFilter(uri=uri), who="c", why="cleared") == 1


def test_a_place_that_is_held_is_held_behind_a_link(ledger: Ledger, tmp_path: Path) -> None:
    """Whether it is found later, or a link is made to lead there."""
    away = tmp_path / "away"
    source, found = _linked(tmp_path, away)
    ledger.hold(ItemFilter(uri=uri_given(f"{away}/box 7")), who="c", why="rights")
    ledger.record_listing(source, found, collection="in")
    recipe_id = recipe(ledger)
    enqueue(ledger, recipe_id)
    assert statuses(ledger, recipe_id) == {"held": 3, "pending": 2}
    led_there = replace(found[-1], link=Link("own.tif", f"{away}/box 7/own.tif"))
    ledger.record_listing(source, [*found[:-1], led_there], collection="in")
    assert statuses(ledger, recipe_id) == {"held": 4, "pending": 1}


def _linked(tmp_path: Path, away: Path) -> tuple[str, list[ObjectInfo]]:
    """A source with links to a folder and a file elsewhere; its address, and what is found."""
    for folder in (tmp_path / "in", away / "box 7"):
        folder.mkdir(parents=True)
    for name in ("box 7/x.tif", "box 7/y.tif", "box 7/z.tif", "letter.tif"):
        (away / name).write_bytes(b"II*")
    (tmp_path / "in" / "own.tif").write_bytes(b"II*")
    (tmp_path / "in" / "box").symlink_to(away / "box 7")
    (tmp_path / "in" / "l.tif").symlink_to(away / "letter.tif")
    store = open_store(str(tmp_path / "in"), settings=Settings())
    return store.url, [*store.list_objects()]
