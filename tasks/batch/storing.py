"""Storing files in the output: only while a lease lasts, and never without reading them back."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from tasks.batch.lease import Lease
from tasks.derivatives import WrittenFile
from tasks.errors import FixityMismatch, OutputAway, StorageUnavailable, UsageError, WriteUnverified
from tasks.storage import ObjectStore


def _untimed(_stage: str) -> AbstractContextManager[None]:
    return nullcontext()


def store_verified(
    output: ObjectStore,
    lease: Lease,
    key: str,
    file: WrittenFile,
    *,
    stage: Callable[[str], AbstractContextManager[None]] = _untimed,
) -> None:
    """Store a file, and read it back.

    Args:
        output: Where to.
        lease: Of whoever works; made sure of first.
        key: Where there.
        file: As it was written.
        stage: Takes the time of "put" and of "verify".

    Raises:
        LeaseLost: The item may be in other hands.
        AutochromeError: It cannot be stored, or does not come back as it was.
    """
    with stage("put"), asking(output):
        lease.make_sure()
        output.put(key, file.path, content_type=file.content_type, sha256=file.sha256)
    with stage("verify"), asking(output):
        _verify(output, key, file.sha256)


@contextmanager
def asking(output: ObjectStore) -> Iterator[None]:
    """Where the output fails, ask whether it does so as a whole: then no scan is at fault."""
    try:
        yield
    except StorageUnavailable:
        try:
            output.check()
        except (StorageUnavailable, UsageError) as away:  # its folder is gone, or no folder now
            raise OutputAway(str(away)) from away
        raise


def _verify(output: ObjectStore, key: str, sha256: str) -> None:
    """Read an object back.

    Raises:
        WriteUnverified: It is not what was written.
    """
    try:
        stored = output.digest(key)
    except FixityMismatch as error:  # by the store's own checksum: our file, not the scan
        raise WriteUnverified(str(error)) from error
    if stored != sha256:
        raise WriteUnverified(
            f"{output.url}/{key}: wrote sha256 {sha256}, read back {stored}; check the "
            "output store's health, then `autochrome retry --reason write_unverified`"
        )
