"""Pyramids that were looked at lately, in a folder of bounded size."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from tasks.pictures.pyramid import Pyramid
from tasks.storage.streams import remove_if_possible


@dataclass(frozen=True)
class CachedPyramid:
    """A pyramid in the cache."""

    path: Path
    pyramid: Pyramid
    size_bytes: int


class PyramidCache:
    """Makes each pyramid once, whoever asks, and forgets those that nobody has asked for longest.

    Safe to use from several threads.

    Args:
        folder: Its own; what lies there is its to remove.
        most_bytes: How much may lie there. The latest always may.
    """

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, CachedPyramid] = OrderedDict()
        self._making: dict[str, Future[CachedPyramid]] = {}
        self._number = 0

    def get(self, key: str, make: Callable[[Path], Pyramid]) -> CachedPyramid:
        """The pyramid of that key; *make* writes it to the path that it is given.

        Raises:
            Exception: Whatever *make* raises, to all who wait for it; the next one tries again.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            future = self._making.get(key)
            is_mine = future is None
            if future is None:
                future = self._making[key] = Future()
                self._number += 1
            path = self._folder / f"{self._number}.tif"
        if is_mine:
            self._make(key, make, path, future)
        return future.result()

    def peek(self, key: str) -> CachedPyramid | None:
        """The pyramid, if it is there now."""
        with self._lock:
            return self._kept.get(key)

    @property
    def size_bytes(self) -> int:
        """How much lies there."""
        with self._lock:
            return sum(kept.size_bytes for kept in self._kept.values())

    def _make(
        self, key: str, make: Callable[[Path], Pyramid], path: Path, future: "Future[CachedPyramid]"
    ) -> None:
        try:
            kept = CachedPyramid(path, make(path), path.stat().st_size)
        except Exception as error:  # noqa: BLE001  told to all who wait for it
            with self._lock:
                del self._making[key]
            remove_if_possible(path)
            future.set_exception(error)
            return
        with self._lock:
            self._kept[key] = kept
            del self._making[key]
            self._shrink()
        future.set_result(kept)

    def _shrink(self) -> None:
        total = sum(kept.size_bytes for kept in self._kept.values())
        while total > self._most_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            total -= oldest.size_bytes
            remove_if_possible(oldest.path)  # whoever reads it has it open
