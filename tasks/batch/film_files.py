"""The films that a process has at hand, for itself and for threads that help."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.films.header import FilmHeader  # which loads FFmpeg
    from tasks.ledger import ClaimedItem


#: A film that could not be fetched to help with it is left alone for so long.
LEFT_OUT_S = 60.0


@dataclass(frozen=True)
class OpenFilm:
    """A film on the local disk."""

    path: Path
    header: FilmHeader


class FilmFiles:
    """Films by their items, each fetched once; of those fetched to help, the last is kept.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._films: dict[tuple[int, int], OpenFilm] = {}
        self._users: Counter[tuple[int, int]] = Counter()
        self._own: dict[tuple[int, int], Path] = {}  # folders to be removed
        self._left_out: dict[int, float] = {}  # by item: until when

    @contextmanager
    def lent(self, item: ClaimedItem, film: OpenFilm) -> Iterator[None]:
        """Let others use what the item's holder has, while the block lasts; wait for them then."""
        name = item.id, item.revision
        with self._changed:
            self._films[name] = film
        try:
            yield
        finally:
            with self._changed:
                self._films.pop(name, None)
                self._changed.wait_for(lambda: not self._users[name])

    @contextmanager
    def opened(self, item: ClaimedItem, fetch: Callable[[], OpenFilm]) -> Iterator[OpenFilm]:
        """A film that somebody holds; where it is not at hand, what *fetch* brings.

        Args:
            item: The film's.
            fetch: Brings it into a folder of its own.
        """
        name = item.id, item.revision
        with self._changed:
            if name not in self._films:
                self._forget_unused()
                self._films[name] = fetch()
                self._own[name] = self._films[name].path.parent
            film = self._films[name]
            self._users[name] += 1
        try:
            yield film
        finally:
            with self._changed:
                self._users[name] -= 1
                self._changed.notify_all()

    def leave_out(self, item: ClaimedItem) -> None:
        """Help with this film no more for a while: this process cannot have it."""
        with self._changed:
            self._left_out[item.id] = time.monotonic() + LEFT_OUT_S

    def left_out(self) -> frozenset[int]:
        """The items that this process does not help with now."""
        with self._changed:
            now = time.monotonic()
            self._left_out = {one: at for one, at in self._left_out.items() if at > now}
            return frozenset(self._left_out)

    def _forget_unused(self) -> None:
        for name in [one for one in self._own if not self._users[one]]:
            self._films.pop(name, None)
            shutil.rmtree(self._own.pop(name), ignore_errors=True)
