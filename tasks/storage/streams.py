"""Bytes on their way between stores and files: copied, digested, and their troubles named."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.errors import (
    AccessDenied,
    AutochromeError,
    OutputFull,
    StorageUnavailable,
    WriteUnverified,
)
from tasks.storage.objects import ObjectMissing

CHUNK_BYTES = 1 << 20

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}


def named_error(error: OSError, what: str) -> AutochromeError:
    """Return the error of `tasks.errors` that says what *error* means for *what*, and a remedy."""
    said = f"{what}: {(error.strerror or type(error).__name__).lower()}"
    if error.errno in _FULL:
        return OutputFull(f"{said}; free some space there, then start again")
    if error.errno in _DENIED:
        return AccessDenied(f"{said}; give the account that runs Autochrome access to it")
    if error.errno in _MISSING:
        return ObjectMissing(
            f"{said}; it is gone or was moved, check that its disk or share is mounted"
        )
    return StorageUnavailable(f"{said}; check the disk or the network mount, it is tried again")


@contextlib.contextmanager
def naming_errors(what: str) -> Iterator[None]:
    """Turn an `OSError` inside into the named error for *what*."""
    try:
        yield
    except OSError as error:
        raise named_error(error, what) from error


def sha256_of(chunks: Iterable[bytes]) -> str:
    """Return the sha256, in hex, of all *chunks* together."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def file_chunks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file of our own, piece by piece."""
    with naming_errors(f"cannot read {path}"), path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def write_file(into: Path, chunks: Iterable[bytes], *, durable: bool = False) -> str:
    """Write *chunks* to the file *into*; no file is left if anything fails.

    Args:
        into: File to write; replaced if it exists.
        chunks: May raise; that ends the copy.
        durable: Return only when the bytes are on the disk.

    Returns:
        The sha256 of what was written, in hex.
    """
    digest = hashlib.sha256()
    try:
        with naming_errors(f"cannot write {into}"), into.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        remove_if_possible(into)
        raise
    return digest.hexdigest()


def remove_if_possible(path: Path) -> None:
    """Remove *path* on the way out of an error: a second one must not hide the first."""
    with contextlib.suppress(OSError):
        path.unlink()


def check_digest(actual: str, expected: str, path: Path) -> None:
    """Refuse to store a file that is not the one that was meant.

    Raises:
        WriteUnverified: *actual* is not *expected*.
    """
    if actual != expected:
        raise WriteUnverified(
            f"{path}: sha256 is {actual}, not {expected}; it changed after it was written, "
            "nothing was stored: check the scratch disk and memory"
        )
