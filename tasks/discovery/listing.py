"""Finding scans: a source's listing, recorded in the ledger, and whether it told all.

What could be listed is recorded, whatever happens to the rest of the listing. Scans are taken for
vanished only where nothing speaks against it: a disk that is away looks like an empty folder.
"""

import logging
import math
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tasks.discovery.comparison import ComparisonResult, compare_doubts, read_refused
from tasks.discovery.selection import Selection
from tasks.errors import AutochromeError
from tasks.ledger import Ledger, ListingCounts, MissingScans
from tasks.ledger.outages import LONGEST_WAIT_S
from tasks.ledger.uris import key_between
from tasks.settings import Settings
from tasks.storage import ObjectInfo, ObjectStore, address_of, open_store
from tasks.storage.keys import shown
from tasks.words import count

logger = logging.getLogger(__name__)

#: A few scans may go at any time; the share that the settings allow is asked of more than these.
_FEW = 20
_NAMED_FOLDERS = 5
_EMPTY = "scans are known there, and it is empty now; mount what is missing"


@dataclass(frozen=True)
class Listing:
    """What a source's listing brought.

    Attributes:
        discovered: What of it was new, changed or gone.
        incomplete: What could not be listed, or is doubted, and what to do; "" where all is well.
        left_out: Files and folders that patterns left out, by pattern.
    """

    discovered: ListingCounts
    incomplete: str = ""
    left_out: Mapping[str, int] = field(default_factory=dict)

    def in_words(self) -> str:
        """Say it in a line, without what is wrong."""
        found = self.discovered
        parts = [f"{found.found:,} found, {found.new:,} new, {found.changed:,} changed"]
        if found.vanished:
            parts.append(f"{found.vanished:,} vanished")
        if self.left_out:
            parts.append(left_out_in_words(self.left_out))
        return ", ".join(parts) + ("; the listing is incomplete" if self.incomplete else "")


def record_source(  # noqa: PLR0913 - each may be left out but three
    settings: Settings,
    ledger: Ledger,
    source: str,
    *,
    run_id: int | None = None,
    accept_missing: bool = False,
    within_s: float = math.inf,
) -> Listing:
    """List *source* and record what is new, changed or gone; bytes are read where they decide.

    Args:
        settings: Patterns, credentials, and how many scans may be missing at once.
        ledger: Where it is recorded.
        source: Its address.
        run_id: The run that looks.
        accept_missing: A person says that scans which are not there were taken away on purpose.
        within_s: After so long it is broken off, and the listing is incomplete.

    Raises:
        AutochromeError: The source cannot be listed, and no scan of it is known. Where some are, it
            is an incomplete listing.
    """
    selection = Selection(settings.include, settings.exclude)
    address = address_of(source)
    try:
        store = open_store(source, settings=settings)
    except AutochromeError as error:
        known = ledger.count_present(address)
        if not known:
            raise
        ledger.begin_outage(address, "", str(error), wait_s=LONGEST_WAIT_S)
        return _told(Listing(ListingCounts(), f"{error} ({count(known, 'scan')} of it known)"))
    look = _Look(store, selection, ends_at=time.monotonic() + within_s)
    doubts = _Doubts(look, settings.missing_limit, accept_missing=accept_missing)
    found = ledger.record_listing(
        store.url,
        look.objects(),
        collection=settings.collection or collection_of(store.url),
        run_id=run_id,
        leaves_out=selection.left_out_by,
        may_vanish=doubts.may_vanish,
    )
    if doubts.said:
        for place in doubts.empty:
            why = f"{store.url}/{place}".rstrip("/") + ": " + _EMPTY
            ledger.begin_outage(store.url, place, why, wait_s=LONGEST_WAIT_S)
    else:
        _end_outages(ledger, store.url)
    compared = _compare(settings, ledger, store, ends_at=look.ends_at)
    changed = sum(one.changed for one in compared)
    if not (look.trouble or all(one.is_whole for one in compared)):
        doubts.said.append(look.late)
    found = replace(
        found, changed=found.changed + changed, unchanged=max(0, found.unchanged - changed)
    )
    return _told(Listing(found, "; ".join(doubts.said), look.left_out))


def _compare(
    settings: Settings, ledger: Ledger, store: ObjectStore, *, ends_at: float
) -> list[ComparisonResult]:
    """Settle the doubts about what *store* holds, whichever source it belongs to."""
    compared = []
    for url in ledger.owners(store.url):
        try:
            owner = store if url == store.url else open_store(url, settings=settings)
        except AutochromeError as error:
            logger.warning("%s", error)
        else:
            compared.append(compare_doubts(ledger, owner, ends_at=ends_at))
    read_refused(settings, ledger)
    return compared


def _end_outages(ledger: Ledger, url: str) -> None:
    """All that the source at *url* holds could be listed: whatever was away is back."""
    for owner in ledger.owners(url):
        ledger.end_outages(owner, key_between(owner, url) or None)


def collection_of(url: str) -> str:
    """The collection that a source's scans belong to where none is set: its last part."""
    return url.rstrip("/").rpartition("/")[2] or "default"


def left_out_in_words(left_out: Mapping[str, int]) -> str:
    """Say how many files patterns left out, and which: "24 left out (8 *.md5, 4 *.xmp, …)"."""
    parts = [f"{number:,} {shown(pattern)}" for pattern, number in Counter(left_out).most_common()]
    return f"{sum(left_out.values()):,} left out ({', '.join(parts)})" if parts else ""


def _told(listing: Listing) -> Listing:
    if listing.incomplete:
        logger.warning("%s", listing.incomplete)
    return listing


class _Look:
    """One look at a source: its objects, and what is told beside them."""

    def __init__(self, store: ObjectStore, selection: Selection, *, ends_at: float) -> None:
        self.url = store.url
        self.ends_at = ends_at
        self.count = 0
        self.trouble = ""
        self.left_out: Counter[str] = Counter()
        self._empty: list[str] = []  # by key; none lies in another
        self._store = store
        self._selection = selection

    def objects(self) -> Iterator[ObjectInfo]:
        """Yield what is listed; where the listing breaks off, say so in `trouble` and end."""
        try:
            for found in self._store.list_objects(watch=self):
                if time.monotonic() >= self.ends_at:
                    self.trouble = self.late
                    return
                self.count += 1
                yield found
        except AutochromeError as error:
            self.trouble = str(error)

    @property
    def late(self) -> str:
        """What is told when its time is over."""
        return (
            f"{self.url}: to find what is new there takes longer than a night has for it (half of "
            f"AUTOCHROME_DEADLINE_HOURS); it was broken off after {count(self.count, 'file')}, and "
            "what is known is coloured; raise that, or run `autochrome discover`, which has no "
            "deadline"
        )

    def leaves_out(self, key: str) -> bool:
        """Whether a pattern leaves out a file or folder; counts it."""
        pattern = self._selection.left_out_by(key)
        if pattern:
            self.left_out[pattern] += 1
        return bool(pattern)

    def found_special(self, key: str, kind: str) -> None:
        """Count what is no file: a pipe, a socket, a device."""
        if not self.leaves_out(key):
            logger.info("%s/%s: left out, it is a %s", self.url, shown(key), kind)
            self.left_out[kind] += 1

    def found_empty(self, folder: str) -> None:
        """Take note of an empty folder. Those in it were told of before."""
        while self._empty and self._empty[-1].startswith(folder):
            self._empty.pop()
        self._empty.append(folder)

    def empty_around(self, folder: str) -> str | None:
        """*folder*, or one that it lies in, that is there and has nothing in it, if any."""
        at = bisect_right(self._empty, folder)
        return self._empty[at - 1] if at > 0 and folder.startswith(self._empty[at - 1]) else None


class _Doubts:
    """Whether what a listing did not bring is gone, or only out of sight."""

    def __init__(self, look: _Look, limit: float, *, accept_missing: bool) -> None:
        self.said: list[str] = []
        self.empty: set[str] = set()  # the places that this is about
        self._look = look
        self._limit = limit
        self._accept = accept_missing

    def may_vanish(self, missing: MissingScans) -> bool:
        """Decide when the listing is over; what speaks against it is in `said`."""
        if self._look.trouble:
            self.said.append(self._look.trouble)
        elif missing.scans and not self._accept and (doubt := self._doubt(missing)):
            self.said.append(
                f"{self._look.url}: {doubt}; mount what is missing; if the scans were taken "
                "away on purpose, run `autochrome discover` with --accept-missing"
            )
        return not self.said

    def _doubt(self, missing: MissingScans) -> str:
        if not self._look.count:
            self.empty.add("")
            return f"{count(missing.known, 'scan')} known there, and it is empty now"
        around = {name: self._look.empty_around(name) for name in missing.folders}
        if empty := {name: n for name, n in missing.folders.items() if around[name] is not None}:
            self.empty.update(place for place in around.values() if place is not None)
            return f"{count(sum(empty.values()), 'scan')} known in {_named(empty)}, now empty"
        if missing.scans > max(_FEW, self._limit * missing.known):
            return (
                f"{missing.scans:,} of {count(missing.known, 'scan')} not there, more than "
                f"AUTOCHROME_MISSING_LIMIT allows: in {_named(missing.folders)}"
            )
        return ""


def _named(folders: Mapping[str, int]) -> str:
    most = [shown(name) or "." for name, _ in Counter(folders).most_common(_NAMED_FOLDERS)]
    more = len(folders) - len(most)
    return ", ".join(most) + (f" and {more:,} more" if more else "")
