"""How orders scale over workers: a stand-in for the network sleeps 50 ms a scan, all else is real.

    python -m tests.bench.order_scaling --workers 1 4 16

Each worker is a process that works shares of one order off by the loop of the product, over one
ledger on PostgreSQL. It claims, sleeps and finishes, so what is lost against the sleep alone is
what ledger and loop cost. Linear is as many times one worker's rate.
"""

import argparse
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from tasks.batch.summary import BatchSummary
from tasks.ledger import ClaimRequest, DerivativeRecord, ItemStatus, Ledger, Outcome, Recipe, orders
from tasks.ledger.migrate import upgrade
from tasks.ledger.orders import Order, OrderKind, OrderState, Size
from tasks.orders.batches import BatchRequest
from tasks.orders.dispatch import Fanout
from tasks.orders.planning import plan_order
from tasks.orders.working import work_share
from tasks.settings import Settings
from tests.databases import running_server
from tests.tasks.ledger.building import SOURCE, keys, listing

SLEEP_S = 0.05
CONTEXT = multiprocessing.get_context("spawn")


@contextmanager
def sleeping(ledger: Ledger, recipe_id: int, name: str, stop: threading.Event) -> Iterator[Fanout]:
    """One thread that claims, sleeps for each scan, and finishes, as one GPU would be busy."""

    def colorize(request: BatchRequest) -> BatchSummary:
        claim = ledger.claim(
            ClaimRequest(
                worker=name,
                recipe_id=recipe_id,
                limit=request.limit,
                lease_s=300,
                max_attempts=3,
                run_id=request.run_id,
                order_id=request.order_id,
            )
        )
        summary = BatchSummary()
        if claim is None:
            return summary
        time.sleep(SLEEP_S * len(claim.items))
        ended = ledger.finish(claim.token, [_outcome(one.id) for one in claim.items])
        summary.statuses.update(one.status for one in ended.values())
        return summary

    with ThreadPoolExecutor(1) as executor:
        yield Fanout(lambda request: executor.submit(colorize, request), 1, recipe_id, "", stop)


def _outcome(item_id: int) -> Outcome:
    file = DerivativeRecord(
        "master", "s3://colour/out", f"r/{item_id}", "image/jpeg", 9, "ab" * 32, 0.1, 0.1, True
    )
    return Outcome(
        item_id,
        ItemStatus.REVIEW,
        scan_sha256="ab" * 32,
        width=600,
        height=400,
        bits=8,
        pages=1,
        confidence=0.5,
        seconds=SLEEP_S,
        derivatives=(file,),
    )


def work(
    url: str,
    order_id: int,
    number: int,
    batch_items: int,
    ready: Barrier,
    ended: "SimpleQueue[float]",
) -> None:
    """Be one worker: a share of the order, until nothing is left."""
    settings = Settings.model_validate({"batch_items": batch_items, "database_url": url})
    name = f"worker {number}"
    with Ledger.open(url) as ledger:
        row = orders.get(ledger, order_id)
        ready.wait()
        share = orders.open_share(ledger, order_id, Size(1, None, None), worker=name)

        def opened(_: Settings, stop: threading.Event) -> AbstractContextManager[Fanout]:
            return sleeping(ledger, row.recipe_id, name, stop)

        try:
            work_share(settings, share.id, open_fanout=opened)
        finally:
            ended.put(time.monotonic())  # one clock for all processes of a machine


def measure(url: str, kind: OrderKind, workers: int, scans: int, batch_items: int) -> float:
    """Scans a second of so many workers over a new ledger."""
    with Ledger.open(url) as ledger:
        ledger.record_listing(SOURCE, listing(keys(scans)), collection="photographs")
        recipe_id = ledger.ensure_recipe(Recipe("a" * 8, {}))
        number = orders.make(ledger, Order(kind=kind, who="bench"), recipe_id, name="bench")
        plan_order(ledger, number)
        ready = CONTEXT.Barrier(workers + 1)
        ended: SimpleQueue[float] = CONTEXT.SimpleQueue()
        crew = [
            CONTEXT.Process(target=work, args=(url, number, one, batch_items, ready, ended))
            for one in range(workers)
        ]
        for process in crew:
            process.start()
        ready.wait()
        began = time.monotonic()
        # Not until they have exited: Python takes half a second of a core for that.
        seconds = max(ended.get() for _ in crew) - began
        for process in crew:
            process.join()
        row = orders.settle(ledger, number)
        if row.state is not OrderState.COMPLETED or row.figures != {"review": scans}:
            raise RuntimeError(f"{row.state}: {row.figures}")
    return scans / seconds


def main() -> None:
    """Measure nights and backfills over each number of workers, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--scans", type=int, default=960, help="for each worker: whole batches")
    parser.add_argument("--batch-items", type=int, default=32)
    asked = parser.parse_args()
    print("| order | workers | scans/s | of linear |\n|---|--:|--:|--:|")  # noqa: T201 - its output
    with running_server() as server:
        for kind in (OrderKind.NIGHT, OrderKind.BACKFILL):
            alone = 0.0
            for workers in asked.workers:
                name = f"scaling_{kind}_{workers}"
                server.execute(f"CREATE DATABASE {name}")
                url = server.url(name)
                upgrade(url)
                rate = measure(url, kind, workers, asked.scans * workers, asked.batch_items)
                alone = alone or rate / workers
                share = rate / (alone * workers)
                print(f"| {kind} | {workers} | {rate:.1f} | {share:.2f} |")  # noqa: T201 - its output


if __name__ == "__main__":
    main()
