"""An S3 server that lists objects which exist only as numbers, 1,000 keys a page as AWS does."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from urllib.parse import parse_qs, urlsplit

PAGE_KEYS = 1_000


@contextmanager
def serving(objects: int) -> Iterator[str]:
    """Serve a bucket of so many objects from a process of its own; its endpoint."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_serve, args=(objects, its), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{mine.recv()}"
    process.terminate()
    process.join()


def _serve(objects: int, told: Connection) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            first = int(asked.get("continuation-token", ["0"])[0])
            most = min(PAGE_KEYS, int(asked.get("max-keys", [PAGE_KEYS])[0]))
            body = page(first, min(first + most, objects), objects).encode()
            self.send_response_only(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """A thousand lines would be too many."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.send(server.server_address[1])
    server.serve_forever()


def page(first: int, last: int, objects: int) -> str:
    """The answer to ListObjectsV2 for objects *first* to *last*."""
    more = last < objects
    token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
    entries = "".join(
        f"<Contents><Key>fonds-{n // 100_000:04d}/photograph-{n:09d}.tif</Key>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{n:032x}&quot;</ETag><Size>1000000</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for n in range(first, last)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bench</Name>'
        f"<KeyCount>{last - first}</KeyCount><MaxKeys>{PAGE_KEYS}</MaxKeys>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
    )
