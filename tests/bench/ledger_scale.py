"""Measures the ledger at archive scale, on generated listings.

    python -m tests.bench.ledger_scale                                 # all of it, about 12 minutes
    python -m tests.bench.ledger_scale --databases postgresql --objects 0 --items 1000000

On each database: discovering *objects* twice, in a process of its own (its peak memory counts);
enqueueing them; the same over S3, with 1,000 keys a page; claiming and finishing batches among
*items* from several processes at once; asking for the counts; what a scan leaves in
PostgreSQL. A table is printed, and with --json
everything is written as JSON. PostgreSQL comes from a wheel, flushes each commit to disk, and has
the settings of `CONF`; or it is the server that a URL names, where databases
``autochrome_bench_…`` are made.
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

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, bindparam, text

from tasks.ledger import DerivativeRecord, Ledger, Outcome, Recipe
from tasks.ledger.migrate import upgrade
from tasks.schema import ItemStatus, Moment
from tasks.storage import open_store
from tests.bench.s3_listing import serving
from tests.databases import Server
from tests.orders import claim_batch, enqueue
from tests.s3server import settings_for

SOURCE = "s3://bench/scans"
OUTPUT = "s3://bench/colour"
BATCH = 64
SQLITE_ITEMS = 1_000_000

CONF = """
shared_buffers = 1GB
max_wal_size = 8GB
checkpoint_timeout = 15min
maintenance_work_mem = 512MB
"""
"""A small server's memory; what is written and flushed, and when, is as PostgreSQL has it."""

TARGETS = {
    "discovery.first_objects_per_s": (">=", 15_000),
    "discovery.second_objects_per_s": (">=", 15_000),
    "discovery.peak_mib": ("<=", 300),
    "work.items_per_s": (">=", 5_000),
    "work.claim_ms.p99": ("<=", 20),
    "counts.median_ms": ("<=", 200),
}


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
        folder.chmod(0o755)  # the server runs as another user when we are root
        server = Server(folder / "data", conf=CONF)
        yield Maker(server.url(), folder)
        server.delete()
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


def measure_s3_listing(url: str, objects: int) -> dict[str, object]:
    """Discover over S3, in a fresh process, from a server that makes pages of 1,000 keys up."""
    with serving(objects) as endpoint, multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_discover_s3, (url, objects, endpoint))


def _discover_s3(url: str, objects: int, endpoint: str) -> dict[str, object]:
    store = open_store("s3://bench", settings=settings_for(endpoint, s3_timeout_s=60.0))
    begin = time.perf_counter()
    listed = sum(1 for _ in store.list_objects())
    listing_s = time.perf_counter() - begin
    with Ledger.open(url) as ledger:
        begin = time.perf_counter()
        found = ledger.record_listing(store.url, store.list_objects(), collection="s3")
        taken_s = time.perf_counter() - begin
    if not listed == found.new == objects:
        raise RuntimeError(f"listed {listed}, discovered {found}")
    return {
        "objects": objects,
        "listing_objects_per_s": round(objects / listing_s),
        "discovery_objects_per_s": round(objects / taken_s),
        "peak_mib": round(_peak_mib()),
    }


def measure_enqueue(url: str, objects: int) -> dict[str, object]:
    """Enqueue what was discovered, twice."""
    with Ledger.open(url) as ledger:
        recipe_id = ledger.ensure_recipe(Recipe("1" * 64, {"bench": True}))
        rates = []
        for expected in (objects, 0):
            begin = time.perf_counter()
            if enqueue(ledger, recipe_id, collections=["bench"]) != expected:
                raise RuntimeError("enqueued wrongly")
            rates.append(round(objects / (time.perf_counter() - begin)))
        return {"first_items_per_s": rates[0], "second_items_per_s": rates[1]}


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
    """Make scans and pending items inside the database; returns the recipe's id and the time."""
    begin = time.perf_counter()
    with Ledger.open(url) as ledger:
        recipe_id = ledger.ensure_recipe(Recipe("0" * 64, {"bench": True}))
        store_id = ledger.write(_make_store)
        if url.startswith("sqlite"):
            for first in range(0, items, 100_000):
                last = min(items, first + 100_000)
                ledger.write(
                    lambda c, first=first, last=last: _make_scans(c, store_id, first, last)
                )
            enqueue(ledger, recipe_id)
    if not url.startswith("sqlite"):
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            _fill_in_bulk(connection, store_id, recipe_id, items)
    return {"recipe_id": recipe_id, "fill_s": round(time.perf_counter() - begin, 1)}


def _fill_in_bulk(
    connection: psycopg.Connection, store_id: int, recipe_id: int, items: int
) -> None:
    """As rows of one transaction each, with keys checked and indexes made afterwards."""
    statements = [
        "SET session_replication_role = replica",  # no triggers, no checks
        f"""INSERT INTO scan (id, store_id, key, page, collection, size_bytes, etag, modified_at,
                revision, found_at)
            SELECT n, {store_id}, 'fonds/box-' || n / 1000 || '/photograph-' || n || '.tif', 0,
                'collection-' || n % 8, 1000000, '"' || n || '"', now(), 1, now()
            FROM generate_series(1, {items}) AS n""",  # noqa: S608 - numbers
        f"""INSERT INTO item (id, scan_id, recipe_id, collection, revision, status, attempts,
                alone, not_before, created_at, changed_at)
            SELECT n, n, {recipe_id}, 'collection-' || n % 8, 1, 'pending', 0, false, now(), now(),
                now()
            FROM generate_series(1, {items}) AS n""",  # noqa: S608 - numbers
        f"""INSERT INTO item_tally (recipe_id, collection, status, reason, slot, n)
            SELECT {recipe_id}, collection, 'pending', '', 0, count(*) FROM item
            GROUP BY collection""",  # noqa: S608 - a number
        """INSERT INTO scan_tally (collection, vanished, slot, n)
            SELECT collection, false, 0, count(*) FROM scan GROUP BY collection""",
    ]
    dropped = [*_drop_indexes(connection, "scan"), *_drop_indexes(connection, "item")]
    for statement in [*statements, *dropped]:
        connection.execute(statement.encode())
    for table in ("scan", "item"):
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {items})".encode()
        )
        connection.execute(f"VACUUM ANALYZE {table}".encode())


def _drop_indexes(connection: psycopg.Connection, table: str) -> list[str]:
    """Drop all but the primary key's; returns what makes them again."""
    rows = connection.execute(
        """SELECT c.relname, pg_get_indexdef(i.indexrelid), k.conname
           FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
           LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype = 'u'
           WHERE i.indrelid = %s::regclass AND NOT i.indisprimary""",
        (table,),
    ).fetchall()
    again = []
    for name, definition, constraint in rows:
        again.append(definition)
        if constraint:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}".encode())
            again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")
        else:
            connection.execute(f"DROP INDEX {name}".encode())
    return again


def _make_store(connection: Connection) -> int:
    connection.execute(text("INSERT INTO store (url) VALUES (:url)"), {"url": SOURCE})
    return int(connection.execute(text("SELECT id FROM store")).scalar_one())


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
            claim = claim_batch(
                ledger, recipe_id, worker=worker, limit=BATCH, lease_s=300, max_attempts=3
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


def measure_size(url: str, scans: int) -> dict[str, object]:
    """What a scan leaves in the ledger once it is done, by table, in bytes; indexes included."""
    with Ledger.open(url) as ledger:
        ledger.record_listing(SOURCE, listing(scans), collection="bench")
        recipe_id = ledger.ensure_recipe(Recipe("2" * 64, {"bench": True}))
        enqueue(ledger, recipe_id, collections=["bench"])
    _work(url, recipe_id, "worker", float("inf"), derivatives=2)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("VACUUM")
        rows = connection.execute(
            "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"
        ).fetchall()
    tables = {name: round(size / scans) for name, size in rows if size >= scans}
    return {"together": sum(tables.values()), **dict(sorted(tables.items()))}


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        "p50": round(values[len(values) // 2], 1),
        "p99": round(values[min(len(values) - 1, len(values) * 99 // 100)], 1),
        "max": round(values[-1], 1),
    }


# --- command -------------------------------------------------------------------------------------


def measure(kind: str, given: argparse.Namespace) -> dict[str, object]:
    """Everything, on one kind of database."""
    figures: dict[str, object] = {}
    items = min(given.items, SQLITE_ITEMS) if kind == "sqlite" else given.items
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        databases(kind, Path(folder)) as maker,
    ):
        if given.objects:
            with maker.database("discovery") as url:
                figures["discovery"] = measure_discovery(url, given.objects)
                figures["enqueue"] = measure_enqueue(url, given.objects)
                if given.s3_objects:
                    figures["s3"] = measure_s3_listing(url, given.s3_objects)
        if items:
            with maker.database("work") as url:
                filled = fill(url, items)
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
        if given.size_scans and kind != "sqlite":
            with maker.database("size") as url:
                figures["bytes_a_scan"] = measure_size(url, given.size_scans)
    return figures


def flat(figures: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Names with dots, and their values."""
    if not isinstance(figures, dict):
        yield prefix, figures
        return
    for name, value in figures.items():
        yield from flat(value, f"{prefix}.{name}" if prefix else str(name))


def print_table(results: dict[str, dict[str, object]]) -> None:
    """One row a figure, one column a database, and what PostgreSQL is to reach."""
    table = Table("figure", *results, "target on PostgreSQL")
    columns = {kind: dict(flat(figures)) for kind, figures in results.items()}
    names = dict.fromkeys(name for column in columns.values() for name in column)
    for name in names:
        values = [_number(column.get(name)) for column in columns.values()]
        comparison, goal = TARGETS.get(name, ("", ""))
        table.add_row(name, *values, f"{comparison} {_number(goal)}".strip())
    Console(width=110).print(table)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value or "")


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--databases", nargs="+", default=["postgresql", "sqlite"], help="these, or a server's URL"
    )
    parser.add_argument("--objects", type=int, default=1_000_000, help="to discover; 0: do not")
    parser.add_argument("--s3-objects", type=int, default=200_000, help="over S3; 0: do not")
    parser.add_argument("--items", type=int, default=10_000_000, help="to work among; 0: do not")
    parser.add_argument("--size-scans", type=int, default=50_000, help="done for size; 0: do not")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0, help="to claim and finish for")
    parser.add_argument("--derivatives", type=int, default=1, help="recorded with each item")
    parser.add_argument("--folder", type=Path, default=None, help="for the databases' files")
    parser.add_argument("--json", type=Path, default=None, help="write all figures there, too")
    given = parser.parse_args()
    results = {kind.partition(":")[0]: measure(kind, given) for kind in given.databases}
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{multiprocessing.cpu_count()} cores, Python {platform.python_version()}",
        "command": " ".join(sys.argv),
    }
    if given.json:
        given.json.write_text(json.dumps({**told, **results}, indent=2) + "\n")
    print_table(results)
    sys.stdout.write(", ".join(told.values()) + "\n")


if __name__ == "__main__":
    main()
