"""What a run depends on goes away and comes back, again and again, while workers are at it.

    python -m tests.durability.outages --scans 60 --rounds 3

PostgreSQL is stopped and started, or cuts its connections; the S3 server refuses, hangs, throttles,
fails, breaks bodies off or tells of other bytes; scratch is full. Each begins when some scans are
under way. A worker that ends is replaced, as a supervisor would. Whatever is wrong in the
end is printed, and the exit code is 1.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import select, update

from tasks.discovery.listing import record_source
from tasks.ledger import Ledger, sql
from tasks.ledger.migrate import upgrade
from tasks.schema import ItemStatus, attempt, item, status_in
from tasks.settings import Settings
from tests.databases import Server, running_server
from tests.durability.checking import Verdict, check_all
from tests.durability.disks import fill, small_disk
from tests.durability.harness import place_for
from tests.durability.workers import Order, enqueue_all, make_archive, make_checkpoint, start, usual
from tests.orders import enqueue, next_due_s
from tests.s3server import make_test_client
from tests.tasks.storage.bad_road import BadRoad, Fault, bad_road_to

#: Of failures alone, not of what a coloured picture waits for.
_NOT_DONE = (ItemStatus.PENDING, ItemStatus.FAILED, ItemStatus.QUARANTINED)
#: What was tried and given back is due half a minute later: that has passed now.
NOW = update(item).where(status_in(ItemStatus.PENDING)).values(not_before=sql.now())
_FELT = 3  #: requests to which something has happened
_LONGEST_S = 300.0  #: that is waited for anything


@dataclass(frozen=True)
class World:
    """What a run depends on."""

    given: dict[str, object]  #: settings
    add: Callable[[int], None]  #: puts so many new scans into the source
    database: Server
    road: BadRoad  #: to the store of scans and derivatives
    scratch: Path | None  #: a small disk; None where none can be mounted


#: Gives what tells whether it was felt.
Outage = Callable[[World], AbstractContextManager[Callable[[], bool]]]


def _at_once() -> bool:
    return True


@contextmanager
def stopped(world: World) -> Iterator[Callable[[], bool]]:
    """PostgreSQL is down."""
    world.database.stop()
    yield _at_once
    world.database.start()


@contextmanager
def cut(world: World) -> Iterator[Callable[[], bool]]:
    """Every connection of ours is ended at once, and new ones are let in."""
    world.database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'autochrome'"
    )
    yield _at_once


@contextmanager
def refused(world: World) -> Iterator[Callable[[], bool]]:
    """Nobody listens at the S3 server's port."""
    with world.road.closed():
        yield _at_once


def faulty(fault: Fault) -> Outage:
    """The S3 server does so."""

    @contextmanager
    def outage(world: World) -> Iterator[Callable[[], bool]]:
        happens = replace(fault)
        world.road.faults.append(happens)
        yield lambda: fault.times - happens.times >= _FELT
        world.road.faults.clear()

    return outage


@contextmanager
def full(world: World) -> Iterator[Callable[[], bool]]:
    """Scratch takes no byte more."""
    hog = world.scratch / "hog" if world.scratch else None
    if hog:
        fill(hog)
    yield _at_once
    if hog:
        hog.unlink()


ALL: dict[str, Outage] = {
    "database stopped": stopped,
    "connections cut": cut,
    "refused": refused,
    "hangs": faulty(Fault("", hang_s=2.0)),
    "fails": faulty(Fault("", status=500, code="InternalError")),
    "throttles": faulty(Fault("", status=503, code="SlowDown")),
    "breaks off": faulty(Fault("GET", cut="close")),
    "resets": faulty(Fault("GET", cut="reset")),
    "loses answers": faulty(Fault("PUT", lose_answer=True)),
    "other ETag": faulty(Fault("GET", "archive/", headers={"ETag": '"another"'})),
    "no reading back": faulty(Fault("GET", "master/", cut="close")),
    "scratch full": full,
}


@dataclass
class Report:
    """What went away, and what came of it."""

    #: For each outage, what the attempts were put down to that did not end well meanwhile.
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    begun: int = 0  #: workers
    seconds: dict[str, float] = field(default_factory=dict)  #: when each was over
    verdict: Verdict = field(default_factory=Verdict)


class Crew:
    """Workers that are begun again whenever one ends, until nothing is left."""

    def __init__(self, given: dict[str, object]) -> None:
        self.begun = 0
        self._order = Order(given, slow_s=0.2)
        self._alive = []

    def start(self, workers: int) -> None:
        """Begin with so many."""
        self._alive = [self._start() for _ in range(workers)]

    def renew(self) -> None:
        """Replace those who have ended: what they needed was away, or nothing was due."""
        self._alive = [one if one.is_alive() else self._start() for one in self._alive]

    def finish(self) -> None:
        """Wait for them to end."""
        for worker in self._alive:
            worker.join()

    def close(self) -> None:
        """End those that are left, if it went wrong: all they need is going away."""
        for worker in self._alive:
            worker.kill()
            worker.join()

    def _start(self):  # noqa: ANN202 - a private class of multiprocessing
        self.begun += 1
        return start(self._order, f"worker-{self.begun}")


def run(world: World, outages: Sequence[str], *, scans: int, hold_s: float) -> Report:
    """For each of these: *scans* new ones come, and it happens when the first is claimed.

    Args:
        world: What there is, all of it well.
        outages: What goes away; each for *hold_s* at least.
        scans: How many come each time.
        hold_s: How long.
    """
    settings = Settings.model_validate(world.given)
    report = Report()
    begin = time.monotonic()
    before: Counter[str] = Counter()
    world.add(scans)
    with (
        Ledger.open(settings.database_url.get_secret_value()) as ledger,
        closing(Crew(world.given)) as crew,
    ):
        recipe_id = enqueue_all(world.given, ledger)
        crew.start(workers=2)
        for name in outages:
            _wait_until(lambda: _is_begun(ledger), crew)
            with ALL[name](world) as is_felt:
                time.sleep(hold_s)
                _wait_until(is_felt, crew)
            # As every night does: what waits for its source is taken up by the next listing.
            record_source(settings, ledger, settings.sources[0])
            ledger.write(lambda c: c.execute(NOW))
            _wait_until(lambda: next_due_s(ledger, recipe_id) is None, crew)
            after = _reasons(ledger)
            report.reasons[name] = report.reasons.get(name, Counter()) + (after - before)
            before = after
            report.seconds[name] = round(time.monotonic() - begin, 1)
            world.add(scans)
            record_source(settings, ledger, settings.sources[0])
            enqueue(ledger, recipe_id)
        _wait_until(lambda: next_due_s(ledger, recipe_id) is None, crew)
        crew.finish()
        report.begun = crew.begun
        report.verdict = check_all(ledger, settings, items=scans * (len(outages) + 1))
    return report


def _is_begun(ledger: Ledger) -> bool:
    return ledger.counts().items.get(ItemStatus.CLAIMED, 0) > 0


def _wait_until(is_so: Callable[[], bool], crew: Crew) -> None:
    until = time.monotonic() + _LONGEST_S
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError("what is waited for does not come")
        crew.renew()
        time.sleep(0.05)


def _reasons(ledger: Ledger) -> Counter[str]:
    asked = select(attempt.c.reason).where(attempt.c.status.in_(list(_NOT_DONE)))
    found = ledger.read(lambda c: c.execute(asked).scalars().all())
    return Counter("given back" if one is None else str(one) for one in found)


@contextmanager
def world_for(folder: Path, database: Server, url: str) -> Iterator[World]:
    """An archive in a bucket behind a bad road, and all that a run over it needs."""
    with ExitStack() as opened:
        _, reach = opened.enter_context(place_for("s3", folder))
        endpoint = str(reach["s3_endpoint_url"])
        road = opened.enter_context(bad_road_to(endpoint))
        client = make_test_client(endpoint)
        client.create_bucket(Bucket="world")
        there: set[Path] = set()

        def add(scans: int) -> None:
            archive = make_archive(folder / "archive", len(there) + scans)
            for path in {*archive.glob("*/*")} - there:
                key = f"archive/{path.relative_to(archive)}"
                client.put_object(Bucket="world", Key=key, Body=path.read_bytes())
                there.add(path)

        try:
            scratch = opened.enter_context(small_disk(folder / "scratch", 4 << 20))
        except OSError:
            scratch = None
        checkpoint = make_checkpoint(folder / "quick.safetensors")
        given = usual("s3://world/archive", "s3://world/colour", url, checkpoint)
        given |= reach
        given |= {
            "s3_endpoint_url": road.endpoint,
            "s3_max_attempts": 2,
            "s3_timeout_s": 1.0,
            "lease_s": 120.0,  # a slow machine must not lose one
        }
        if scratch:
            given["scratch"] = str(scratch)
        yield World(given, add, database, road, scratch)


def main() -> int:
    """Run it, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--scans", type=int, default=60, help="that come for each outage")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hold", type=float, default=3.0, metavar="S", help="of each outage")
    parser.add_argument("--only", choices=sorted(ALL), action="append")
    asked = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        database = opened.enter_context(running_server())
        upgrade(database.url())
        world = opened.enter_context(world_for(folder, database, database.url()))
        names = (asked.only or list(ALL)) * asked.rounds
        report = run(world, names, scans=asked.scans, hold_s=asked.hold)
    figures = {**vars(report), "verdict": vars(report.verdict)}
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 1 if report.verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
