"""Workers over one ledger and one store, killed at random moments until enough were killed.

    python -m tests.durability.harness --items 2000 --kills 300 --database postgresql --store s3

Nine of twelve times a worker is killed (SIGKILL), twice it is asked to end (SIGTERM), once it is
stopped for longer than its lease and then goes on (SIGSTOP, SIGCONT), as a suspended machine does.
Whatever is wrong in the end is printed, and the exit code is 1.
"""

import argparse
import json
import os
import platform
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from moto.server import ThreadedMotoServer

from tasks.ledger import Ledger
from tasks.ledger.migrate import upgrade
from tasks.settings import Settings
from tests.databases import running_server
from tests.durability.checking import Verdict, check_all
from tests.durability.workers import (
    Order,
    enqueue_all,
    make_archive,
    make_checkpoint,
    start,
    usual,
)
from tests.orders import next_due_s
from tests.s3server import make_test_client, settings_for

WAYS = ("kill",) * 9 + ("terminate",) * 2 + ("stop",)


@dataclass(frozen=True)
class Plan:
    """How much is done to how many."""

    items: int
    kills: int
    workers: int = 3
    every_s: tuple[float, float] = (0.1, 1.2)  #: between two of them
    seed: int = 1907
    ways: tuple[str, ...] = WAYS


@dataclass
class Report:
    """What was done, and what came of it."""

    database: str
    store: str
    done: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    exits: Counter[str] = field(default_factory=Counter)  #: of workers that nobody killed
    verdict: Verdict = field(default_factory=Verdict)


class Crew:
    """The workers that are alive, and what is done to them."""

    def __init__(self, order: Order, plan: Plan, report: Report) -> None:
        self._order = order
        self._plan = plan
        self._report = report
        self._chance = random.Random(plan.seed)  # noqa: S311 - a test's
        self._begun = 0
        self._alive = [self._start() for _ in range(plan.workers)]
        self._stopped: list[tuple[float, int]] = []  # until when, process

    def harass(self, ledger: Ledger) -> None:
        """Kill until it is enough, or nothing is left to do."""
        number = 0
        while number < self._plan.kills:
            time.sleep(self._chance.uniform(*self._plan.every_s))
            self._wake()
            if next_due_s(ledger, self._recipe_id(ledger)) is None:
                return
            place = self._chance.randrange(len(self._alive))
            way = self._chance.choice(self._plan.ways)
            self._do(way, place)
            self._report.done[way] += 1
            number += 1

    def finish(self) -> None:
        """Let everyone work until nothing is left."""
        for _, pid in self._stopped:
            _signal(pid, signal.SIGCONT)
        for worker in self._alive:
            worker.join()
            self._report.exits[str(worker.exitcode)] += 1

    @staticmethod
    def _recipe_id(ledger: Ledger) -> int:
        recipe = ledger.current_recipe()
        if recipe is None:
            raise RuntimeError("no recipe")
        return recipe.id

    def _start(self):  # noqa: ANN202 - a private class of multiprocessing
        self._begun += 1
        return start(self._order, f"worker-{self._begun}")

    def _do(self, way: str, place: int) -> None:
        worker = self._alive[place]
        if way == "stop" and worker.is_alive():
            _signal(worker.pid, signal.SIGSTOP)
            self._stopped.append((time.monotonic() + 1.7 * 3.0, worker.pid))
            return  # another does its work meanwhile; it is one of the crew
        if way == "kill":
            worker.kill()
        else:
            worker.terminate()
        if any(worker.pid == pid for _, pid in self._stopped):
            _signal(worker.pid, signal.SIGCONT)
        worker.join()
        if way == "terminate":
            self._report.exits[str(worker.exitcode)] += 1
        self._alive[place] = self._start()

    def _wake(self) -> None:
        now = time.monotonic()
        for until, pid in self._stopped:
            if until <= now:
                _signal(pid, signal.SIGCONT)
        self._stopped = [one for one in self._stopped if one[0] > now]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def run(given: dict[str, object], plan: Plan, *, store: str) -> Report:
    """Do it, over a migrated database and an archive that the settings name."""
    settings = Settings.model_validate(given)
    url = settings.database_url.get_secret_value()
    report = Report(url.partition(":")[0], store)
    begin = time.monotonic()
    with Ledger.open(url) as ledger:
        enqueue_all(given, ledger)
        crew = Crew(Order(given), plan, report)
        crew.harass(ledger)
        crew.finish()
        if next_due_s(ledger, crew._recipe_id(ledger)) is not None:
            # Those who were there ended while others were stopped or being killed.
            last = start(Order(given), "the last")
            last.join()
        report.seconds = round(time.monotonic() - begin, 1)
        report.verdict = check_all(ledger, settings, items=plan.items)
    return report


@contextmanager
def place_for(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """An empty output of a kind: its address, and the settings that reach it."""
    if kind == "folder":
        yield str(folder / "colour"), {}
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    bucket = f"colour-{secrets.token_hex(4)}"
    make_test_client(endpoint).create_bucket(Bucket=bucket)
    named = settings_for(endpoint)
    fields = ("s3_endpoint_url", "s3_region", "s3_access_key_id", "s3_secret_access_key")
    yield f"s3://{bucket}/out", {name: getattr(named, name) for name in fields}
    server.stop()


def main() -> int:
    """Run it, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--every", type=float, nargs=2, default=(0.1, 1.2), metavar="S")
    parser.add_argument("--seed", type=int, default=1907)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--store", choices=["folder", "s3"], default="folder")
    asked = parser.parse_args()
    plan = Plan(asked.items, asked.kills, asked.workers, tuple(asked.every), asked.seed)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        if asked.database == "postgresql":
            url = opened.enter_context(running_server()).url()
        else:
            url = f"sqlite:///{folder}/ledger.db"
        upgrade(url)
        archive = make_archive(folder / "archive", plan.items)
        output, reach = opened.enter_context(place_for(asked.store, folder))
        checkpoint = make_checkpoint(folder / "quick.safetensors")
        given = {**usual(str(archive), output, url, checkpoint), **reach}
        report = run(given, plan, store=asked.store)
    where = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    told = {"date": datetime.now(UTC).isoformat(timespec="minutes"), "machine": where}
    figures = {**told, **vars(report), "verdict": vars(report.verdict)}
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 1 if report.verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
