"""The stores that scans are read from, and whether one of which nothing can be read is away.

A scan that cannot be read may be at fault; where none can be read, none is. The store itself is
asked, no error tells: a share that is not mounted, a bucket without its key and a server that is
off look like missing files, refusals and time-outs.
"""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from itertools import islice

from tasks.discovery.selection import Selection
from tasks.errors import AutochromeError, SourceAway
from tasks.films.kinds import HEAD_BYTES, is_film
from tasks.ledger import ClaimedItem
from tasks.settings import Settings
from tasks.storage import (
    ListingIncomplete,
    ObjectArchived,
    ObjectInfo,
    ObjectStore,
    open_store,
)
from tasks.words import count

#: Of files from this size on, the first bytes are looked at before they are fetched.
LARGE_BYTES = 64 << 20

#: So many neighbours are tried, chosen by chance out of the first that are listed.
_TRIED = 8
_LISTED = 1000

#: An answer holds for so long: all scans of a batch ask at once.
_HOLDS_S = 5.0


class Sources:
    """Sources by their URLs, each opened once. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._selection = Selection(settings.include, settings.exclude)
        self._stores: dict[str, Future[ObjectStore]] = {}
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], tuple[float, SourceAway | None]] = {}

    def open(self, url: str) -> ObjectStore:
        """The store that scans of *url* are read from.

        Raises:
            AutochromeError: It cannot be opened.
        """
        with self._lock:
            is_mine = url not in self._stores
            opening = self._stores.setdefault(url, Future())
        if is_mine:  # whoever asks meanwhile waits for this answer
            try:
                opening.set_result(open_store(url, settings=self._settings))
            except BaseException as error:
                del self._stores[url]  # the next one tries again
                opening.set_exception(error)
                raise
        return opening.result()

    def is_large_film(self, item: ClaimedItem) -> bool:
        """Whether a file is worth a look before it is fetched, and its first bytes tell a film.

        What goes wrong here is told, and whose fault it is, by fetching it.
        """
        with suppress(AutochromeError):
            if item.size_bytes >= LARGE_BYTES:
                head = self.open(item.source).stream(item.key, range(HEAD_BYTES), etag=item.etag)
                return is_film(b"".join(head))
        return False

    def check(self, url: str, key: str) -> None:
        """Look whether a source in which *key* cannot be read is away, or the folder it lies in.

        Raises:
            SourceAway: Nothing there can be read; the message says why, with a remedy.
        """
        about = url, key.rpartition("/")[0]
        with self._lock:
            at, away = self._answers.get(about, (-_HOLDS_S, None))
            if time.monotonic() - at >= _HOLDS_S:
                away = self._look(url, key)
                self._answers[about] = time.monotonic(), away
        if away is not None:
            raise away

    def _look(self, url: str, key: str) -> SourceAway | None:
        try:
            store = open_store(url, settings=self._settings)  # asks for what any scan needs
            return self._look_around(store, key)
        except AutochromeError as error:
            return SourceAway(str(error), place="")

    def _look_around(self, store: ObjectStore, key: str) -> SourceAway | None:
        is_alone = False
        for place in _places_around(key):
            look = _Look(store, self._selection, place)
            listed = look.objects()
            if others := [one for one in listed if one.key != key and one.size_bytes]:
                return look.try_some(others)
            if look.is_empty or (look.trouble and not listed):
                return look.away(look.trouble)
            is_alone = is_alone or bool(listed)
        return None if is_alone else look.away("")  # of an only one, nobody can tell


class _Look:
    """One look at a place in a store; a `Watch` of its listing."""

    def __init__(self, store: ObjectStore, selection: Selection, place: str) -> None:
        self.is_empty = False
        self.trouble = ""
        self._store = store
        self._selection = selection
        self._place = place

    def objects(self) -> list[ObjectInfo]:
        """The first objects there; what of it cannot be listed is in `trouble`."""
        listed = self._store.list_objects(self._place, watch=self)
        found: list[ObjectInfo] = []
        try:
            found.extend(islice(listed, _LISTED))
        except ListingIncomplete as error:
            self.trouble = str(error)
        return found

    def away(self, why: str) -> SourceAway:
        """The error that says that nothing of the place can be read."""
        where = f"{self._store.url}/{self._place}" if self._place else self._store.url
        why = why or "scans are known there, and it is empty now; mount what is missing"
        return SourceAway(f"{where}: {why}", place=self._place)

    def try_some(self, others: list[ObjectInfo]) -> SourceAway | None:
        """Whether none of these can be read, as far as a few tell."""
        readable = [one for one in others if not one.is_archived] or others
        why, some = "", random.sample(readable, min(_TRIED, len(readable)))
        for one in some:
            try:
                self._store.probe(one.key)
            except ObjectArchived:
                return None  # it answers
            except AutochromeError as error:
                why = str(error)
            else:
                return None
        return self.away(f"none of {count(len(some), 'other file')} there can be read: {why}")

    def leaves_out(self, key: str) -> bool:
        """Whether it is no scan: a file that says "not mounted" is none."""
        return bool(self._selection.left_out_by(key))

    def found_special(self, key: str, kind: str) -> None:
        """Nothing to read either."""

    def found_empty(self, folder: str) -> None:
        """Take note of a place that is there, and has nothing in it."""
        self.is_empty = self.is_empty or folder == self._place


def _places_around(key: str) -> Iterator[str]:
    """The folders that *key* lies in, the innermost first, and the whole."""
    while "/" in key:
        key = key.rpartition("/")[0]
        yield f"{key}/"
    yield ""
