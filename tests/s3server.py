"""A real S3 endpoint on loopback, for tests and for trying things out: moto behind HTTP.

As a command it serves until interrupted, with the buckets that are named made:

    python -m tests.s3server --port 9000 scans colour

The tests take another server where AUTOCHROME_TEST_S3_ENDPOINT names one, with its credentials in
AUTOCHROME_TEST_S3_KEY_ID and AUTOCHROME_TEST_S3_SECRET. They leave buckets behind there.
"""

import argparse
import functools
import logging
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from moto.s3.models import FakeKey
from moto.server import ThreadedMotoServer

from tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def _stay_open(key: FakeKey, *, garbage: bool = False) -> None:
    """Let an object that is overwritten stay whole for those who are just reading it, as in S3."""
    del key, garbage


# moto closes its buffer under them: of two who put the same object at once, one would be told 500.
FakeKey.dispose = _stay_open  # type: ignore[method-assign,assignment]

logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request is too many

ACCESS_KEY_ID = os.environ.get("AUTOCHROME_TEST_S3_KEY_ID", "autochrome-tests")
SECRET_ACCESS_KEY = os.environ.get("AUTOCHROME_TEST_S3_SECRET", "not-a-secret")
REGION = "us-east-1"


@dataclass(frozen=True)
class S3Bucket:
    """A bucket of its own, behind a real endpoint.

    Attributes:
        name: Of the bucket; `url` is its address for `open_store`.
        endpoint: "http://127.0.0.1:port".
        client: Beside our own store, to look at what is there and to put what should be.
    """

    name: str
    endpoint: str
    client: "S3Client"

    @property
    def url(self) -> str:
        """The bucket's address."""
        return f"s3://{self.name}"

    @property
    def settings(self) -> Settings:
        """Settings that reach it."""
        return settings_for(self.endpoint)


def settings_for(endpoint: str, **others: object) -> Settings:
    """Return settings for an endpoint on loopback: invented credentials, short waits."""
    return Settings.model_validate(
        {
            "s3_endpoint_url": endpoint,
            "s3_region": REGION,
            "s3_access_key_id": ACCESS_KEY_ID,
            "s3_secret_access_key": SECRET_ACCESS_KEY,
            "s3_max_attempts": 3,
            "s3_timeout_s": 5.0,
            **others,
        }
    )


@functools.cache
def make_test_client(endpoint: str) -> "S3Client":
    """Return a plain client of the endpoint."""
    return boto3.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET_ACCESS_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on a free port of loopback, or the one that is named; its URL."""
    if given := os.environ.get("AUTOCHROME_TEST_S3_ENDPOINT"):
        yield given
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> S3Bucket:
    """An empty bucket that no other test uses."""
    client = make_test_client(s3_endpoint)
    name = f"bucket-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=name)
    return S3Bucket(name, s3_endpoint, client)


def main() -> None:
    """Serve until interrupted, and say how to use it."""
    parser = argparse.ArgumentParser(description="An S3 endpoint in memory, on loopback.")
    parser.add_argument("buckets", nargs="*", help="made at the start")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    given = parser.parse_args()
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # in the server's threads too: waited for below
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=given.port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for bucket in given.buckets:
        make_test_client(endpoint).create_bucket(Bucket=bucket)
    sys.stdout.write(
        f"export AUTOCHROME_S3_ENDPOINT_URL={endpoint}\n"
        f"export AUTOCHROME_S3_ACCESS_KEY_ID={ACCESS_KEY_ID}\n"
        f"export AUTOCHROME_S3_SECRET_ACCESS_KEY={SECRET_ACCESS_KEY}\n"
    )
    sys.stdout.flush()
    signal.sigwait(ends)
    server.stop()


if __name__ == "__main__":
    main()
