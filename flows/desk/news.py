"""Server-sent events: what was decided, by whomever, leaves the queues of all who look."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import monotonic

from starlette.concurrency import run_in_threadpool

from tasks.errors import AutochromeError
from tasks.ledger import Ledger
from tasks.ledger.curating import News, latest_decision, news_since

logger = logging.getLogger(__name__)

#: The ledger is asked so often while anybody listens: decisions are made elsewhere, too.
_LOOK_EVERY_S = 1.0
#: What is decided within this time is told together: many decide, and hundreds listen.
_GATHER_S = 0.1
_BEAT_EVERY_S = 15.0
_MOST_UNSENT = 200
_MOST_KNOWN = 2000
MOST_LISTENERS = 1000
_MISSED = "event: missed\ndata: {}\n\n"


class DecisionFeed:
    """Tells listeners what was decided. It asks the ledger, once for all of them.

    All of it runs in the server's event loop, but `look_now`.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._listeners: set[asyncio.Queue[str]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_due: asyncio.Event | None = None
        self._looking: asyncio.Task[None] | None = None
        self._latest = 0
        self._known: dict[int, None] = {}

    @property
    def is_full(self) -> bool:
        """Whether no more may listen."""
        return len(self._listeners) >= MOST_LISTENERS

    def look_now(self) -> None:
        """Something was decided here: do not wait. From any thread."""
        loop, due = self._loop, self._is_due
        if loop is not None and due is not None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(due.set)

    async def listen(
        self, *, is_known: Callable[[], bool], after: int | None = None
    ) -> AsyncIterator[str]:
        """Events as the protocol writes them, for as long as somebody listens who may.

        Args:
            is_known: Asked now and then: whoever was removed, or whose session is over, is not.
            after: The last decision that a listener has heard of whose connection was lost; what
                was decided since is told at once.
        """
        mine: asyncio.Queue[str] = asyncio.Queue(maxsize=_MOST_UNSENT)
        await self._begin()
        self._listeners.add(mine)
        try:
            latest = await run_in_threadpool(latest_decision, self._ledger)
            yield f"id: {latest}\nretry: 3000\n\n"
            if after is not None and (
                told := await run_in_threadpool(self._meanwhile, after, latest)
            ):
                yield told
            asked_at = monotonic()
            while True:
                if monotonic() - asked_at >= _BEAT_EVERY_S:
                    asked_at = monotonic()
                    if not await run_in_threadpool(is_known):
                        return
                try:
                    yield await asyncio.wait_for(mine.get(), _BEAT_EVERY_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listeners.discard(mine)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def _meanwhile(self, after: int, latest: int) -> str:
        """Events of the decisions behind one, up to another; or that there were too many."""
        if latest - after > _MOST_UNSENT:
            return _MISSED
        found = news_since(self._ledger, after, ())
        return "".join(_event(one) for one in found if after < one.decision_id <= latest)

    async def _begin(self) -> None:
        if self._looking is not None and not self._looking.done():
            return
        self._loop, self._is_due = asyncio.get_running_loop(), asyncio.Event()
        self._looking = asyncio.create_task(self._look())
        self._latest = await run_in_threadpool(latest_decision, self._ledger)
        found = await run_in_threadpool(news_since, self._ledger, self._latest, ())
        self._known = dict.fromkeys(one.decision_id for one in found)

    async def _look(self) -> None:
        while True:
            due = self._is_due
            if due is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(due.wait(), _LOOK_EVERY_S)
                    await asyncio.sleep(_GATHER_S)
                due.clear()
            try:
                found = await run_in_threadpool(
                    news_since, self._ledger, self._latest, {*self._known}
                )
            except AutochromeError as error:
                logger.warning("what was decided is not known now: %s", error)
                await asyncio.sleep(_BEAT_EVERY_S)
                continue
            self._tell(found)

    def _tell(self, found: list[News]) -> None:
        for one in found:
            self._latest = max(self._latest, one.decision_id)
            self._known[one.decision_id] = None
        events = "".join(_event(one) for one in found if one.items)
        for listener in self._listeners if events else ():
            if listener.full():  # it was asleep; what it missed it asks for anew
                while not listener.empty():
                    listener.get_nowait()
                listener.put_nowait(_MISSED)
            listener.put_nowait(events)
        for old in list(self._known)[:-_MOST_KNOWN]:
            del self._known[old]


def _event(one: News) -> str:
    told = {
        "decision": one.decision_id,
        "kind": one.kind,
        "who": one.who,
        "items": {str(number): status for number, status in one.items.items()},
        "whole": one.is_whole,
    }
    return f"id: {one.decision_id}\nevent: decided\ndata: {json.dumps(told)}\n\n"
