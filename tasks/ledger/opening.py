"""Opening the ledger that the settings name, and the output that it knows."""

from contextlib import suppress

from tasks.errors import OutputAway, SourceNotFound
from tasks.ledger.fixity import last_derivative
from tasks.ledger.ledger import Ledger
from tasks.ledger.migrate import make_if_missing
from tasks.ledger.records import Backoff
from tasks.settings import Settings
from tasks.storage import ObjectStore, address_of, open_store


def open_ledger(settings: Settings, *, is_made: bool = False) -> Ledger:
    """Open the ledger; to be closed by the caller, or used as a context manager.

    With *is_made*, it is made where there is none.

    Raises:
        DatabaseUnavailable: The database cannot be reached, or refuses.
        SchemaOutdated: `autochrome db upgrade` must be run first.
    """
    url = settings.database_url.get_secret_value()
    if is_made:
        make_if_missing(url)
    return Ledger.open(url, backoff=Backoff(base_s=settings.retry_base_s))


def open_output(settings: Settings, ledger: Ledger) -> ObjectStore:
    """Open the output for writing. It is made where nothing was written to it yet.

    A disk that is not mounted looks like an empty folder: derivatives made anew in its place would
    lie beneath it.

    Raises:
        OutputAway: Derivatives on record lie there, and it is gone, or empty.
        AutochromeError: It cannot be used; the message says what to do.
    """
    with suppress(OutputAway):
        return open_store(settings.output, settings=settings, writable=True, is_made=True)
    key = last_derivative(ledger, address_of(settings.output))
    is_made = key is not None and not _holds(settings, key)
    return open_store(settings.output, settings=settings, writable=True, is_made=is_made)


def _holds(settings: Settings, key: str) -> bool:
    try:
        return open_store(settings.output, settings=settings).stat(key) is not None
    except SourceNotFound:
        return False
