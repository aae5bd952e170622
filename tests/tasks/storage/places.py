"""Places where a store under test lies, filled and looked at without our own code."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.settings import Settings
from tests.s3server import S3Bucket

NOBODY = 65534


class Place(Protocol):
    """Where a store under test lies."""

    url: str
    settings: Settings

    def seed(self, key: str, content: bytes) -> None:
        """Make an object there."""

    def content(self) -> dict[str, bytes]:
        """Return what lies there, by key, without the store's own things."""


@dataclass
class FolderPlace:
    """A folder."""

    root: Path
    settings: Settings

    @property
    def url(self) -> str:
        """Its address."""
        return str(self.root)

    def seed(self, key: str, content: bytes) -> None:
        """Make an object there."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def content(self) -> dict[str, bytes]:
        """Return what lies there, by key."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and ".autochrome" not in path.parts
        }


@dataclass
class BucketPlace:
    """A prefix in a bucket."""

    bucket: S3Bucket

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.bucket.url}/archive"

    @property
    def settings(self) -> Settings:
        """Settings that reach it."""
        return self.bucket.settings

    def seed(self, key: str, content: bytes) -> None:
        """Make an object there."""
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=f"archive/{key}", Body=content)

    def content(self) -> dict[str, bytes]:
        """Return what lies there, by key."""
        client, name = self.bucket.client, self.bucket.name
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {
            key.removeprefix("archive/"): client.get_object(Bucket=name, Key=key)["Body"].read()
            for key in keys
            if key != "archive/.autochrome"
        }


@dataclass(frozen=True)
class File:
    """A file to put, with what `put` wants to know of it."""

    path: Path
    content: bytes
    sha256: str


@dataclass
class MakeFile:
    """Writes numbered files."""

    folder: Path
    count: int = 0

    def __call__(self, content: bytes) -> File:
        """Write the next file."""
        self.count += 1
        path = self.folder / f"made-{self.count}"
        path.write_bytes(content)
        return File(path, content, hashlib.sha256(content).hexdigest())


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Run as an account that file permissions hold for; root's do not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
