"""The port: what a store promises, whatever stands behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tasks.errors import Reason, StorageUnavailable


class ObjectMissing(StorageUnavailable):
    """The object was listed once, and is not there now; the next discovery will tell."""


class ChangedSinceListing(StorageUnavailable):
    """The object is no longer the one that was listed.

    Not a fixity mismatch: nothing is wrong with the scan, so no person has to look at it. It is
    tried again like any trouble of the store, and the next discovery gives it a new revision.
    """


class ObjectRefused(StorageUnavailable):
    """This one object may not be read, while the rest of the store may.

    Not `AccessDenied`, which stops the whole run: one protected file must not end every night.
    """


class ObjectArchived(ObjectRefused):
    """The object lies in an archive class: it can be read only when it was restored there."""

    reason = Reason.ARCHIVED


class ListingIncomplete(StorageUnavailable):
    """Everything that could be listed was yielded, and some folders could not be read.

    Raised at the end of a listing. What it yielded is good; what it did not yield must not be
    taken for vanished.
    """


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a folder to what lies outside of it.

    Attributes:
        key: Its own, relative to the store's URL; that of a link to a folder ends with "/".
        target: The name in full of what it leads to, without further links, written as keys are;
            of a folder ending with "/".
    """

    key: str
    target: str


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing shows it.

    Attributes:
        key: Relative to the store's URL, components parted by "/"; fit for any database (`keys`).
        size_bytes: Length of the object.
        etag: Changes whenever the content may have changed. Not a digest of it.
        modified_at: Time of the last change, by the store's clock, in UTC.
        version: The store's own name of this version, where it keeps versions and tells.
        is_archived: It cannot be read now: it lies in an archive class, and no restored copy does.
            Only of some classes does a listing tell; of others `fetch` raises `ObjectArchived`.
        link: That it is, or lies under; None for what truly lies in the store.
    """

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime
    version: str | None = None
    is_archived: bool = False
    link: Link | None = None


class Watch(Protocol):
    """What a listing asks, and tells, whoever wants more of it than the objects."""

    def leaves_out(self, key: str) -> bool:
        """Whether a file is not to be listed, or a folder (ending in "/") not to be entered."""

    def found_special(self, key: str, kind: str) -> None:
        """Take note of what is no file and no folder: *kind* says what."""

    def found_empty(self, folder: str) -> None:
        """Take note of a folder (ending in "/"; "" for the whole) in which nothing is listed."""


class ObjectStore(Protocol):
    """A place that holds objects under keys. Safe to use from several threads at once.

    Every method raises the errors of `tasks.errors` alone, with the address of the object and
    a remedy in the message. `StorageUnavailable` means that trying again later may help.
    """

    url: str
    """The store's address, normalised: "file:///folder" or "s3://bucket/prefix"."""

    def list_objects(self, prefix: str = "", *, watch: Watch | None = None) -> Iterator[ObjectInfo]:
        """Yield all objects whose key begins with *prefix*, by ascending key, as they are read.

        Args:
            prefix: Of the keys.
            watch: May leave objects out, and is told of empty folders, where there are folders.

        Raises:
            ListingIncomplete: At the end: some folders could not be read.
        """

    def stat(self, key: str) -> ObjectInfo | None:
        """Tell about one object; None where there is none."""

    def fetch(
        self, key: str, into: Path, *, version: str | None = None, etag: str | None = None
    ) -> str:
        """Stream the object into the file *into* and return its sha256, in hex.

        *into* is there when this returns, complete, and not there when it raises.

        Args:
            key: Of the object.
            into: File to write; replaced if it exists.
            version: Read this version (from `ObjectInfo.version`).
            etag: Read only if the object still has it (from `ObjectInfo.etag`).

        Raises:
            ObjectMissing: There is no such object.
            ObjectArchived: It must be restored first.
            ChangedSinceListing: It is another one now than *etag* names.
            FixityMismatch: The store's own checksum does not fit the bytes it sends.
            OutputFull: The disk of *into* is full.
        """

    def put(self, key: str, path: Path, *, content_type: str, sha256: str) -> None:
        """Store the file *path* under *key*, whole or not at all, replacing what was there.

        A key that would leave the store's root, or that no store can hold, goes through `safe_key`
        first, and so it does in every other method of a writable store.

        Raises:
            AccessDenied: The store was opened for reading, or its credentials may not write.
            OutputFull: No room is left.
            WriteUnverified: The file's digest is not *sha256*.
        """

    def discard(self, folder: str) -> None:
        """Remove what lies in a folder of `WORK`, which nothing is made of any more.

        In a bucket its lifecycle does that, later: no account of ours may delete in one.

        Raises:
            ValueError: The folder is not in `WORK`.
        """

    def digest(self, key: str) -> str:
        """Read the stored bytes back and return their sha256, in hex."""

    def read(self, key: str) -> bytes:
        """Return a small object whole: a report, a sidecar."""

    def probe(self, key: str) -> None:
        """Read the first byte of an object, to tell whether it can be read."""

    def check(self) -> None:
        """Look whether the store still is what it was when it was opened.

        Raises:
            AutochromeError: It is gone, does not answer, or refuses.
        """

    def stream(self, key: str, part: range, *, etag: str) -> Iterator[bytes]:
        """Yield the bytes of *part* of an object that someone else has named.

        A link in a folder that leads out of it is no object of the store.

        Raises:
            ObjectMissing: There is no such object here.
            ChangedSinceListing: It is another one now than *etag* names.
        """

    def may_delete(self) -> bool:
        """Whether this account could delete objects for good. A folder is not asked: False."""

    def link(self, key: str) -> str:
        """Return an address that a person can open: `file://…`, or `https://…` for three days."""
