"""The files that a person means: a file, a folder, a place in S3, what a manifest lists."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.errors import SourceNotFound, UsageError
from tasks.ledger.reference_records import Description
from tasks.references.manifest import read_manifest
from tasks.settings import Settings
from tasks.storage import ObjectStore, open_store
from tasks.storage.location import FolderLocation, parse_location

#: What is taken of folders; a file that is named itself may be called anything.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})
_MANIFEST = ".csv"


@dataclass(frozen=True)
class Found:
    """A file that may be a reference.

    Attributes:
        origin: Its path or address.
        described: What is said of it.
        store: Where it is; None for a file of this machine.
        key: In the store.
        wrong: What its manifest says that cannot be.
    """

    origin: str
    described: Description
    store: ObjectStore | None = None
    key: str = ""
    wrong: str = ""

    def fetch(self, scratch: Path) -> Path:
        """Bring it to this machine, where it is not there already.

        Raises:
            AutochromeError: It is not there, or cannot be read.
        """
        if self.store is None:
            path = Path(self.origin)
            if not path.is_file():
                raise SourceNotFound(f"{path}: there is no such file")
            return path
        self.store.fetch(self.key, scratch)
        return scratch


def find_files(settings: Settings, named: str, described: Description) -> Iterator[Found]:
    """Give every file that *named* means.

    Args:
        settings: For S3.
        named: A file, a folder, a CSV manifest, or any of these in S3.
        described: What is said of all of them; a manifest says more.

    Raises:
        UsageError: There is nothing of that name, or no picture in it.
    """
    location = parse_location(named)
    if isinstance(location, FolderLocation):
        found = _find_local(settings, location.path, described)
    else:
        found = _find_remote(settings, named.rstrip("/"), described)
    is_empty = True
    for one in found:
        is_empty = False
        yield one
    if is_empty:
        raise UsageError(f"{named}: holds no picture ({', '.join(sorted(SUFFIXES))})")


def _find_local(settings: Settings, path: Path, described: Description) -> Iterator[Found]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                yield Found(str(file), described)
    elif not path.is_file():
        raise SourceNotFound(f"{path}: there is no such file or folder")
    elif path.suffix.lower() == _MANIFEST:
        yield from _of_manifest(settings, path.read_bytes(), str(path), described)
    else:
        yield Found(str(path), described)


def _find_remote(settings: Settings, url: str, described: Description) -> Iterator[Found]:
    suffix = PurePosixPath(url).suffix.lower()
    if suffix in SUFFIXES or suffix == _MANIFEST:
        found = _remote_file(settings, url, described)
        if suffix == _MANIFEST and found.store is not None:
            yield from _of_manifest(settings, found.store.read(found.key), url, described)
        else:
            yield found
        return
    store = open_store(url, settings=settings)
    for info in store.list_objects():
        if PurePosixPath(info.key).suffix.lower() in SUFFIXES:
            yield Found(f"{url}/{info.key}", described, store, info.key)


def _remote_file(settings: Settings, url: str, described: Description, *, wrong: str = "") -> Found:
    folder, _, name = url.rpartition("/")
    return Found(url, described, open_store(folder, settings=settings), name, wrong)


def _of_manifest(
    settings: Settings, content: bytes, name: str, described: Description
) -> Iterator[Found]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{name}: is no UTF-8; save the manifest as CSV UTF-8") from None
    folder = name.rpartition("/")[0]
    for row in read_manifest(text, name=name, default=described):
        is_whole = "://" in row.file or row.file.startswith("/")
        origin = row.file if is_whole else f"{folder}/{row.file}"
        if "://" in origin and not origin.startswith("file://"):
            yield _remote_file(settings, origin, row.description, wrong=row.wrong)
        else:
            location = parse_location(origin)
            path = location.path if isinstance(location, FolderLocation) else origin
            yield Found(str(path), row.description, wrong=row.wrong)
