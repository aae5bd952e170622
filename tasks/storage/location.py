"""Addresses of stores: what a person may write, and whether two of them overlap."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from tasks.errors import UsageError
from tasks.paths import absolute_path

_KINDS = "use s3://bucket/prefix, file:///folder or a path"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")


@dataclass(frozen=True)
class FolderLocation:
    """A folder, absolute. Links in it are kept as they were written."""

    path: Path

    @property
    def url(self) -> str:
        """The address, normalised."""
        return self.path.as_uri()


@dataclass(frozen=True)
class BucketLocation:
    """A bucket, and a prefix that is empty or ends with "/"."""

    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """The address, normalised."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def parse_location(url: str) -> FolderLocation | BucketLocation:
    """Read the address of a store.

    Raises:
        UsageError: It is none, or of a kind that is not supported.
    """
    if not url.strip():
        raise UsageError(f"no folder or bucket named; {_KINDS}")
    if "\0" in url:
        raise UsageError(f"{url!r}: holds a NUL character; {_KINDS}")
    scheme = _SCHEME.match(url)
    if scheme is None:
        return FolderLocation(absolute_path(url))
    rest = url[scheme.end() :]
    match scheme[1].lower():
        case "s3":
            return _parse_bucket(rest)
        case "file":
            return _parse_file(url, rest)
    raise UsageError(f"{scheme[1]}://…: addresses of this kind are not supported; {_KINDS}")


def check_apart(source: str, output: str) -> None:
    """Refuse an output that lies in the source: derivatives would be found as scans.

    Touches nothing, so that it can be asked before the output is made.

    Raises:
        UsageError: The output is the source, or in it; or an address is none.
    """
    inside = False
    match parse_location(source), parse_location(output):
        case FolderLocation(source_path), FolderLocation(output_path):
            inside = _real(output_path).is_relative_to(_real(source_path))
        case BucketLocation(source_bucket, source_prefix), BucketLocation(bucket, prefix):
            inside = bucket == source_bucket and prefix.startswith(source_prefix)
    if inside:
        raise UsageError(
            f"the output {output} lies in the source {source}: its derivatives would be found "
            "as scans; name an output beside the source"
        )


def _real(path: Path) -> Path:
    # Not `Path.resolve`, which raises at links that lead to themselves.
    return Path(os.path.realpath(path))


def _parse_bucket(rest: str) -> BucketLocation:
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:  # not repeated: what stands before it is likely a secret
        raise UsageError(
            "s3://…: credentials do not belong into an address; set AUTOCHROME_S3_ACCESS_KEY_ID "
            "and AUTOCHROME_S3_SECRET_ACCESS_KEY"
        )
    if not _BUCKET.match(bucket):
        raise UsageError(f"s3://{bucket}: no name of a bucket; use s3://bucket/prefix")
    prefix = prefix.rstrip("/")
    return BucketLocation(bucket, f"{prefix}/" if prefix else "")


def _parse_file(url: str, rest: str) -> FolderLocation:
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        raise UsageError(f"{url}: names another machine or no absolute path; write file:///folder")
    name = unquote_to_bytes(slash + path)
    if b"\0" in name:
        raise UsageError(f"{url}: holds a NUL character; write file:///folder")
    return FolderLocation(Path(os.path.abspath(os.fsdecode(name))))  # noqa: PTH100 - keeps links
