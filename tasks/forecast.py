"""What a backfill would do and take."""

from dataclasses import dataclass

from tasks.ledger.backfills import BackfillPlan
from tasks.ledger.rates import Rates


@dataclass(frozen=True)
class Forecast:
    """What a backfill would do, and what it would take, by what was measured."""

    plan: BackfillPlan
    rates: Rates | None  #: None: nothing is measured yet, and nothing is estimated
    window: int

    @property
    def worker_s(self) -> float | None:
        """One worker's time."""
        if self.rates is None:
            return None
        return self.rates.worker_s(self.plan.items, self.plan.size_bytes)

    @property
    def seconds(self) -> float | None:
        """From beginning to end, if as many workers are at it as the window holds."""
        return None if self.worker_s is None else self.worker_s / self.window

    @property
    def storage_bytes(self) -> int | None:
        """What its derivatives take."""
        return None if self.rates is None else self.rates.storage_bytes(self.plan.size_bytes)
