"""Workers as processes, and what kills them."""

import multiprocessing
import random
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tasks.errors import DatabaseUnavailable
from tasks.ledger import ClaimRequest, Ledger
from tests.orders import order_for
from tests.tasks.ledger.building import done

# A process is forked from a server that has everything imported: it works within milliseconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.tasks.ledger.killing"])


@dataclass(frozen=True)
class Work:
    """What a worker does until nothing is left."""

    url: str
    recipe_id: int
    accepted: Path  # one line an item whose outcome the ledger accepted from this worker
    limit: int = 16
    lease_s: float = 0.4
    max_attempts: int = 10_000


def work(todo: Work, worker: str) -> None:
    """Claim, work a moment, finish; renew now and then."""
    chance = random.Random(worker)  # noqa: S311 - a test's
    with Ledger.open(todo.url) as ledger, todo.accepted.open("a", buffering=1) as accepted:
        order = order_for(ledger, todo.recipe_id)
        while True:
            claim = ledger.claim(
                ClaimRequest(
                    worker=worker,
                    recipe_id=todo.recipe_id,
                    order_id=order.id,
                    run_id=order.run_id,
                    limit=todo.limit,
                    lease_s=todo.lease_s,
                    max_attempts=todo.max_attempts,
                )
            )
            if claim is None:
                due_s = ledger.next_due_s(order.id)
                if due_s is None:
                    return
                time.sleep(min(due_s, 0.05))
                continue
            time.sleep(chance.uniform(0, 0.004))
            half = len(claim.items) // 2
            for part in (claim.items[:half], claim.items[half:]):
                if chance.random() < 0.3:
                    ledger.renew(claim.token, lease_s=todo.lease_s)
                taken = ledger.finish(claim.token, [done(one.id) for one in part])
                accepted.writelines(f"{item_id}\n" for item_id in sorted(taken))


def start(todo: Work, worker: str) -> ForkServerProcess:
    """A worker in a process of its own."""
    process = CONTEXT.Process(target=work, args=(todo, worker), name=worker)
    process.start()
    return process


def kill_at_random(todo: Work, *, kills: int, workers: int) -> None:
    """Keep *workers* busy and kill one of them (SIGKILL) at a random moment, again and again."""
    chance = random.Random(kills)  # noqa: S311 - a test's
    alive = [start(todo, f"worker-{number}") for number in range(workers)]
    for number in range(kills):
        time.sleep(chance.uniform(0.005, 0.06))
        place = chance.randrange(workers)
        alive[place].kill()
        alive[place].join()
        alive[place] = start(todo, f"worker-{workers + number}")
    for process in alive:
        process.join()
        if process.exitcode != 0:
            raise DatabaseUnavailable(f"{process.name} ended with {process.exitcode}")
