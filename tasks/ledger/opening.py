"""Opening the ledger that the settings name."""

from tasks.ledger.ledger import Ledger
from tasks.ledger.records import Backoff
from tasks.settings import Settings


def open_ledger(settings: Settings) -> Ledger:
    """Open the ledger; to be closed by the caller, or used as a context manager.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or refuses.
        SchemaOutdated: `autochrome db upgrade` must be run first.
    """
    url = settings.database_url.get_secret_value()
    return Ledger.open(url, backoff=Backoff(base_s=settings.retry_base_s))
