"""What is remembered for seconds: a page asks dozens of times for the same."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from time import monotonic
from typing import TypeVar

Found = TypeVar("Found")


class Memory:
    """Answers by a key, each for so many seconds; of too many, the oldest are forgotten."""

    def __init__(self, for_s: float, *, most: int) -> None:
        self._for_s = for_s
        self._most = most
        self._lock = Lock()
        self._known: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def get(self, key: Hashable, find: Callable[[], Found], *, is_fresh: bool = False) -> Found:
        """What is known under that key, or found now; always the latter where it is to be fresh.

        That nothing was found is not remembered.
        """
        now = monotonic()
        with self._lock:
            at, known = self._known.get(key, (-self._for_s, None))
            if known is not None and not is_fresh and now - at < self._for_s:
                return known  # type: ignore[return-value]  # as it was put
        found = find()
        with self._lock:
            self._known.pop(key, None)
            if found is not None:
                self._known[key] = (now, found)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return found

    def forget(self, *keys: Hashable) -> None:
        """Forget what is known under these keys, or all."""
        with self._lock:
            for key in keys or [*self._known]:
                self._known.pop(key, None)
