"""The archive's grid, and orders: seen by all, given and steered by whoever runs the archive."""

import re
from collections import Counter

from tasks.ledger import ItemFilter, ItemStatus, orders
from tasks.ledger.orders import OrderState
from tasks.ledger.people import Role
from tests.desks import HTML, House
from tests.flows.desk.test_desk_wall import fields_in


def links_in(page: str, begin: str) -> list[str]:
    """The links of a page that begin so."""
    found = re.findall(r'href="([^"]+)"', page)
    return [url.replace("&amp;", "&") for url in found if url.startswith(begin)]


def test_the_grid_counts_what_there_is(house: House) -> None:
    """By collection and order, in words for those who see no colours; a cell leads to its items."""
    anna = house.signed_in("Anna")
    anna.decide(house.ids()[0], "approve")
    page = anna.client.get("/archive", headers=HTML).text
    assert page.count("1 published, 5 review") == 4  # in all and of the night: title and words
    cell = next(url for url in links_in(page, "/archive/cell") if "order=" in url and "coll" in url)
    told = anna.client.get(cell, headers=HTML).text
    items = Counter[str]()
    for url in links_in(told, "/wall?"):
        tiles = anna.client.get(url, headers=HTML).text
        items.update(re.findall(r'data-item="(\d+)"', tiles))
    assert items == Counter(map(str, house.ids()))


def test_a_retry_is_shown_first_and_then_ordered(house: House) -> None:
    """Counted, confirmed, on record with who and why; what was shown is what is done."""
    rita = house.signed_in("Rita", Role.RUN)
    collection = house.ledger.list_items(ItemFilter(), limit=1)[0].collection
    asked = {"csrf": rita.token, "collection": collection, "mode": "all", "max_items": "4"}
    shown = rita.client.post("/orders/forecast", data=asked, headers=HTML)
    assert "Order 4 scans?" in shown.text
    assert "2 more are due, beyond the budget" in shown.text
    assert len(orders.list_latest(house.ledger)) == 1  # nothing was ordered by looking
    fields = fields_in(shown.text, "/orders/place")
    placed = rita.client.post("/orders/place", data=fields | {"why": "better"}, headers=HTML)
    assert placed.status_code == 303
    row = orders.list_latest(house.ledger)[0]
    assert (row.items, row.who, row.why) == (4, "Rita", "better")
    assert placed.headers["location"] == f"/orders/{row.id}"
    # What failed is none: that is said, and nothing can be ordered.
    none = rita.client.post("/orders/forecast", data=asked | {"mode": "failed"}, headers=HTML)
    assert "Nothing to do" in none.text
    for wrong in ({"collection": ""}, {"mode": "odd"}, {"max_items": "x"}, {"max_items": "0"}):
        answer = rita.client.post("/orders/forecast", data=asked | wrong, headers=HTML)
        assert answer.status_code == 400, wrong


def test_orders_are_steered(house: House) -> None:
    """Paused, resumed, cancelled, each with who and why; an order that has ended is left alone."""
    rita = house.signed_in("Rita", Role.RUN)
    collection = house.ledger.list_items(ItemFilter(), limit=1)[0].collection
    asked = {"csrf": rita.token, "collection": collection, "mode": "all"}
    placed = rita.client.post("/orders/place", data=asked, headers=HTML)
    path = placed.headers["location"]
    number = int(path.rpartition("/")[2])
    moves = (
        ("pause", OrderState.PAUSED),
        ("resume", OrderState.RUNNING),
        ("cancel", OrderState.CANCELLED),
    )
    for move, state in moves:
        data = {"csrf": rita.token, "why": f"{move} it"}
        assert rita.client.post(f"{path}/{move}", data=data, headers=HTML).status_code == 303
        assert orders.get(house.ledger, number).state is state
        assert f"{move} it" in rita.client.get(path, headers=HTML).text
    late = rita.client.post(f"{path}/pause", data={"csrf": rita.token}, headers=HTML)
    assert late.status_code == 400
    rows = house.ledger.list_items(ItemFilter(), limit=100)
    assert {row.status for row in rows} == {ItemStatus.REVIEW}  # as they were before
    assert "cancelled" in rita.client.get("/orders", headers=HTML).text


def test_only_whoever_runs_the_archive_orders(house: House) -> None:
    """The others see it all, but no form."""
    anna = house.signed_in("Anna")
    collection = house.ledger.list_items(ItemFilter(), limit=1)[0].collection
    page = anna.client.get("/archive/cell", params={"collection": collection}, headers=HTML)
    assert page.status_code == 200
    assert "/orders/forecast" not in page.text
    for path in ("/orders/forecast", "/orders/place", "/orders/1/pause"):
        data = {"csrf": anna.token, "collection": collection, "mode": "all"}
        assert anna.client.post(path, data=data, headers=HTML).status_code == 403
    for path in ("/archive/cell?order=99", "/archive/cell?collection=none", "/archive/cell?x=1"):
        assert anna.client.get(path, headers=HTML).status_code == 404, path


def test_orders_name_what_is_held_to_whoever_runs_the_archive_alone(house: House) -> None:
    """A scan, a pattern or a place of which all is held; a folder of which one is, to everybody."""
    rows = house.ledger.list_items(ItemFilter(), limit=100)
    (first, second), folder = (row.uri for row in rows[:2]), rows[0].uri.rpartition("/")[0]
    later = f"{folder}/later"
    for place in (first, later):
        house.ledger.hold(ItemFilter(uri=place), who="Rita", why="sacred")
    scope = orders.Scope(uris=(first, f"{first[:-1]}*", f"{later}/a.tif", second, f"{folder}/"))
    number = orders.make(
        house.ledger, orders.Order(scope=scope, who="Rita"), recipe_id=1, name="a request"
    )
    cleo, rita = house.signed_in("Cleo"), house.signed_in("Rita", Role.RUN)
    for path in ("/orders", f"/orders/{number}"):
        seen, all_of_it = (who.client.get(path, headers=HTML).text for who in (cleo, rita))
        assert f"{second}, {folder}/, 3 held" in seen, path
        assert first not in seen
        assert "later" not in seen
        assert f"{first}, {first[:-1]}*, {later}/a.tif, {second}, {folder}/<" in all_of_it, path
