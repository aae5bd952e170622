"""What every page of the desk works with, opened once."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from getpass import getuser

from flows.desk.colours import Colours
from flows.desk.memory import Memory
from flows.desk.news import DecisionFeed
from tasks.batch.children import PixelPool
from tasks.discovery.comparison import AT_ONCE_S, read_refused
from tasks.errors import DatabaseUnavailable
from tasks.ledger import ItemStatus, Ledger
from tasks.ledger.curating import DeskItem, QueueCount, desk_item, waiting
from tasks.ledger.opening import open_output
from tasks.pictures.showing import Pictures, open_pictures
from tasks.settings import Settings
from tasks.storage import ObjectStore

logger = logging.getLogger(__name__)

#: So long what a page knows of an item may be old: tiles are asked for by the dozen.
_ITEM_S = 2.0
_WAITING_S = 5.0
_MOST_ITEMS = 500


@dataclass
class Desk:
    """Ledger, output and pictures, and what is remembered of them for seconds."""

    settings: Settings
    ledger: Ledger
    pictures: Pictures
    output: ObjectStore
    news: DecisionFeed
    colours: Colours
    local_name: str = field(default_factory=getuser)  #: who decides, without a login by name
    _items: Memory = field(default_factory=partial(Memory, _ITEM_S, most=_MOST_ITEMS))
    _waiting: Memory = field(default_factory=partial(Memory, _WAITING_S, most=_MOST_ITEMS))

    def cookie(self, name: str) -> str:
        """What a cookie of this desk's is called: browsers send it to all ports of a host."""
        return f"{name}-{self.settings.web_port}"

    def item(self, item_id: int, *, fresh: bool = True) -> DeskItem | None:
        """An item; one that may be seconds old where it need not be *fresh*."""
        return self._items.get(item_id, lambda: desk_item(self.ledger, item_id), is_fresh=fresh)

    def waiting(
        self, status: ItemStatus = ItemStatus.REVIEW, order_id: int | None = None
    ) -> list[QueueCount]:
        """How many wait, by collection and reason, as of some seconds ago; see `queue.waiting`."""
        return self._waiting.get(
            (status, order_id), lambda: waiting(self.ledger, status, order_id=order_id)
        )

    def decided(self, *item_ids: int) -> None:
        """Forget what was known of these items, or of all, and tell everybody."""
        self._items.forget(*item_ids)
        self._waiting.forget()
        self.news.look_now()

    def read_held(self) -> None:
        """Read what was held unread: a hold is about bytes, wherever they lie."""
        try:
            read_refused(self.settings, self.ledger, within_s=AT_ONCE_S)
        except DatabaseUnavailable as error:
            logger.warning("the next discovery reads what was held: %s", error)
        self.decided()


@contextmanager
def open_desk(
    settings: Settings, ledger: Ledger, *, pixels: PixelPool | None = None
) -> Iterator[Desk]:
    """Open all that pages work with.

    Args:
        settings: Of the desk.
        ledger: That it shows, and decides in.
        pixels: A pool that its owner closes; none: one is opened here.

    Raises:
        AutochromeError: The output or the scratch folder cannot be used.
    """
    with ExitStack() as opened:
        output = open_output(settings, ledger)
        pictures = opened.enter_context(open_pictures(settings, pixels))
        colours = Colours(settings, ledger, pictures)
        opened.callback(colours.close)
        yield Desk(settings, ledger, pictures, output, DecisionFeed(ledger), colours)
