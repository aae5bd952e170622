"""How many scans a second come from and go to an S3 that is far away: each request takes 50 ms.

    python -m tests.bench.s3_latency [--delay-ms 50] [--scans 2000] [--processes 1]

A server in a process of its own keeps objects in memory and answers every request late. Each scan
is fetched, put and read back, as the pipeline does, in as many threads as a worker has; pixels and
the network are left out, so this is what stores alone would let through.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import md5, sha256
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tasks.batch.worker import IO_THREADS
from tasks.storage import open_store
from tests.ports import free_port
from tests.s3server import settings_for

SCAN = bytes(range(250)) * 240  # as many as a greyscale JPEG of 640 px has
CONTEXT = multiprocessing.get_context("spawn")


@contextmanager
def far_away(delay_s: float) -> Iterator[str]:
    """Serve buckets that answer late; their endpoint."""
    mine, its = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_serve, args=(delay_s, its), daemon=True)
    process.start()
    yield mine.recv()
    process.terminate()
    process.join()


def _serve(delay_s: float, told: Connection) -> None:
    objects: dict[str, bytes] = {}

    async def answer(request: Request) -> Response:
        path = request.url.path
        body = await request.body()
        await asyncio.sleep(delay_s)
        if request.method == "PUT":
            objects[path] = body
        elif "list-type" in request.query_params:
            return Response(_LISTING, media_type="application/xml")
        elif path not in objects and "/scan-" not in path:
            return Response(status_code=404)
        found = objects.get(path, SCAN)
        headers = {"ETag": f'"{md5(found, usedforsecurity=False).hexdigest()}"'}
        return Response(b"" if request.method == "PUT" else found, headers=headers)

    port = free_port()
    every = Route("/{path:path}", answer, methods=["GET", "HEAD", "PUT"])
    told.send(f"http://127.0.0.1:{port}")
    uvicorn.run(Starlette(routes=[every]), port=port, log_level="warning")


_LISTING = (
    '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>far</Name><KeyCount>1</KeyCount><MaxKeys>1</MaxKeys><IsTruncated>false</IsTruncated>"
    "<Contents><Key>scan-0</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    "<ETag>&quot;0&quot;</ETag><Size>60000</Size><StorageClass>STANDARD</StorageClass></Contents>"
    "</ListBucketResult>"
)


def measure(endpoint: str, scans: int) -> tuple[float, float]:
    """Seconds by the clock and of CPU for so many scans, fetched, put and read back."""
    settings = settings_for(endpoint, s3_timeout_s=60.0)
    source = open_store("s3://far", settings=settings)
    output = open_store("s3://colour", settings=settings, writable=True)
    digest = sha256(SCAN).hexdigest()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(IO_THREADS) as threads:

        def move(number: int) -> None:
            path = Path(folder) / str(number)
            source.fetch(f"scan-{number}", path)
            output.put(f"c/{number}", path, content_type="image/jpeg", sha256=digest)
            if output.digest(f"c/{number}") != digest:
                raise RuntimeError("read back wrongly")
            path.unlink()

        list(threads.map(move, range(IO_THREADS)))  # connections are made
        began, worked = time.perf_counter(), time.process_time()
        list(threads.map(move, range(scans)))
        return time.perf_counter() - began, time.process_time() - worked


def main() -> None:
    """Measure, and print a line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--delay-ms", type=float, default=50)
    parser.add_argument("--scans", type=int, default=2000, help="of each process")
    parser.add_argument("--processes", type=int, default=1, help="workers beside each other")
    given = parser.parse_args()
    with far_away(given.delay_ms / 1000) as endpoint, CONTEXT.Pool(given.processes) as pool:
        time.sleep(1)  # until it listens
        jobs = [(endpoint, given.scans)] * given.processes
        found = pool.starmap(measure, jobs)
    rate = sum(given.scans / seconds for seconds, _ in found)
    cpu_ms = 1000 * sum(cpu for _, cpu in found) / (given.scans * given.processes)
    print(  # noqa: T201 - its output
        f"{given.delay_ms:g} ms a request, {given.processes} × {IO_THREADS} threads: "
        f"{rate:.0f} scans/s, {cpu_ms:.1f} ms of CPU a scan"
    )


if __name__ == "__main__":
    main()
