"""The S3 endpoint that the tests and the walkthrough use."""

import os
import subprocess
import sys
from pathlib import Path

from tasks.storage import open_store
from tests.s3server import S3Bucket


def test_as_a_fixture(s3_bucket: S3Bucket) -> None:
    """A bucket of one's own, behind HTTP."""
    s3_bucket.client.put_object(Bucket=s3_bucket.name, Key="a.jpg", Body=b"scan")
    store = open_store(s3_bucket.url, settings=s3_bucket.settings)
    assert [info.key for info in store.list_objects()] == ["a.jpg"]


def test_as_a_command(tmp_path: Path) -> None:
    """What it prints makes a shell reach its buckets, and SIGTERM ends it."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.s3server", "scans", "colour"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert server.stdout is not None
    try:
        lines = [server.stdout.readline() for _ in range(3)]
        script = "".join(lines) + f'exec "{sys.executable}" -c "$0"'
        program = (
            "from tasks.settings import load_settings; from tasks.storage import open_store\n"
            "for bucket in ('scans', 'colour'):\n"
            "    print(open_store(f's3://{bucket}', settings=load_settings()).url)"
        )
        shell = subprocess.run(
            ["sh", "-c", script, program],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if "S3" not in key},
        )
        assert shell.stdout.split() == ["s3://scans", "s3://colour"]
    finally:
        server.terminate()
        server.stdout.close()
        assert server.wait(timeout=30) == 0
