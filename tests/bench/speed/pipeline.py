"""Small scans, end to end: against the network alone, a bare loop, a notebook; flatness.

The bare loop is our own pipeline with nothing recorded: what it and the whole differ by is what
ledger and Prefect cost.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from colormodel.neutral import neutral_mask
from colormodel.planes import Plane
from tasks.batch.batch import colorize_batch
from tasks.batch.worker import Worker, open_worker
from tasks.ledger import Claim, Ending, Ledger, Outcome
from tasks.orders.dispatch import IN_FLIGHT
from tasks.orders.run import begin_run
from tasks.scans.reader import open_scan
from tasks.settings import Settings
from tests.bench.speed.material import small_scans
from tests.bench.speed.rivals import notebook
from tests.bench.speed.rows import Row, at_least, at_most, in_turn, seconds_of
from tests.orders import claim_batch, work_off
from tests.s3server import REGION, make_test_client
from tests.workers import enqueue_missing

ROUNDS = 3


class Unrecorded:
    """Stands where the ledger stands, and records nothing."""

    def finish(self, token: str, outcomes: Sequence[Outcome]) -> dict[int, Ending]:
        """Accept everything."""
        del token
        return {one.item_id: Ending(one.status, one.reason) for one in outcomes}

    def renew(self, token: str, *, lease_s: float) -> int:
        """Leases do not run out here."""
        del token, lease_s
        return 1

    def give_back(self, token: str, item_ids: Collection[int] | None = None, **_: object) -> int:
        """Nothing is given back: a benchmark that stops is void."""
        raise RuntimeError(f"items of {token} were given back: {item_ids}")


def settings_for(folder: Path, source: str, output: str, **given: object) -> Settings:
    """Settings of one run with a fresh ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    return Settings.model_validate(
        {
            "database_url": f"sqlite:///{folder / 'ledger.db'}",
            "sources": (source,),
            "output": output,
            "device": "auto",
            **given,
        }
    )


@contextmanager
def enqueued(settings: Settings) -> Iterator[Worker]:
    """A worker whose ledger knows every scan of the source."""
    with begin_run(settings, kind="benchmark", name="benchmark") as run:
        for source in settings.sources:
            run.discover(source)
        enqueue_missing(settings, run.ledger)
        with open_worker(settings) as worker:
            yield worker


def colour_recorded(worker: Worker) -> None:
    """Colour everything, as a worker does."""
    done = work_off(worker)
    if done.aborted or done.statuses.total() == 0:
        raise RuntimeError(f"the run did not end as it should: {done.in_words()} {done.aborted}")


def colour_unrecorded(worker: Worker, claim: Claim) -> None:
    """Colour the same in the same batches, without a ledger."""
    bare = replace(worker, ledger=Unrecorded())  # type: ignore[arg-type]  # in its place
    size, count = worker.settings.batch_items, len(claim.items)
    batches = (replace(claim, items=claim.items[at : at + size]) for at in range(0, count, size))
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        summaries = threads.map(partial(colorize_batch, bare), batches)
        done = sum(one.statuses.total() for one in summaries)
    if done != count:
        raise RuntimeError(f"{done} of {count} scans were coloured")


def all_items(worker: Worker, ledger: Ledger, count: int) -> Claim:
    """Claim everything, to know it, and give it back."""
    claim = claim_batch(
        ledger,
        worker.recipe_id,
        worker=worker.name,
        limit=count,
        lease_s=600,
        max_attempts=worker.settings.max_attempts,
    )
    if claim is None:
        raise RuntimeError("nothing was enqueued")
    ledger.give_back(claim.token)
    return claim


def inputs_of(worker: Worker, paths: Sequence[Path]) -> list[Plane]:
    """What the network sees of each scan."""
    scans = [open_scan(path) for path in paths]
    network_size = worker.colorizer.network_size
    return [scan.thumbnail(*network_size(scan.header.height, scan.header.width)) for scan in scans]


def measure(folder: Path, *, scans: int) -> list[Row]:
    """Rows about small scans from a folder."""
    source, kind = small_scans(folder / "scans", scans)
    settings = settings_for(folder / "whole", str(source), str(folder / "out"))
    with enqueued(settings) as worker:
        claim = all_items(worker, worker.ledger, scans)
        paths = sorted(source.glob("*.jpg"))
        planes = inputs_of(worker, paths)
        neutral = [neutral_mask(plane) for plane in planes]  # children find it, as they read
        colorizer = worker.colorizer

        def bare() -> None:
            colour_unrecorded(worker, claim)

        def alone() -> None:
            with _all_cores():
                colorizer.predict(planes, neutral=neutral)

        def by_hand() -> None:
            with _all_cores():
                notebook.colour_all(paths, folder / "notebook", colorizer)

        bare()  # children start, files are cached
        network_s, bare_s, notebook_s = in_turn(alone, bare, by_hand, rounds=ROUNDS)
        recorded_s = seconds_of(lambda: colour_recorded(worker))
        bare_s = statistics.mean((bare_s, seconds_of(bare)))  # on either side of the recorded run
    detail = (
        f"{scans} {kind}: network alone {scans / network_s:.1f}/s, whole {scans / bare_s:.1f}/s, "
        f"{settings.cores} cores, {colorizer.device.type}"
    )
    aim = 0.8 if colorizer.device.type == "cuda" else 0.9
    return [
        at_least("end to end over the network alone", network_s / recorded_s, aim, detail),
        at_most(
            "ledger's cost over a bare loop",
            100 * (recorded_s / bare_s - 1),
            5,
            f"{recorded_s:.1f} s against {bare_s:.1f} s",
            unit="%",
        ),
        at_least(
            "as fast as a notebook",
            notebook_s / recorded_s,
            2,
            f"notebook {scans / notebook_s:.1f}/s, ours {scans / recorded_s:.1f}/s",
        ),
    ]


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let the network have what it would have if nothing else were to be done."""
    ours = torch.get_num_threads()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    yield
    torch.set_num_threads(ours)


def measure_s3(folder: Path, *, scans: int) -> list[Row]:
    """The same over an S3 endpoint on loopback, whose server shares these cores."""
    source, kind = small_scans(folder / "s3-scans", scans)
    here = settings_for(folder / "s3-folder", str(source), str(folder / "s3-out"))
    with enqueued(here) as worker:
        folder_s = seconds_of(lambda: colour_recorded(worker))
    with s3_server("scans", "colour") as keys:
        client = make_test_client(keys["s3_endpoint_url"])
        for path in sorted(source.glob("*.jpg")):
            client.upload_file(str(path), "scans", path.name)
        there = settings_for(folder / "s3-whole", "s3://scans", "s3://colour", **keys)
        with enqueued(there) as worker:
            s3_s = seconds_of(lambda: colour_recorded(worker))
    detail = f"{scans} {kind}: folder {scans / folder_s:.1f}/s, S3 {scans / s3_s:.1f}/s"
    return [Row("throughput over S3, of that over a folder", folder_s / s3_s, "×", detail=detail)]


@contextmanager
def s3_server(*buckets: str) -> Iterator[dict[str, str]]:
    """An S3 endpoint in a process of its own, and the settings that reach it."""
    command = [sys.executable, "-m", "tests.s3server", *buckets]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(3)]
        pairs = (line.removeprefix("export AUTOCHROME_").strip().split("=", 1) for line in lines)
        try:
            yield {"s3_region": REGION} | {name.lower(): value for name, value in pairs}
        finally:
            server.terminate()


def measure_flatness(folder: Path, *, largest: int) -> list[Row]:
    """Time a scan and memory at 10, 100, 1,000 … scans, each in a process of its own."""
    counts = [count for count in (10, 100, 1_000, 10_000) if count <= largest]
    each, peaks = [], []
    for count in counts:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            seconds, peak = process.submit(_colour_many, folder / f"flat-{count}", count).result()
        each.append(seconds / count)
        peaks.append(peak)
    told = ", ".join(
        f"{count:,}: {1000 * seconds:.0f} ms, {peak:,} MiB"
        for count, seconds, peak in zip(counts, each, peaks, strict=True)
    )
    steady = each[1:] or each  # of ten scans, half are in the first and last minibatch
    spread = 100 * (max(steady) / min(steady) - 1)
    return [at_most("time a scan, largest over smallest", spread, 10, told, unit="%")]


def _colour_many(place: Path, count: int) -> tuple[float, int]:
    """Seconds, and MiB of this process at its largest."""
    source, _ = small_scans(place / "scans", count)
    with enqueued(settings_for(place, str(source), str(place / "out"))) as worker:
        for _ in range(worker.settings.cores):
            worker.pixels.run(abs, -1)  # children are there when the clock starts
        seconds = seconds_of(lambda: colour_recorded(worker))
    # getrusage would tell of the process that this one was started from, too.
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return seconds, peak_kib >> 10
