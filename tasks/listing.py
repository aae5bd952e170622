"""Finding scans: a source's listing, recorded in the ledger."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.ledger import Discovered, Ledger
from tasks.settings import Settings
from tasks.storage import ListingIncomplete, ObjectInfo, open_store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """What a source's listing brought, and what of it could not be read (empty: nothing)."""

    discovered: Discovered
    incomplete: str = ""


def record_source(
    settings: Settings, ledger: Ledger, source: str, *, run_id: int | None = None
) -> Listing:
    """List *source* and record what is new, changed or gone.

    Where a folder in it cannot be read, what could be listed is recorded all the same, and nothing
    is taken for vanished.

    Raises:
        AutochromeError: The source does not exist or cannot be listed.
    """
    store = open_store(source, settings=settings)
    collection = settings.collection or collection_of(store.url)
    listing = _Counted(store.list_objects())
    try:
        found = ledger.record_listing(store.url, listing, collection=collection, run_id=run_id)
    except ListingIncomplete as error:
        logger.warning("%s", error)
        return Listing(Discovered(found=listing.count), str(error))
    return Listing(found)


def collection_of(url: str) -> str:
    """The collection that a source's scans belong to where none is set: its last part."""
    return url.rstrip("/").rpartition("/")[2] or "default"


class _Counted:
    """A listing that knows how much of it has gone by."""

    def __init__(self, objects: Iterator[ObjectInfo]) -> None:
        self._objects = objects
        self.count = 0

    def __iter__(self) -> Iterator[ObjectInfo]:
        for found in self._objects:
            self.count += 1
            yield found
