"""Comparing the bytes of files of which a listing tells otherwise than before.

A touched file, a restored backup, a bucket that was copied: time, ETag and version differ, and the
scan is what it was. So the bytes are read, once, before anything is enqueued; of a file that cannot
be read now the doubt stays, and so does everything else.
"""

import logging
import math
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tasks.errors import AutochromeError
from tasks.ledger import Digest, Doubt, Ledger
from tasks.settings import Settings
from tasks.storage import ObjectStore, open_store

logger = logging.getLogger(__name__)

#: Files that are read at once: enough to hide a store's answering time.
READERS = 8

#: Files that are recorded together: what a kill may have to read again.
PAGE_FILES = 64

#: So long whoever says no reads what that is about; the next discovery reads the rest.
AT_ONCE_S = 60.0


@dataclass(frozen=True)
class ComparisonResult:
    """What came of the doubts about a source."""

    changed: int = 0  #: hold other bytes: they have a new revision
    same: int = 0
    unread: int = 0  #: could not be read now: the next discovery compares them
    is_whole: bool = True  #: it was not broken off


def compare_doubts(
    ledger: Ledger, store: ObjectStore, *, ends_at: float = math.inf
) -> ComparisonResult:
    """Read every file of *store* that is in doubt, and record what it is.

    Past *ends_at*, by the monotonic clock, it is broken off; the others stay in doubt.

    Raises:
        DatabaseUnavailable: The ledger cannot be asked or written.
    """
    changed = same = unread = 0
    after_key = ""
    with ThreadPoolExecutor(READERS, thread_name_prefix="compare") as readers:
        while doubts := ledger.doubts(store.url, after_key=after_key, limit=PAGE_FILES):
            if time.monotonic() >= ends_at:
                return ComparisonResult(changed, same, unread, is_whole=False)
            after_key = doubts[-1].key
            digests = _known(readers.map(partial(_digest, store), doubts))
            found = ledger.record_digests(digests)
            changed += found
            same += len(digests) - found
            unread += len(doubts) - len(digests)
    return ComparisonResult(changed, same, unread)


def read_refused(settings: Settings, ledger: Ledger, *, within_s: float = math.inf) -> bool:
    """Read the files that a person said no to unread: a no holds for their bytes everywhere.

    What is not read now is read by the next discovery.

    Args:
        settings: How sources are opened.
        ledger: Knows them.
        within_s: After so long no more are begun.

    Returns:
        Whether all are read.

    Raises:
        DatabaseUnavailable: The ledger cannot be asked or written.
    """
    stores: dict[str, ObjectStore | None] = {}
    end = time.monotonic() + within_s
    with ThreadPoolExecutor(READERS, thread_name_prefix="compare") as readers:
        while wanted := ledger.refused_unread(limit=PAGE_FILES):
            if time.monotonic() >= end:
                return False
            for url in {url for url, _ in wanted} - stores.keys():
                stores[url] = _store_at(settings, url)
            digests = _known(readers.map(lambda one: _digest(stores[one[0]], one[1]), wanted))
            ledger.learn_refused(digests)
            if len(digests) < len(wanted):
                return False  # those would be given again
    return True


def _store_at(settings: Settings, url: str) -> ObjectStore | None:
    try:
        return open_store(url, settings=settings)
    except AutochromeError as error:
        logger.warning("%s", error)
        return None


def _known(digests: Iterable[Digest | None]) -> Sequence[Digest]:
    return [digest for digest in digests if digest is not None]


def _digest(store: ObjectStore | None, doubt: Doubt) -> Digest | None:
    if store is None:
        return None
    try:
        return Digest(doubt.scan_id, doubt.listing, store.digest(doubt.key))
    except AutochromeError as error:
        logger.warning("cannot be compared with what is on record: %s", error)
        return None
