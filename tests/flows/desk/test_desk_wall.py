"""The wall: many at once, counted, confirmed, done as one decision, and taken back."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from tasks.batch.children import PixelPool
from tasks.ledger import ItemFilter, ItemStatus
from tasks.ledger.people import Role
from tasks.settings import Settings
from tests.desks import HTML, Curator, House, OpenHouse
from tests.workers import colour_missing


def fields_in(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes to *action*."""
    form = page.partition(f'action="{action}"')[2].partition("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form))


def statuses_of(house: House) -> dict[int, ItemStatus]:
    """Where every item stands."""
    return {row.id: row.status for row in house.ledger.list_items(ItemFilter(), limit=100)}


def ask(who: Curator, given: Mapping[str, object], query: str = "") -> tuple[int, dict[str, str]]:
    """Choose on the wall, and be asked: the answer's status, and the fields that confirm it."""
    page = who.client.get(f"/wall{query}", headers=HTML).text
    fields = fields_in(page, "/wall/confirm") | {k: str(v) for k, v in given.items()}
    answer = who.client.post("/wall/confirm", data=fields, headers=HTML)
    return answer.status_code, fields_in(answer.text, "/wall/decide")


@pytest.mark.parametrize(
    ("kind", "became"),
    [
        ("approve", ItemStatus.PUBLISHED),
        ("reject", ItemStatus.REJECTED),
        ("hold", ItemStatus.HELD),
    ],
)
def test_what_is_ticked_is_decided_at_once_and_taken_back(
    house: House, kind: str, became: ItemStatus
) -> None:
    """As many as were confirmed; one decision, with who and why; all are what they were after."""
    anna = house.signed_in("Anna")
    ids = house.ids()[:4]
    code, fields = ask(anna, {"item": ",".join(map(str, ids)), "kind": kind})
    assert (code, fields["confirmed"]) == (200, "4")
    assert set(statuses_of(house).values()) == {ItemStatus.REVIEW}  # it was only counted
    done = anna.client.post("/wall/decide", data=fields | {"why": "as one"}, headers=HTML)
    assert done.status_code == 303
    moved = {number for number, status in statuses_of(house).items() if status is became}
    assert moved == set(ids)
    page = anna.client.get(done.headers["location"], headers=HTML).text
    undo = fields_in(page, "/wall/undo")
    story = house.ledger.get_story(house.ledger.list_items(ItemFilter(ids=ids), limit=1)[0].uri)
    made = story.items[0].decisions[-1]
    assert (made.who, made.why, str(made.id)) == ("Anna", "as one", undo["decision"])
    back = anna.client.post("/wall/undo", data=undo, headers=HTML)
    assert back.status_code == 303
    said = anna.client.get(back.headers["location"], headers=HTML).text
    assert "4 scans are what they were before" in said
    assert set(statuses_of(house).values()) == {ItemStatus.REVIEW}


def test_a_whole_filter_is_decided(house: House) -> None:
    """All that it finds, and nothing else."""
    anna = house.signed_in("Anna")
    rows = house.ledger.list_items(ItemFilter(), limit=100)
    wanted = {row.id for row in rows if "box%201" in row.uri}
    folder = next(row.uri for row in rows if row.id in wanted).rpartition("/")[0]
    query = f"?within={quote(folder)}&most=1"
    code, fields = ask(anna, {"all": "1", "kind": "approve"}, query)
    assert (code, fields["confirmed"]) == (200, str(len(wanted)))
    assert anna.client.post("/wall/decide", data=fields, headers=HTML).status_code == 303
    moved = {n for n, status in statuses_of(house).items() if status is ItemStatus.PUBLISHED}
    assert moved == wanted
    assert 0 < len(moved) < len(rows)


def test_what_was_decided_meanwhile_is_counted_again(house: House) -> None:
    """Nothing is changed until the new count is confirmed."""
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben")
    _, fields = ask(anna, {"all": "1", "kind": "reject"})
    ben.decide(house.ids()[0], "approve")
    late = anna.client.post("/wall/decide", data=fields, headers=HTML)
    assert late.status_code == 409
    assert "you confirmed 6, and there are 5" in late.text
    assert ItemStatus.REJECTED not in statuses_of(house).values()
    again = fields_in(late.text, "/wall/decide")
    assert anna.client.post("/wall/decide", data=again, headers=HTML).status_code == 303
    assert list(statuses_of(house).values()).count(ItemStatus.REJECTED) == 5


def test_what_changed_after_the_page_was_made_is_left_alone(house: House) -> None:
    """It was not seen as it is now."""
    anna = house.signed_in("Anna")
    page = anna.client.get("/wall", headers=HTML).text
    item = house.ids()[0]
    made = anna.decide(item, "approve").json()["decision"]
    house.ledger.reject(ItemFilter(ids=[item], statuses=[ItemStatus.PUBLISHED]), who="a", why="")
    rejected = fields_in(page, "/wall/confirm") | {"status": "rejected", "item": str(item)}
    answer = anna.client.post("/wall/confirm", data=rejected | {"kind": "approve"}, headers=HTML)
    assert "Approve 0 scans" in answer.text
    # What somebody has decided about since is passed over by undo.
    back = anna.client.post(
        "/wall/undo", data={"csrf": anna.token, "decision": str(made)}, headers=HTML
    )
    assert back.headers["location"].endswith("undone=0-1")


def test_the_wall_goes_on_from_any_place(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page, each item once; the script asks for the same tiles alone."""
    monkeypatch.setattr("flows.desk.wall._TILES", 4)
    anna = house.signed_in("Anna")
    page = anna.client.get("/wall", headers=HTML).text
    first = re.findall(r'data-item="(\d+)"', page)
    onward = re.search(r'rel="next" href="([^"]+)"', page)
    assert onward
    url = onward[1].replace("&amp;", "&")
    rest = re.findall(r'data-item="(\d+)"', anna.client.get(url, headers=HTML).text)
    tiles = anna.client.get(url.replace("/wall?", "/wall/more?"), headers=HTML).text
    assert sorted(map(int, first + rest)) == house.ids()
    assert re.findall(r'data-item="(\d+)"', tiles) == rest
    assert "<html" not in tiles


def test_pictures_are_small(house: House) -> None:
    """JPEG, at most 320 pixels; of what has no derivative, the scan."""
    anna = house.signed_in("Anna", Role.RUN)
    for item in house.ids():
        answer = anna.client.get(f"/wall/pictures/{item}?at=1")
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8\xff")
    assert anna.client.get("/wall/pictures/999").status_code == 404


def test_roles_and_held_scans(house: House) -> None:
    """Who looks decides nothing; what is held is shown to whoever runs the archive."""
    lou, cleo = house.signed_in("Lou", Role.LOOK), house.signed_in("Cleo")
    rita = house.signed_in("Rita", Role.RUN)
    item = house.ids()[0]
    page = lou.client.get("/wall", headers=HTML).text
    assert 'data-kind="approve"' not in page
    for path in ("confirm", "decide", "undo"):
        data = {"csrf": lou.token, "item": str(item), "kind": "approve", "decision": "1"}
        assert lou.client.post(f"/wall/{path}", data=data, headers=HTML).status_code == 403
    cleo.decide(item, "hold", "rights")
    assert cleo.client.get("/wall?status=held", headers=HTML).status_code == 403
    assert cleo.client.get(f"/wall/pictures/{item}").status_code == 404
    held = {"status": "held", "item": str(item), "kind": "release"}
    code, _ = ask(cleo, held | {"as_of": "2100-01-01T00:00:00+00:00"})
    assert code == 403
    code, fields = ask(rita, {"item": str(item), "kind": "release"}, "?status=held")
    assert (code, fields["confirmed"]) == (200, "1")
    assert rita.client.post("/wall/decide", data=fields, headers=HTML).status_code == 303
    assert statuses_of(house)[item] is ItemStatus.REVIEW


def test_anothers_decision_is_taken_back_by_whoever_runs_the_archive(house: House) -> None:
    """And by nobody else."""
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben")
    rita = house.signed_in("Rita", Role.RUN)
    _, fields = ask(anna, {"all": "1", "kind": "approve"})
    done = anna.client.post("/wall/decide", data=fields, headers=HTML)
    number = done.headers["location"].partition("done=")[2].partition("-")[0]
    for who, code in ((ben, 403), (rita, 303)):
        data = {"csrf": who.token, "decision": number}
        assert who.client.post("/wall/undo", data=data, headers=HTML).status_code == code


def test_a_name_is_never_markup(coloured: Settings, house: House, pixels: PixelPool) -> None:
    """On the wall, where it is confirmed, and in the address of what is shown."""
    hostile_name = '"><img src=x onerror=alert(1)>.jpg'
    archive = Path(coloured.sources[0])
    (archive / "0.jpg").rename(archive / hostile_name)
    colour_missing(coloured, pixels)
    anna = house.signed_in("Anna")
    page = anna.client.get("/wall", headers=HTML).text
    fields = fields_in(page, "/wall/confirm") | {"all": "1", "kind": "hold"}
    asked = anna.client.post("/wall/confirm", data=fields, headers=HTML).text
    for text in (page, asked):
        assert "<img src=x" not in text
        assert "onerror" in text  # it is shown, as its URI writes it
    wrong = anna.client.get("/wall", params={"collection": hostile_name}, headers=HTML).text
    assert "<img src=x" not in wrong


def test_what_makes_no_sense_is_said(house: House) -> None:
    """In words, and nothing is done."""
    anna = house.signed_in("Anna")
    page = fields_in(anna.client.get("/wall", headers=HTML).text, "/wall/confirm")
    for given in ({}, {"item": "x"}, {"item": "1,,2"}, {"all": "1", "as_of": "soon"}):
        data = page | {"kind": "approve"} | given
        answer = anna.client.post("/wall/confirm", data=data, headers=HTML)
        assert answer.status_code == 400, given
    assert anna.client.get("/wall?status=pending", headers=HTML).status_code == 400
    for kind in ("redo", "", "retry"):
        answer = anna.client.post("/wall/confirm", data=page | {"kind": kind, "all": "1"})
        assert answer.status_code == 403, kind
    assert set(statuses_of(house).values()) == {ItemStatus.REVIEW}


def test_where_two_must_agree_the_second_person_confirms(open_house: OpenHouse) -> None:
    """What the first one wants for many is noted; the second is told for how many it is done."""
    house = open_house(desk_agreement=2)
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben <i>")
    ids = house.ids()

    def want(who: Curator, kind: str, chosen: list[int]) -> str:
        item = ",".join(map(str, chosen))
        code, fields = ask(who, {"item": item, "kind": kind})
        assert (code, fields["confirmed"]) == (200, str(len(chosen)))
        done = who.client.post("/wall/decide", data=fields | {"why": f"{kind} it"}, headers=HTML)
        return str(who.client.get(done.headers["location"], headers=HTML).text)

    assert "Noted: <b>approve</b>, 4 scans" in want(anna, "approve", ids[:4])
    assert "Noted: <b>approve</b>, 4 scans" in want(anna, "approve", ids[:4])  # still her alone
    assert set(statuses_of(house).values()) == {ItemStatus.REVIEW}
    assert "Noted: <b>reject</b>, 1 scan" in want(ben, "reject", ids[:1])
    fields = fields_in(ben.client.get("/wall", headers=HTML).text, "/wall/confirm")
    asked = ben.client.post("/wall/confirm", data=fields | {"all": "1", "kind": "approve"}).text
    assert "somebody else has wanted this for 4 scans" in asked
    page = want(ben, "approve", ids[1:])
    assert "Done: <b>approve</b>, 3 scans" in page
    assert "Noted: <b>approve</b>, 2 scans" in page
    moved = {n for n, status in statuses_of(house).items() if status is ItemStatus.PUBLISHED}
    assert moved == set(ids[1:4])
    story = house.ledger.get_story(
        house.ledger.list_items(ItemFilter(ids=ids[1:2]), limit=1)[0].uri
    )
    assert story.items[0].decisions[-1].who == "Anna and Ben <i>"
    undo = fields_in(page, "/wall/undo")
    assert anna.client.post("/wall/undo", data=undo | {"csrf": anna.token}).status_code == 303
    assert set(statuses_of(house).values()) == {ItemStatus.REVIEW}
    # Hers are taken back; his stand, and are done with the next one who wants the same.
    cleo = house.signed_in("Cleo")
    assert "Noted: <b>reject</b>, 1 scan" in want(cleo, "reject", ids[1:2])
    page = want(cleo, "approve", ids[1:5])
    assert "Done: <b>approve</b>, 4 scans" in page
    # Ben and she stand behind all of it; of three others each behind a part alone.
    undo = fields_in(page, "/wall/undo")
    assert anna.client.post("/wall/undo", data=undo | {"csrf": anna.token}).status_code == 403
    assert ben.client.post("/wall/undo", data=undo | {"csrf": ben.token}).status_code == 303
    assert set(statuses_of(house).values()) == {ItemStatus.REVIEW}
    # A hold is carried out at once.
    assert "Done: <b>hold</b>, 1 scan" in want(anna, "hold", ids[5:])
