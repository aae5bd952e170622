"""A folder as an object store: on this machine, or on a network mount."""

import contextlib
import errno
import io
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from tasks.errors import (
    AccessDenied,
    AutochromeError,
    OutputAway,
    SourceNotFound,
    StorageUnavailable,
    UsageError,
    WriteUnverified,
)
from tasks.paths import is_folder
from tasks.storage.keys import (
    RESERVED,
    WORK,
    WORK_LASTS_S,
    is_storable,
    name_from_key,
    safe_key,
    shown,
)
from tasks.storage.objects import (
    ChangedSinceListing,
    Link,
    ListingIncomplete,
    ObjectInfo,
    ObjectMissing,
    ObjectRefused,
    Watch,
)
from tasks.storage.streams import (
    CHUNK_BYTES,
    check_digest,
    file_chunks,
    named_error,
    naming_errors,
    remove_if_possible,
    sha256_of,
    write_file,
)
from tasks.storage.walk import Walk
from tasks.words import count

_LEFTOVER_AFTER_S = 24 * 3600
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY}
_NAMED_UNREADABLE = 5


class FolderStore:
    """Objects are the regular files below *root*; keys are their paths relative to it.

    Files are written under `root/.autochrome/`, brought to the disk, and renamed to their place: a
    reader sees all of an object or nothing of it, and what a killed process leaves lies in that one
    folder, is never listed, and is swept a day later. A store opened for reading opens files for
    reading, and does nothing else.
    """

    def __init__(self, root: Path, *, writable: bool, is_made: bool = False) -> None:
        self.url = root.as_uri()
        # Bytes that are no text can be typed again in the URI alone.
        self._place = str(root) if str(root).isprintable() else self.url
        self._root = root
        self._writable = writable
        if writable and is_made and not is_folder(root / RESERVED):
            raise OutputAway(
                f"{self._place}: what was written there is gone; mount its disk or share; if it "
                f"was emptied or moved on purpose, make the folder {RESERVED} in it"
            )
        if writable:
            self._prepare()
        else:
            self._check_readable()

    def list_objects(self, prefix: str = "", *, watch: Watch | None = None) -> Iterator[ObjectInfo]:
        """Yield all objects, sorted by key, holding the names of a few folders at a time."""
        walk = Walk(self._root, watch)
        for found in walk.files(prefix):
            yield _info(found.key, found.status, found.link)
        if walk.unreadable:
            entries = count(len(walk.unreadable), "entry", "entries")
            raise ListingIncomplete(
                f"{self.url}: {entries} could not be listed, among them "
                f"{', '.join(walk.unreadable[:_NAMED_UNREADABLE])}; "
                "give the account that runs Autochrome access, or repair or remove broken links"
            )

    def stat(self, key: str) -> ObjectInfo | None:
        """Tell about one file; None where there is no regular file."""
        try:
            with naming_errors(self._named(key)):
                status = self._path(key).stat()
        except ObjectMissing:
            return None
        return _info(key, status) if stat.S_ISREG(status.st_mode) else None

    def fetch(
        self, key: str, into: Path, *, version: str | None = None, etag: str | None = None
    ) -> str:
        """Copy the file to *into* and return its sha256. A folder keeps no versions."""
        del version
        return write_file(into, self._chunks(key, etag))

    def put(self, key: str, path: Path, *, content_type: str, sha256: str) -> None:
        """Store *path* under *key*, on the disk when this returns. A folder keeps no type."""
        del content_type
        if not self._writable:
            raise AccessDenied(
                f"{self._named(key)}: nothing is written, the store was opened for reading"
            )
        part = self._part()
        check = write_file(part, file_chunks(path), durable=True)
        try:
            check_digest(check, sha256, path)
            self._publish(part, self._path(key), key)
        finally:
            remove_if_possible(part)

    def discard(self, folder: str) -> None:
        """Remove the folder; what is just being put into it may stay, and is swept later."""
        if not folder.startswith(f"{WORK}/"):
            raise ValueError(f"{folder} is not to be removed")
        shutil.rmtree(self._path(folder), ignore_errors=True)

    def digest(self, key: str) -> str:
        """Read the file back, on Linux from the disk itself, and return its sha256."""
        return sha256_of(self._chunks(key, None, from_disk=True))

    def read(self, key: str) -> bytes:
        """Return the file's content."""
        return b"".join(self._chunks(key, None))

    def probe(self, key: str) -> None:
        """Read the file's first bytes."""
        next(self._chunks(key, None), None)

    def check(self) -> None:
        """Look for the folder, and for the mark in one that is written to: mounts come and go."""
        self._check_readable()
        if self._writable and not is_folder(self._root / RESERVED):
            raise StorageUnavailable(
                f"{self._place}: what was written there is gone; check that its disk or share is "
                "mounted"
            )

    def stream(self, key: str, part: range, *, etag: str) -> Iterator[bytes]:
        """Yield the bytes of *part* of a file that truly lies here, wherever links in it lead."""
        with naming_errors(self._named(key)), self._open(key) as file:
            # Asked of the opened file: names may come to mean others meanwhile.
            place = Path(f"/proc/self/fd/{file.fileno()}").resolve()
            if not place.is_relative_to(self._root.resolve()):
                raise ObjectMissing(
                    f"{self._named(key)}: a link that leads out of the folder; "
                    "put the file itself in its place"
                )
            now = _etag(os.fstat(file.fileno()))
            if now != etag:
                raise self._changed(key, etag, now)
            file.seek(part.start)
            left = len(part)
            while left and (chunk := file.read(min(left, CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk

    def may_delete(self) -> bool:
        """Nothing: who may write into a folder may delete in it."""
        return False

    def link(self, key: str) -> str:
        """Return the file's `file://` address."""
        return self._path(key).as_uri()

    def _named(self, key: str) -> str:
        return f"{self.url}/{shown(key)}"

    def _path(self, key: str) -> Path:
        if not is_storable(key):
            key = safe_key(key)
        return self._root / os.fsdecode(name_from_key(key))

    def _chunks(self, key: str, etag: str | None, *, from_disk: bool = False) -> Iterator[bytes]:
        """Yield the file's content; it must be *etag* before, and the same after."""
        try:
            with naming_errors(self._named(key)), self._open(key) as file:
                before = _etag(os.fstat(file.fileno()))
                if etag is not None and before != etag:
                    raise self._changed(key, etag, before)
                if from_disk and sys.platform == "linux":
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
                after = _etag(os.fstat(file.fileno()))
                if after != before:
                    raise self._changed(key, before, after)
        except AccessDenied as error:
            self._check_readable()  # raises if it is not this file alone
            raise ObjectRefused(str(error)) from error

    def _open(self, key: str) -> io.FileIO:
        # Not blocking: a pipe put in the place of a listed file must not hang the reader.
        descriptor = os.open(self._path(key), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = io.FileIO(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise ObjectMissing(f"{self._named(key)}: no regular file; remove it from the archive")
        return file

    def _changed(self, key: str, then: str, now: str) -> AutochromeError:
        return ChangedSinceListing(
            f"{self._named(key)}: changed since it was listed ({then} then, {now} now); "
            "the next discovery gives it a new revision"
        )

    def _part(self) -> Path:
        return self._root / RESERVED / f"{secrets.token_hex(8)}.part"

    def _publish(self, part: Path, target: Path, key: str) -> None:
        """Give the finished file its name, and bring the name to the disk too."""
        try:
            _make_folders(target.parent)
            part.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                raise WriteUnverified(
                    f"{self._named(key)}: a file and a folder cannot both have this name; "
                    "move it away, or write to S3, which can hold both"
                ) from error
            raise named_error(error, self._named(key)) from error

    def _check_readable(self) -> None:
        try:
            with os.scandir(self._root) as entries:
                next(entries, None)
        except FileNotFoundError as error:
            raise SourceNotFound(
                f"{self._place}: no such folder; check the spelling and mounts"
            ) from error
        except NotADirectoryError as error:
            raise UsageError(f"{self._place}: not a folder; name the folder it lies in") from error
        except OSError as error:
            raise named_error(error, f"cannot read {self._place}") from error

    def _prepare(self) -> None:
        """Make the folder if need be, prove that it takes files, sweep what was left in it."""
        probe = self._part()
        try:
            _make_folders(probe.parent)
            write_file(probe, [b"Autochrome can write here.\n"])
            self._sweep(before=probe.stat().st_mtime - _LEFTOVER_AFTER_S)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(
                f"{self._place}: not a folder; name a folder for the output"
            ) from error
        except OSError as error:
            raise named_error(error, f"cannot write into {self._place}") from error
        finally:
            remove_if_possible(probe)

    def _sweep(self, *, before: float) -> None:
        """Remove parts older than *before*, a time by the clock of the disk's own machine.

        And work that nobody has come back to: of films that were withdrawn half coloured.
        """
        parts = ((part, before) for part in (self._root / RESERVED).glob("*.part"))
        kept_from = before + _LEFTOVER_AFTER_S - WORK_LASTS_S
        work = ((file, kept_from) for file in (self._root / WORK).glob("*/*/*"))
        for file, since in chain(parts, work):
            with contextlib.suppress(OSError):
                if file.stat().st_mtime < since:
                    file.unlink()


def _info(key: str, status: os.stat_result, link: Link | None = None) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size_bytes=status.st_size,
        etag=_etag(status),
        modified_at=_time(status.st_mtime),
        link=link,
    )


def _etag(status: os.stat_result) -> str:
    # Not the inode or change time: a restored backup or a chmod is no new scan.
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):  # a damaged time stamp, past the year 9999
        return datetime.fromtimestamp(0, UTC)


def _make_folders(folder: Path) -> None:
    """Make *folder* and its missing parents, each brought to the disk before the next."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
