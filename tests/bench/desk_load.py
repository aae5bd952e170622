"""Measures the desk over a ledger of a million items: a scripted session, and many at once.

    python -m tests.bench.desk_load --archive /path/to/scans            # SQLite and PostgreSQL
    python -m tests.bench.desk_load --archive DIR --databases sqlite --items 100000 --seconds 20

The scans of the archive are coloured for it; so many more items are put beside them, a third of
which wait for a curator, in 40 collections. One process serves the desk, another one is the
browsers: first one person alone, every page and 26 pictures in turn, then 100 decisions; then 20
who decide while 200 more only listen to what is decided: first as people do, one each two seconds
on average, then as fast as they are answered. At the end every decision must be in the ledger once,
and every listener must have heard of it.
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, func, select, text

from flows.desk.app import desk_app
from flows.desk.desk import open_desk
from flows.web.server import WebServer
from tasks.ledger import Ledger
from tasks.ledger.engine import connect
from tasks.ledger.migrate import upgrade
from tasks.ledger.opening import open_ledger
from tasks.schema import decision
from tasks.settings import Settings
from tests.databases import running_server
from tests.ports import free_port
from tests.workers import colour_missing

AUTH = ("bench", "bench")
CONTEXT = multiprocessing.get_context("spawn")
DECIDING, LISTENING = 20, 200
#: Seconds that a person looks at a picture, between a half and one and a half times it.
LOOKED_AT_S = 2.0

#: A number n from 1 on gives a scan and an item each; both databases read it.
_SCANS = """
INSERT INTO scan (store_id, key, page, collection, size_bytes, etag, modified_at, revision,
    found_at, archived, listing, read_listing, sha256, width, height, bits, pages)
WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
SELECT {store}, 'fonds-' || (n % 40) || '/box-' || (n / 1000) || '/scan-' || n || '.tif', 0,
    'Collection ' || (n % 40), 1000000 + n % 65536, 'e' || n, {now}, 1, {now}, {no}, 1, 1,
    substr('0000000000000000' || n, -16) || '{rest}', 600, 400, 8, 1
FROM numbers
"""
_ITEMS = """
INSERT INTO item (scan_id, recipe_id, collection, revision, status, reason, attempts, alone,
    not_before, created_at, changed_at, confidence)
SELECT id, {recipe}, collection, 1,
    CASE WHEN id / 40 % 10 < 3 THEN 'review' WHEN id / 40 % 10 = 3 THEN 'failed'
        WHEN id / 40 % 10 = 4 THEN 'rejected' ELSE 'published' END,
    CASE WHEN id / 40 % 10 = 3 THEN 'timeout' WHEN id / 40 % 10 > 2 THEN NULL
        WHEN id / 400 % 7 = 0 THEN 'low_confidence' WHEN id / 400 % 7 = 1 THEN 'toned'
        WHEN id / 400 % 7 = 2 THEN 'own_colour' ELSE NULL END,
    1, {no}, {now}, {now}, {now}, (id * 7919 % 10000) / 10000.0
FROM scan WHERE key LIKE 'fonds-%'
"""


def fill(url: str, ledger: Ledger, items: int) -> None:
    """Put so many scans and items into a ledger that knows a recipe."""
    recipe = ledger.current_recipe()
    assert recipe is not None

    def work(connection: Connection) -> None:
        is_sqlite = connection.dialect.name == "sqlite"
        now = "strftime('%Y-%m-%d %H:%M:%f', 'now')" if is_sqlite else "now()"
        connection.execute(
            text("INSERT INTO store (url, is_source) VALUES ('s3://bench/scans', :yes)"),
            {"yes": True},
        )
        store = connection.execute(text("SELECT id FROM store WHERE url LIKE 's3:%'")).scalar_one()
        words = {
            "now": now,
            "no": "0" if is_sqlite else "false",
            "store": store,
            "recipe": recipe.id,
            "rest": "ab" * 24,
        }
        scans = _SCANS.format(first=1, last=items, **words)
        if not is_sqlite:
            scans = scans.replace("substr('0000000000000000' || n, -16)", "lpad(n::text, 16, '0')")
        connection.execute(text(scans))
        connection.execute(text(_ITEMS.format(**words)))

    engine = connect(url)
    with engine.begin() as connection:
        work(connection)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


def serve(settings: Settings, is_up: Event, is_over: Event) -> None:
    """The desk, until it is over; in a process of its own."""
    with (
        open_ledger(settings) as ledger,
        open_desk(settings, ledger) as desk,
        WebServer(settings, desk_app(desk)),
    ):
        is_up.set()
        is_over.wait()


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The desk's address."""
    is_up, is_over = CONTEXT.Event(), CONTEXT.Event()
    process = CONTEXT.Process(target=serve, args=(settings, is_up, is_over))
    process.start()
    assert is_up.wait(60)
    yield f"http://127.0.0.1:{settings.web_port}"
    is_over.set()
    process.join(20)


class Times:
    """How long each kind of request took, in milliseconds."""

    def __init__(self) -> None:
        self.of: dict[str, list[float]] = {}

    async def get(self, client: httpx.AsyncClient, kind: str, url: str) -> httpx.Response:
        """Ask, and count."""
        return await self.ask(client, kind, "GET", url)

    async def ask(
        self, client: httpx.AsyncClient, kind: str, method: str, url: str, **more: object
    ) -> httpx.Response:
        """Ask, and count."""
        began = time.perf_counter()
        answer = await client.request(method, url, **more)  # type: ignore[arg-type]
        assert answer.status_code in {200, 303}, (url, answer.status_code, answer.text[:300])
        self.of.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
        return answer

    def rows(self) -> Iterator[tuple[str, int, float, float]]:
        """Kind, number, median and 99th percentile."""
        for kind, taken in self.of.items():
            ordered = sorted(taken)
            last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
            yield kind, len(taken), statistics.median(taken), last


HTML = {"Accept": "text/html"}
PAGES = {
    "review, all": "/review",
    "review, collection and reason": "/review?collection=Collection+7&reason=toned",
    "review, confidence": "/review?most=0.4",
    "review, newest first": "/review?order=newest",
    "queue of 20": "/api/queue?limit=20",
    "queue, within a folder": "/api/queue?within=s3://bench/scans/fonds-7/box-7/",
    "search, number": "/search?q=500",
    "search, sha256": "/search?q=0000000000000123abab",
    "search, key": "/search?q=fonds-7/box-7/scan-7007.tif",
    "search, nothing": "/search?q=nothing-like-it",
    "pace": "/pace",
}


async def session(url: str, times: Times) -> None:
    """One person alone: every page, and the pictures of the archive's own scans one by one."""
    async with httpx.AsyncClient(base_url=url, auth=AUTH, timeout=60, headers=HTML) as client:
        for _ in range(10):
            for kind, path in PAGES.items():
                await times.get(client, kind, path)
        queue = (await client.get("/api/queue?collection=archive&limit=100")).json()["items"]
        shown = []
        for row in queue:  # as the script does: the next three are asked for ahead
            shown.append((await client.get(f"/api/items/{row['id']}")).json())
            for which in ("scan", "colour"):
                base = shown[-1][which]
                await times.get(client, "picture made", f"{base}/full/!1600,1600/0/default.jpg")
        for _ in range(4):
            for one in shown:
                await times.get(client, "pane", f"/review/pane?item={one['id']}")
                for which in ("scan", "colour"):
                    base = one[which]
                    await times.get(client, "next picture", f"{base}/full/!1600,1600/0/default.jpg")
                    await times.get(client, "tile", f"{base}/64,64,256,256/256,/0/default.jpg")


async def listen(url: str, heard: set[int], is_over: asyncio.Event) -> None:
    """One who only listens."""
    async with (
        httpx.AsyncClient(base_url=url, auth=AUTH, timeout=3600) as client,
        client.stream("GET", "/api/events") as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                told = json.loads(line.removeprefix("data: "))
                heard.add(told.get("decision", 0))
            if is_over.is_set():
                return


@dataclass(frozen=True)
class Curator:
    """One who decides, in a collection of his own.

    Attributes:
        who: As the table calls him.
        number: Of the collection.
        until: When he goes home, by the monotonic clock.
        pause_s: How long he looks at a picture, on average.
        most: Decisions, if he goes home before.
    """

    who: str
    number: int
    until: float
    pause_s: float = 0.0
    most: float = math.inf


async def decide(url: str, curator: Curator, times: Times, made: list[int]) -> None:
    """Next, look, decide, undo each tenth."""
    who = curator.who
    async with httpx.AsyncClient(base_url=url, auth=AUTH, timeout=60) as client:
        token = (await client.get("/api/me")).json()["form_token"]
        headers = {"X-CSRF-Token": token}
        query, count = f"collection=Collection+{curator.number}", 0
        while time.monotonic() < curator.until and count < curator.most:
            page = await times.get(client, f"queue, {who}", f"/api/queue?{query}&limit=10")
            for row in page.json()["items"]:
                if time.monotonic() > curator.until:
                    break
                path = f"/api/items/{row['id']}"
                item = (await times.get(client, f"item, {who}", path)).json()
                looked_s = curator.pause_s * (0.5 + random.random())  # noqa: S311 -- no secret
                await asyncio.sleep(looked_s)
                body = {"kind": "approve", "seen": item["seen"], "seconds": 1.0}
                answer = await times.ask(
                    client,
                    f"decision, {who}",
                    "POST",
                    f"{path}/decision",
                    json=body,
                    headers=headers,
                )
                made.append(answer.json()["decision"])
                count += 1
                if count % 10 == 0:
                    undo = f"{path}/undo?decision={made[-1]}"
                    await times.ask(client, f"undo, {who}", "POST", undo, headers=headers)


async def many(url: str, seconds: float, times: Times) -> tuple[list[int], list[set[int]]]:
    """One who decides; then, while 200 listen, 20, and 20 in a hurry: decisions, and who heard."""
    made: list[int] = []
    heard: list[set[int]] = [set() for _ in range(LISTENING)]
    is_over = asyncio.Event()
    alone = Curator("one", DECIDING, time.monotonic() + seconds, most=100)
    await decide(url, alone, times, made)
    made.clear()
    listeners = [asyncio.create_task(listen(url, one, is_over)) for one in heard]
    await asyncio.sleep(5)
    for who, pause_s in (("many", LOOKED_AT_S), ("many at once", 0.0)):
        until = time.monotonic() + seconds
        curators = (Curator(who, number, until, pause_s) for number in range(DECIDING))
        await asyncio.gather(*(decide(url, one, times, made) for one in curators))
    await asyncio.sleep(5)
    is_over.set()
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    return made, heard


def measure(kind: str, url: str, options: argparse.Namespace, folder: Path) -> Table:
    """All of it on one database."""
    settings = Settings(
        database_url=SecretStr(url),
        sources=(str(options.archive),),
        output=str(folder / "colour"),
        collection="archive",
        api_auth=SecretStr(":".join(AUTH)),
        web_port=free_port(),
    )
    upgrade(url)
    colour_missing(settings)
    with open_ledger(settings) as ledger:
        fill(url, ledger, options.items)
    alone, together = Times(), Times()
    with served(settings) as address:
        asyncio.run(session(address, alone))
        made, heard = asyncio.run(many(address, options.seconds, together))
    engine = connect(url)
    with engine.begin() as connection:
        numbers = select(func.count()).where(decision.c.id.in_(made))
        kept = connection.execute(numbers).scalar_one()
    engine.dispose()
    table = Table(title=f"{kind}, {options.items:,} items")
    for heading in ("request", "n", "median ms", "99 % ms"):
        table.add_column(heading, justify="left" if heading == "request" else "right")
    for times in (alone, together):
        for name, n, half, most in times.rows():
            table.add_row(name, f"{n:,}", f"{half:.0f}", f"{most:.0f}")
    missed = sum(len(set(made) - one) for one in heard)
    table.caption = (
        f"{len(made):,} decisions by {DECIDING} in {2 * options.seconds:.0f} s, {kept:,} kept; "
        f"{missed:,} of {len(made) * LISTENING:,} not heard by {LISTENING} listeners"
    )
    return table


def main() -> None:
    """Measure, and print a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    console = Console()
    for kind in options.databases:
        with tempfile.TemporaryDirectory(prefix="desk-load-") as place:
            folder = Path(place)
            if kind == "sqlite":
                console.print(measure(kind, f"sqlite:///{folder}/ledger.db", options, folder))
                continue
            with running_server() as server:
                server.execute("CREATE DATABASE desk")
                console.print(measure(kind, server.url("desk"), options, folder))


if __name__ == "__main__":
    main()
