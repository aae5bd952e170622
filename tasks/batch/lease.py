"""A worker's right to a batch: renewed while it works, and made sure of before anything is stored.

A process can be held up for longer than its lease lasts: a suspended machine, a stalled disk, a
network that is cut. When it goes on, its items may be in other hands, and a derivative that it
stored then would lie over the new holder's. So it asks, by a clock of its own that goes on while
the machine sleeps, whether the lease was renewed lately, and where it was not, the ledger. A paused
virtual machine knows of no pause: `finish` is refused then, and what was overwritten is done again.
"""

import time
from contextlib import AbstractContextManager
from functools import partial

from tasks.errors import AutochromeError, Reason
from tasks.heartbeat import beating
from tasks.ledger import Ledger, films

#: Linux's monotonic clock stands still while a machine is suspended, this one does not; that of
#: macOS goes on when it is asked for in this way.
now = partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LeaseLost(AutochromeError):
    """The items may be in other hands: nothing may be stored for them."""

    reason = Reason.TIMEOUT


class Lease:
    """The lease on one claimed batch."""

    def __init__(self, ledger: Ledger, token: str, *, lease_s: float) -> None:
        self._ledger = ledger
        self._token = token
        self._lease_s = lease_s
        self._sure_until = now()
        self.is_lost = False  #: The ledger said that nothing is held any more

    def renew(self) -> None:
        """Let it last for its full length from now, if it has not run out.

        Raises:
            DatabaseUnavailable: The ledger cannot be asked.
        """
        asked_at = now()  # the ledger counts from when it is reached, later than this
        if self._ask():
            self._sure_until = asked_at + self._lease_s
        else:
            self.is_lost = True

    def _ask(self) -> int:
        return self._ledger.renew(self._token, lease_s=self._lease_s)

    def make_sure(self) -> None:
        """Return only while at least half of the lease is left, renewing it where it is not.

        Raises:
            LeaseLost: It has run out.
            DatabaseUnavailable: The ledger cannot be asked.
        """
        if now() > self._sure_until - self._lease_s / 2:
            self.renew()
        if self.is_lost:
            raise LeaseLost("the lease ran out; another worker does this scan")

    def kept(self) -> AbstractContextManager[None]:
        """Renew every third of its length, and now, for as long as a block lasts."""
        return beating(self._beat, every_s=self._lease_s / 3, at_once=True)

    def _beat(self) -> None:
        if not self.is_lost:
            self.renew()


class ShotLease(Lease):
    """The lease on one shot of a film."""

    def _ask(self) -> int:
        return films.renew(self._ledger, self._token, lease_s=self._lease_s)
