"""An order in one line, for tests that are about something else."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypedDict, Unpack

from sqlalchemy import true

from tasks.batch.summary import BatchSummary
from tasks.batch.worker import Worker
from tasks.ledger import Claim, ClaimRequest, Ledger, RunEnding, orders
from tasks.ledger.enqueue import adopt, enqueue_scans
from tasks.ledger.orders import (
    Order,
    OrderKind,
    OrderMode,
    OrderPlan,
    OrderRow,
    OrderState,
    Scope,
    Size,
)
from tasks.ledger.orders.steering import change_state
from tasks.orders.dispatch import Fanout, in_threads
from tasks.orders.working import work_share
from tasks.schema import scan
from tasks.settings import Settings

WHO = "a test"


def order_for(ledger: Ledger, recipe_id: int) -> OrderRow:
    """The order of tests that is open under a recipe, the last in line; what waits is its own.

    Two workers that find none at the same time make one each: it is the one with something to do.
    """
    mine = [
        one.id
        for one in orders.list_open(ledger)
        if (one.who, one.recipe_id, one.state) == (WHO, recipe_id, OrderState.RUNNING)
    ]
    number = mine[0] if mine else _make(ledger, recipe_id)
    if len(mine) > 1:
        number = next((one for one in mine if ledger.next_due_s(one) is not None), number)
    if ledger.oldest_pending(recipe_id) is not None:  # it waits for nobody
        ledger.write(lambda c: adopt(c, true(), recipe_id=recipe_id, order_id=number))
    return orders.get(ledger, number)


def _make(ledger: Ledger, recipe_id: int) -> int:
    asked = Order(kind=OrderKind.REQUEST, priority=-1, who=WHO)
    run_id = ledger.start_run("test", "a test")
    number = orders.make(ledger, asked, recipe_id, name="a test", lists_for=run_id)
    ledger.write(lambda c: change_state(c, number, OrderState.RUNNING, ""))
    return number


def end_orders(ledger: Ledger) -> None:
    """The night is over: what it has not done waits for the next."""
    for one in orders.list_open(ledger):
        if one.who == WHO:
            orders.stop(ledger, one.id, RunEnding.COMPLETED, why="the night is over")


def enqueue(
    ledger: Ledger,
    recipe_id: int,
    *,
    mode: OrderMode = OrderMode.MISSING,
    collections: Sequence[str] = (),
) -> int:
    """Enqueue as a night would; those of other recipes have ended by then. How many items."""
    if any(one.who == WHO and one.recipe_id != recipe_id for one in orders.list_open(ledger)):
        end_orders(ledger)
    number = order_for(ledger, recipe_id).id
    wanted = scan.c.collection.in_(collections) if collections else true()
    return ledger.write(
        lambda c: enqueue_scans(c, wanted, recipe_id=recipe_id, mode=mode, order_id=number)
    )


def planned(
    ledger: Ledger,
    recipe_id: int,
    *,
    mode: OrderMode = OrderMode.MISSING,
    collections: Sequence[str] = (),
) -> OrderPlan:
    """What a night would do."""
    asked = Order(mode=mode, scope=Scope(tuple(collections)), kind=OrderKind.NIGHT)
    return orders.plan(ledger, asked, recipe_id)


class ClaimTerms(TypedDict, total=False):
    """How a batch is claimed, where not as usual."""

    limit: int
    worker: str
    lease_s: float
    max_attempts: int
    run_id: int | None


def claim_batch(ledger: Ledger, recipe_id: int, **terms: Unpack[ClaimTerms]) -> Claim | None:
    """A batch of whatever waits."""
    return claim_of(ledger, order_for(ledger, recipe_id).id, **terms)


def claim_of(ledger: Ledger, order_id: int, **terms: Unpack[ClaimTerms]) -> Claim | None:
    """A batch of an order."""
    order = orders.get(ledger, order_id)
    return ledger.claim(
        ClaimRequest(
            worker=terms.get("worker", "worker"),
            recipe_id=order.recipe_id,
            order_id=order_id,
            run_id=terms.get("run_id") or order.run_id,
            limit=terms.get("limit", 100),
            lease_s=terms.get("lease_s", 60),
            max_attempts=terms.get("max_attempts", 3),
        )
    )


def next_due_s(ledger: Ledger, recipe_id: int) -> float | None:
    """Seconds until one can be claimed."""
    return ledger.next_due_s(order_for(ledger, recipe_id).id)


def work_off(worker: Worker, *, max_items: int | None = None) -> BatchSummary:
    """Work off whatever waits, as a share of an order, with what *worker* has open."""
    order = order_for(worker.ledger, worker.recipe_id)
    share = orders.open_share(worker.ledger, order.id, Size(1, max_items, None), worker=worker.name)

    @contextmanager
    def opened(_: Settings, stop: threading.Event) -> Iterator[Fanout]:
        with in_threads(replace(worker, stop=stop)) as fanout:
            yield fanout

    return work_share(worker.settings, share.id, stop=worker.stop, open_fanout=opened)
