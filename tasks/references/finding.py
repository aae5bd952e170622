"""The files that a person means: a file, a folder, a place in S3, what a manifest lists."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath

from tasks.errors import AutochromeError, SourceNotFound, UsageError
from tasks.ledger.reference_records import Description
from tasks.paths import is_file, is_folder
from tasks.references.look import READ
from tasks.references.manifest import ManifestEntry, read_manifest
from tasks.settings import Settings
from tasks.storage import ObjectStore, open_store
from tasks.storage.keys import key_from_name, name_from_key
from tasks.storage.location import BucketLocation, FolderLocation, parse_location
from tasks.storage.streams import file_chunks
from tasks.storage.walk import Walk

#: What is taken of folders; a file that is named itself may be called anything.
SUFFIXES = frozenset(chain(*(kind.suffixes for kind in READ)))
_MANIFEST = ".csv"


@dataclass(frozen=True)
class Found:
    """A file that may be a reference.

    Attributes:
        origin: Its path or address, as a text that any database holds.
        described: What is said of it.
        path: Where it is on this machine; none: it is in a store.
        store: Where it is; none: on this machine.
        key: In the store.
        wrong: What its manifest says that cannot be.
    """

    origin: str
    described: Description
    path: Path | None = None
    store: ObjectStore | None = None
    key: str = ""
    wrong: str = ""

    def fetch(self, scratch: Path) -> Path:
        """Bring it to the path *scratch*, or a link to it where it is on this machine already.

        So libraries that take paths for UTF-8 meet no name that is none.

        Raises:
            AutochromeError: It is not there, or cannot be read.
        """
        scratch.unlink(missing_ok=True)  # of a file that was refused
        if self.store is not None:
            self.store.fetch(self.key, scratch)
        elif self.path is not None and is_file(self.path):
            scratch.symlink_to(self.path.absolute())
        else:
            raise SourceNotFound(f"{self.origin}: there is no such file")
        return scratch


@dataclass(frozen=True)
class Search:
    """What a search for files goes by.

    Attributes:
        settings: For S3, and for the sources and the output, whose files every manifest may name.
        described: What is said of every file; a manifest says more.
        allowed: Folders and prefixes beside these whose files a manifest may name. A manifest comes
            from a curator and is read with the rights of whoever runs this: it must not bring in
            what its author could not.
    """

    settings: Settings
    described: Description
    allowed: Sequence[str] = field(default=())


def find_files(search: Search, named: str) -> Iterator[Found]:
    """Give every file that *named* means: a file, a folder, a CSV manifest, or any of these in S3.

    Raises:
        UsageError: There is nothing of that name, or no picture in it.
    """
    location = parse_location(named)
    if isinstance(location, FolderLocation):
        found = _find_local(search, location.path)
    else:
        found = _find_remote(search, named.rstrip("/"))
    is_empty = True
    for one in found:
        is_empty = False
        yield one
    if is_empty:
        raise UsageError(f"{named}: holds no picture ({', '.join(sorted(SUFFIXES))})")


def _find_local(search: Search, path: Path) -> Iterator[Found]:
    if is_folder(path):
        yield from _find_in_folder(search, path)
    elif not is_file(path):
        raise SourceNotFound(f"{path}: there is no such file or folder")
    elif path.suffix.lower() == _MANIFEST:
        content = b"".join(file_chunks(path))
        yield from _of_manifest(search, content, str(path.parent), path.name)
    else:
        yield _local_file(path, search.described)


def _find_in_folder(search: Search, folder: Path) -> Iterator[Found]:
    walk = Walk(folder)
    for found in walk.files():
        file = folder / os.fsdecode(name_from_key(found.key))
        if file.suffix.lower() in SUFFIXES:
            yield _in_folder(search, file, folder)
    for trouble in walk.unreadable:
        wrong = "cannot be listed; give access to it, or repair or remove a broken link"
        yield Found(f"{folder}/{trouble}", search.described, wrong=wrong)


def _in_folder(search: Search, file: Path, folder: Path) -> Found:
    """A file of a folder; a link out of it needs the same leave as a manifest's row."""
    try:
        _require_leave(search, FolderLocation(file), str(folder), file.name)
    except UsageError as error:
        return _local_file(file, search.described, wrong=str(error))
    return _local_file(file, search.described)


def _local_file(path: Path, described: Description, *, wrong: str = "") -> Found:
    return Found(key_from_name(os.fsencode(path)), described, path, wrong=wrong)


def _find_remote(search: Search, url: str) -> Iterator[Found]:
    suffix = PurePosixPath(url).suffix.lower()
    if suffix in SUFFIXES or suffix == _MANIFEST:
        found = _remote_file(search.settings, url, search.described)
        if suffix == _MANIFEST and found.store is not None:
            folder, _, name = url.rpartition("/")
            yield from _of_manifest(search, found.store.read(found.key), folder, name)
        else:
            yield found
        return
    store = open_store(url, settings=search.settings)
    for info in store.list_objects():
        if PurePosixPath(info.key).suffix.lower() in SUFFIXES:
            yield Found(f"{url}/{info.key}", search.described, store=store, key=info.key)


def _remote_file(settings: Settings, url: str, described: Description, *, wrong: str = "") -> Found:
    folder, _, name = url.rpartition("/")
    store = open_store(folder, settings=settings)
    return Found(url, described, store=store, key=name, wrong=wrong)


def _of_manifest(search: Search, content: bytes, folder: str, name: str) -> Iterator[Found]:
    """Give the files of a manifest; a row that cannot be followed is wrong by itself."""
    for row in read_manifest(content, name=name, default=search.described):
        try:
            yield _of_row(search, row, folder)
        except AutochromeError as error:
            yield Found(row.file, row.description, wrong=str(error))


def _of_row(search: Search, row: ManifestEntry, folder: str) -> Found:
    is_whole = "://" in row.file or row.file.startswith("/")
    address = row.file if is_whole else f"{folder}/{row.file}"
    location = parse_location(address)
    _require_leave(search, location, folder, row.file)
    if isinstance(location, FolderLocation):
        return _local_file(location.path, row.description, wrong=row.wrong)
    return _remote_file(search.settings, address, row.description, wrong=row.wrong)


def _require_leave(
    search: Search, location: FolderLocation | BucketLocation, folder: str, said: str
) -> None:
    settings = search.settings
    allowed = (folder, *settings.sources, settings.output, *search.allowed)
    if not any(_lies_in(location, parse_location(place)) for place in allowed):
        raise UsageError(
            f"{said}: a delivery names files beside it, in a source or in the output, and this "
            "lies elsewhere; --allow PLACE lets it name the files of another folder or prefix"
        )


def _lies_in(
    place: FolderLocation | BucketLocation, outer: FolderLocation | BucketLocation
) -> bool:
    """Whether *place* is below *outer*, wherever links on this machine lead."""
    match place, outer:
        case FolderLocation(path), FolderLocation(folder):
            real = Path(os.path.realpath(path))  # `resolve` raises where links make a circle
            return real.is_relative_to(os.path.realpath(folder))
        case BucketLocation(bucket, key), BucketLocation(other, prefix):
            return bucket == other and key.startswith(prefix) and ".." not in key.split("/")
    return False
