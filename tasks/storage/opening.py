"""Opening a store by its address."""

from tasks.settings import Settings
from tasks.storage.folder import FolderStore
from tasks.storage.location import FolderLocation, parse_location
from tasks.storage.objects import ObjectStore


def address_of(url: str) -> str:
    """The normalised address that a store opened at *url* has, whether or not it is there.

    Raises:
        UsageError: *url* is no address of a store.
    """
    return parse_location(url).url


def open_store(
    url: str, *, settings: Settings, writable: bool = False, is_made: bool = False
) -> ObjectStore:
    """Open the store at *url*, and prove at once that it can be used.

    Reading needs leave to list and get, no more. Writing needs leave to put and get: a folder is
    made if it is missing, a bucket is not. The proof is a small object, `.autochrome`, which no
    listing shows.

    Args:
        url: "s3://bucket/prefix", "file:///folder" or a path.
        settings: Endpoint, credentials, timeouts and attempts for S3.
        writable: Whether `put` may be called.
        is_made: Whether it was written to before: then nothing is made where it is not there.

    Raises:
        UsageError: *url* is no address of a store.
        SourceNotFound: There is no such folder, bucket, or anything under the prefix.
        AccessDenied: Permissions or credentials do not suffice.
        StorageUnavailable: The endpoint does not answer.
        OutputFull: No room is left.
        OutputAway: It was written to before, and is not there.
    """
    location = parse_location(url)
    if isinstance(location, FolderLocation):
        return FolderStore(location.path, writable=writable, is_made=is_made)
    from tasks.storage.s3 import S3Store  # noqa: PLC0415 - boto3 takes 0.4 s; folders need none of it

    return S3Store(location, settings=settings, writable=writable)


def open_for_reading(url: str, *, settings: Settings) -> ObjectStore:
    """Open a store that was written to, to get objects of it.

    A bucket is opened as its writer, whose role may get, but not list.

    Raises:
        AutochromeError: As `open_store`.
    """
    is_bucket = not isinstance(parse_location(url), FolderLocation)
    return open_store(url, settings=settings, writable=is_bucket)
