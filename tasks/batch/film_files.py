"""The films that a process has at hand, for itself and for threads that help."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
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
    """Films by name, each fetched once; of those fetched here, the last is kept.

    Threads may share it; none waits for another's film to be fetched.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._films: dict[Hashable, OpenFilm] = {}
        self._users: Counter[Hashable] = Counter()
        self._coming: set[Hashable] = set()
        self._own: dict[Path, Hashable] = {}  # folders to be removed, and whose they are
        self._left_out: dict[int, float] = {}  # by item: until when

    @contextmanager
    def lent(self, name: Hashable, film: OpenFilm) -> Iterator[None]:
        """Let others use what its owner has, while the block lasts; wait for them then."""
        with self._changed:
            self._films[name] = film
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._films.pop(name, None)
                self._changed.wait_for(lambda: not self._users[name])

    @contextmanager
    def opened(self, name: Hashable, fetch: Callable[[], OpenFilm]) -> Iterator[OpenFilm]:
        """A film that somebody holds; where it is not at hand, what *fetch* brings.

        Args:
            name: The film's.
            fetch: Brings it into a folder of its own.
        """
        with self._changed:
            self._changed.wait_for(lambda: name in self._films or name not in self._coming)
            self._users[name] += 1
            film = self._films.get(name)
            if film is None:
                self._coming.add(name)
                self._forget_unused()
        try:
            yield film or self._fetched(name, fetch)
        finally:
            with self._changed:
                self._users[name] -= 1
                self._changed.notify_all()

    def _fetched(self, name: Hashable, fetch: Callable[[], OpenFilm]) -> OpenFilm:
        try:
            film = fetch()
            with self._changed:
                self._own[film.path.parent] = name
                # Its owner may have lent it meanwhile, and takes that away again.
                self._films.setdefault(name, film)
            return film
        finally:
            with self._changed:
                self._coming.discard(name)
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
        for folder, name in [*self._own.items()]:
            if not self._users[name]:
                self._films.pop(name, None)
                del self._own[folder]
                shutil.rmtree(folder, ignore_errors=True)
