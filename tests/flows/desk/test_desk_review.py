"""Review: the queue is walked and decided, with scripts and without, by one person and by two."""

import re
import shutil
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tasks.ledger import ItemFilter, ItemStatus
from tasks.ledger.curating.many import count_many, database_time
from tasks.ledger.people import Role
from tasks.orders.run import begin_run
from tasks.schema import DecisionKind, item, scan
from tests.desks import HTML, House, OpenHouse, token_in
from tests.workers import enqueue_missing, items_of


def fields_in(page: str) -> dict[str, str]:
    """The hidden fields of the form that decides."""
    form = page.partition("data-decide>")[2].partition("</form>")[0]
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form))


def test_the_queue_is_decided_without_scripts(house: House) -> None:
    """By plain forms and links: each decision leads on to the next item, and can be taken back."""
    anna = house.signed_in("Anna")
    url, seen = "/review?order=oldest", []
    while "data-decide" in (page := anna.client.get(url, headers=HTML)).text:
        fields = fields_in(page.text)
        seen.append(int(fields["item"]))
        answer = anna.client.post(
            "/review/decide", data=fields | {"kind": "approve", "why": "fine"}, headers=HTML
        )
        assert answer.status_code == 303
        url = answer.headers["location"]
    assert sorted(seen) == house.ids()
    assert "behind this place" in page.text
    rows = house.ledger.list_items(ItemFilter(), limit=100)
    assert {row.status for row in rows} == {"published"}
    # The last page says how to take the last one back.
    undo = dict(re.findall(r'name="(csrf|decision|item)" value="([^"]+)"', page.text))
    assert anna.client.post("/review/undo", data=undo, headers=HTML).status_code == 303
    assert house.desk.item(seen[-1]).row.status == "review"  # type: ignore[union-attr]


def test_the_queue_is_stepped_through_both_ways(house: House) -> None:
    """Stepping decides nothing."""
    anna = house.signed_in("Anna")
    forward = []
    page = anna.client.get("/review", headers=HTML).text
    while found := re.search(r'data-item="(\d+)"', page):
        forward.append(int(found[1]))
        onward = re.search(r'rel="next" href="([^"]+)"', page)
        assert onward
        page = anna.client.get(onward[1].replace("&amp;", "&"), headers=HTML).text
    assert sorted(forward) == house.ids()
    last = anna.client.get(f"/review?item={forward[-1]}", headers=HTML).text
    before = re.search(r'rel="prev" href="([^"]+)"', last)
    assert before
    page = anna.client.get(before[1].replace("&amp;", "&"), headers=HTML).text
    assert f'data-item="{forward[-2]}"' in page
    assert len(house.ledger.list_items(ItemFilter(), limit=100)) == len(forward)


def test_the_api_walks_the_queue(house: House) -> None:
    """From a place on, filtered as the page's; what makes no sense is said in words."""
    anna = house.signed_in("Anna")
    first = anna.client.get("/api/queue?limit=4").json()
    assert first["waiting"] == 6
    rest = anna.client.get("/api/queue", params={"after": first["items"][-1]["place"]}).json()
    ids = [one["id"] for one in [*first["items"], *rest["items"]]]
    assert sorted(ids) == house.ids()
    back = anna.client.get("/api/queue", params={"before": rest["items"][0]["place"]}).json()
    assert [one["id"] for one in back["items"]] == ids[:4][::-1]
    assert anna.client.get("/api/queue?collection=nothing").json() == {"items": [], "waiting": 0}
    odd = ("reason=odd", "least=2", "most=x", "night=x", "after=x", "night=99999", "after=x~1")
    for query in odd:
        answer = anna.client.get(f"/api/queue?{query}")
        assert answer.status_code in {404, 422}, query
        assert answer.json()["detail"]


def test_films_and_pages_are_queues_of_their_own(house: House) -> None:
    """In the queue and on the wall, where a decision about the filter is about them alone."""
    anna = house.signed_in("Anna")
    page, film, *_ = house.ids()

    def mark(item_id: int, **given: int) -> None:
        of = scan.c.id == select(item.c.scan_id).where(item.c.id == item_id).scalar_subquery()
        house.ledger.write(lambda c: c.execute(update(scan).where(of).values(given)))

    assert anna.client.get("/api/queue?what=film").json()["items"] == []
    mark(page, pages=3)
    mark(film, frames=500)
    for what, order in (("page", "unsure"), ("page", "oldest"), ("film", "unsure")):
        found = anna.client.get(f"/api/queue?what={what}&order={order}").json()["items"]
        assert [one["id"] for one in found] == [{"page": page, "film": film}[what]]
    tiles = anna.client.get("/wall?what=page", headers=HTML).text
    assert re.findall(r'data-item="(\d+)"', tiles) == [str(page)]
    chosen = ItemFilter(statuses=[ItemStatus.REVIEW], what="film")
    assert count_many(house.ledger, DecisionKind.APPROVE, chosen) == 1
    assert anna.client.get("/review?what=odd", headers=HTML).status_code == 400
    assert anna.client.get("/api/queue?what=odd").status_code == 422


@pytest.mark.parametrize("kind", ["approve", "reject", "hold"])
def test_a_decision_is_the_ledgers_own(house: House, kind: str) -> None:
    """With who, why and how long; undone, the item waits again."""
    anna = house.signed_in("Anna", Role.RUN)
    item = house.ids()[0]
    seen = anna.client.get(f"/api/items/{item}").json()["seen"]
    made = anna.post(
        f"/api/items/{item}/decision", kind=kind, seen=seen, why=" because ", seconds=1.5
    )
    assert made.status_code == 200
    told = anna.client.get(f"/api/items/{item}").json()
    assert told["status"] == {"approve": "published", "reject": "rejected", "hold": "held"}[kind]
    assert told["decisions"][-1]["who"] == "Anna"
    assert told["decisions"][-1]["why"] == "because"
    assert "1.5 s" in anna.client.get("/pace", headers=HTML).text
    undone = anna.post(f"/api/items/{item}/undo?decision={made.json()['decision']}")
    assert undone.json() == {"items": 1}
    assert anna.client.get(f"/api/items/{item}").json()["status"] == "review"


@pytest.mark.parametrize("how", ["api", "form", "wall"])
def test_what_is_held_unread_is_read_at_once(house: House, how: str) -> None:
    """As by the command line: copies of the same bytes are held with it, from now on."""
    source = Path(house.settings.sources[0])
    shutil.copy(source / "0.jpg", source / "copy.jpg")
    with begin_run(house.settings, kind="test", name="a copy comes") as run:
        run.discover(str(source))
        enqueue_missing(house.settings, run.ledger)
    items = items_of(house.ledger)
    new, old = items["copy.jpg"].id, items["0.jpg"].id
    anna = house.signed_in("Anna", Role.RUN)
    seen = anna.client.get(f"/api/items/{new}").json()["seen"]
    form = {"item": f"{new}", "csrf": anna.token, "kind": "hold", "seen": seen, "why": "rights"}
    if how == "api":
        assert anna.decide(new, "hold").status_code == 200
    elif how == "form":
        assert anna.client.post("/review/decide", data=form, headers=HTML).status_code == 303
    else:
        mine = item.c.id == new
        house.ledger.write(lambda c: c.execute(update(item).where(mine).values(status="failed")))
        form |= {"status": "failed", "as_of": f"{database_time(house.ledger)}", "confirmed": "1"}
        assert anna.client.post("/wall/decide", data=form, headers=HTML).status_code == 303
    rows = house.ledger.list_items(ItemFilter(ids=[new, old]), limit=2)
    assert {row.status for row in rows} == {ItemStatus.HELD}


def test_the_second_person_is_told(house: House) -> None:
    """Who was faster and when, by the API as by the form; the first decision stands."""
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben")
    item = house.ids()[0]
    seen = ben.client.get(f"/api/items/{item}").json()["seen"]
    form = fields_in(ben.client.get(f"/review?item={item}", headers=HTML).text)
    assert anna.decide(item, "approve").status_code == 200
    late = ben.post(f"/api/items/{item}/decision", kind="reject", seen=seen)
    assert late.status_code == 409
    told = late.json()
    assert (told["status"], told["last"]["who"]) == ("published", "Anna")
    assert told["last"]["kind"] == "approve"
    page = ben.client.post("/review/decide", data=form | {"kind": "reject"}, headers=HTML)
    assert page.status_code == 409
    assert "approve by Anna" in page.text
    assert house.desk.item(item).row.status == "published"  # type: ignore[union-attr]


def test_only_ones_own_decision_is_taken_back(house: House) -> None:
    """Another's by whoever runs the archive."""
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben")
    rita = house.signed_in("Rita", Role.RUN)
    item, other = house.ids()[:2]
    made = anna.decide(item, "approve").json()["decision"]
    assert ben.post(f"/api/items/{item}/undo?decision={made}").status_code == 403
    assert ben.post(f"/api/items/{other}/undo?decision={made}").status_code == 404
    assert rita.post(f"/api/items/{item}/undo?decision={made}").json() == {"items": 1}


def test_two_must_agree_where_the_settings_say_so(open_house: OpenHouse) -> None:
    """The first one's opinion is shown to the second, and can be taken back."""
    house = open_house(desk_agreement=2)
    anna, ben = house.signed_in("Anna"), house.signed_in("Ben")
    item = house.ids()[0]
    noted = anna.decide(item, "approve", "lovely").json()
    assert (noted["decision"], noted["waits_for_another"]) == (None, True)
    page = ben.client.get(f"/review?item={item}", headers=HTML).text
    assert "Anna would approve it" in page
    assert "lovely" in page
    assert anna.post(f"/api/items/{item}/undo?decision=0").json() == {"items": 1}
    assert anna.decide(item, "approve").json()["waits_for_another"]
    assert ben.decide(item, "approve").json()["status"] == "published"
    told = ben.client.get(f"/api/items/{item}").json()
    assert told["decisions"][-1]["who"] == "Anna and Ben"


def test_one_of_two_who_agreed_takes_back_his_own_word(open_house: OpenHouse) -> None:
    """The item is what it was before, and the other's word waits for another person again."""
    house = open_house(desk_agreement=2)
    anna, ben, rita = (
        house.signed_in(name, role)
        for name, role in (("Anna", Role.DECIDE), ("Ben", Role.DECIDE), ("Rita", Role.RUN))
    )
    cleo = house.signed_in("Anna and Ben")
    item = house.ids()[0]

    def told() -> tuple[str, list[tuple[str, str]]]:
        found = anna.client.get(f"/api/items/{item}").json()
        return found["status"], [(one["who"], one["kind"]) for one in found["opinions"]]

    def agree(kind: str) -> int:
        assert anna.decide(item, kind, "lovely").json()["decision"] is None
        return int(ben.decide(item, kind).json()["decision"])

    made = agree("approve")
    assert told() == ("published", [])
    url = f"/api/items/{item}/undo?decision={made}"
    assert cleo.post(url).status_code == 403  # whose name only looks like theirs
    assert anna.post(url).json() == {"items": 1}
    assert told() == ("review", [("Ben", "approve")])
    assert ben.post(url).json() == {"items": 0}  # nor does the second one, who is slower
    assert told() == ("review", [])
    made = agree("approve")
    assert ben.post(f"/api/items/{item}/undo?decision={made}").json() == {"items": 1}
    assert told() == ("review", [("Anna", "approve")])
    assert ben.decide(item, "approve").json()["status"] == "published"
    made = agree("reject")  # of what is published: it is so again, and one wants it rejected
    assert anna.post(f"/api/items/{item}/undo?decision={made}").json() == {"items": 1}
    assert told() == ("published", [("Ben", "reject")])
    assert anna.decide(item, "reject").json()["status"] == "rejected"
    made = anna.client.get(f"/api/items/{item}").json()["decisions"][-1]["id"]
    assert rita.post(f"/api/items/{item}/undo?decision={made}").json() == {"items": 1}
    assert told() == ("published", [])  # whoever runs the archive takes it all back


def test_a_story_is_told_and_found(house: House) -> None:
    """All that `autochrome item` tells; by number, name, pattern and digest."""
    anna = house.signed_in("Anna")
    item = house.ids()[0]
    told = anna.client.get(f"/api/items/{item}").json()
    page = anna.client.get(f"/items/{item}", headers=HTML).text
    for text in (told["sha256"], "luma identical", "attempt", "finished"):
        assert text.lower() in page.lower()
    for query in (str(item), told["uri"], told["sha256"], told["sha256"][:10], "0.jpg"):
        answer = anna.client.get("/search", params={"q": query}, headers=HTML)
        assert answer.status_code == 303, query
        assert answer.headers["location"] == f"/items/{item}"
    named = anna.client.get("/search", params={"q": "small"}, headers=HTML)
    assert named.status_code == 303
    many = anna.client.get("/search", params={"q": "box*"}, headers=HTML).text
    assert "3 items" in many
    assert many.count('src="/wall/pictures/') == 3
    assert "Nothing fits" in anna.client.get("/search?q=nowhere", headers=HTML).text
    for path in ("/items/999", "/items/x", "/nothing"):
        assert anna.client.get(path, headers=HTML).status_code in {404, 422}


def test_a_derivative_can_be_downloaded(house: House) -> None:
    """As it is stored, never opened by the browser as a page."""
    anna = house.signed_in("Anna")
    item = house.ids()[0]
    answer = anna.client.get(f"/items/{item}/files/master")
    assert answer.content.startswith(b"\xff\xd8\xff")
    assert answer.headers["content-disposition"] == "attachment"
    assert anna.client.get(f"/items/{item}/files/odd").status_code == 404


def test_nothing_waits_is_said(house: House) -> None:
    """Where it is so."""
    anna = house.signed_in("Anna")
    house.ledger.approve(ItemFilter(), who="a script", why="")
    assert "has been looked at" in anna.client.get("/review", headers=HTML).text
    page = anna.client.get("/review?collection=nothing", headers=HTML)
    assert "Nothing of what you chose" in page.text
    assert token_in(page)
