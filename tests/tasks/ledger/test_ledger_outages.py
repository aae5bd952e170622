"""Outages in the ledger: what is passed by meanwhile, what ends them, what orders make of them."""

import pytest
from sqlalchemy import update

from tasks.errors import Reason
from tasks.ledger import ItemStatus, Ledger, orders, outages, sql
from tasks.ledger.orders import Order, OrderKind, OrderState
from tasks.schema import outage
from tests.orders import claim_of, end_orders, enqueue
from tests.tasks.ledger.building import (
    SOURCE,
    claim,
    claims_nothing,
    done,
    enqueued,
    keys,
    listing,
    recipe,
)

OTHER = "s3://archive/others"
WHY = "s3://archive/scans: cannot be reached; check the network"


def two_sources(ledger: Ledger) -> int:
    """Three scans in each of two sources, none enqueued; the recipe."""
    ledger.record_listing(SOURCE, listing(keys(3)), collection="photographs")
    ledger.record_listing(OTHER, listing(["x/a.tif", "x/b.tif", "y/c.tif"]), collection="others")
    return recipe(ledger)


def test_what_lies_in_a_place_that_is_away_is_passed_by(ledger: Ledger) -> None:
    """Of all that wait, the others alone are claimed; when it is back, the rest."""
    recipe_id = two_sources(ledger)
    enqueue(ledger, recipe_id)
    assert ledger.begin_outage(SOURCE, "", WHY) == outages.FIRST_WAIT_S
    assert ledger.begin_outage(OTHER, "x/", "x is empty") == outages.FIRST_WAIT_S
    held = claim(ledger, recipe_id)
    assert [one.key for one in held.items] == ["y/c.tif"]
    assert {(one.url, one.scans) for one in ledger.list_outages()} == {
        (SOURCE, 3),
        (f"{OTHER}/x/", 2),
    }
    ledger.end_outages(OTHER, "y/c.tif")
    assert claims_nothing(ledger, recipe_id)
    ledger.end_outages(OTHER, "x/b.tif")
    assert len(claim(ledger, recipe_id).items) == 2
    ledger.end_outages(SOURCE)
    assert len(claim(ledger, recipe_id).items) == 3
    assert not ledger.list_outages()


def test_what_is_given_back_counts_no_attempt_and_tells_why(ledger: Ledger) -> None:
    """It comes behind what was not tried, so that one that cannot be read is in nobody's way."""
    recipe_id = enqueued(ledger, 3)
    held = claim(ledger, recipe_id, limit=1)
    ledger.begin_outage(SOURCE, "", WHY)
    ledger.give_back(held.token, reason=Reason.SOURCE_AWAY, detail=WHY, wait_s=30)
    (item,) = ledger.get_story(held.items[0].uri).items
    assert (item.item.status, item.item.attempts) == (ItemStatus.PENDING, 0)
    assert (item.attempts[0].reason, item.attempts[0].detail) == (Reason.SOURCE_AWAY, WHY)
    ledger.end_outages(SOURCE)
    later = claim(ledger, recipe_id)
    assert held.items[0].id not in {one.id for one in later.items}


def test_a_place_is_tried_again_by_itself_and_waits_longer_each_time(ledger: Ledger) -> None:
    """As long as it has been away; who claims there is told of it."""
    recipe_id = enqueued(ledger, 3)
    ledger.begin_outage(SOURCE, "", WHY)
    assert claims_nothing(ledger, recipe_id)
    for away_s, least, most in ((200, 200, 230), (86_400, 900, 900)):
        begun = update(outage).values(since=sql.now(-away_s), until=sql.now(-1))
        ledger.write(lambda c, begun=begun: c.execute(begun))  # type: ignore[misc]
        held = claim(ledger, recipe_id, limit=1)
        assert held.tried_again == {(SOURCE, "")}
        assert least <= ledger.begin_outage(SOURCE, "", WHY) <= most
        assert claims_nothing(ledger, recipe_id)


@pytest.mark.parametrize("kind", [OrderKind.NIGHT, OrderKind.REQUEST, OrderKind.BACKFILL])
def test_an_order_ends_where_it_waits_for_sources_alone(ledger: Ledger, kind: OrderKind) -> None:
    """The next takes the rest; a backfill stays, and is in nobody's way meanwhile."""
    recipe_id = two_sources(ledger)
    number = orders.make(ledger, Order(kind=kind), recipe_id, name="a night")
    while orders.enqueue_window(ledger, number) is OrderState.PLANNING:
        pass
    ledger.begin_outage(SOURCE, "", WHY, wait_s=900)
    assert orders.settle(ledger, number).state is OrderState.RUNNING, "the other source is not done"
    assert orders.is_due(ledger, number, within_s=0)
    held = claim_of(ledger, number)
    assert held is not None
    assert {one.source for one in held.items} == {OTHER}
    assert orders.settle(ledger, number).state is OrderState.RUNNING, "it is in work"
    ledger.finish(held.token, [done(one.id) for one in held.items])
    assert not orders.is_due(ledger, number, within_s=0)
    due_s = ledger.next_due_s(number)
    assert due_s is not None
    assert 800 < due_s <= 900
    row = orders.settle(ledger, number)
    if kind is OrderKind.BACKFILL:
        assert row.state is OrderState.RUNNING
        return
    assert (row.state, SOURCE in row.detail) == (OrderState.STOPPED, True)
    ledger.end_outages(SOURCE)
    later = orders.make(ledger, Order(), recipe_id, name="the next")
    while orders.enqueue_window(ledger, later) is OrderState.PLANNING:
        pass
    rest = claim_of(ledger, later)
    assert rest is not None
    assert len(rest.items) == 3


def test_what_is_back_soon_is_waited_for(ledger: Ledger) -> None:
    """A server that is started anew does not end a night."""
    recipe_id = enqueued(ledger, 2)
    end_orders(ledger)
    number = orders.make(ledger, Order(), recipe_id, name="a night")
    while orders.enqueue_window(ledger, number) is OrderState.PLANNING:
        pass
    ledger.begin_outage(SOURCE, "", WHY)
    assert orders.settle(ledger, number).state is OrderState.RUNNING
