"""From the sources that a person names to the places that the ledger knows."""

from collections.abc import Sequence

from tasks.discovery.listing import record_source
from tasks.errors import UsageError
from tasks.ledger import Ledger
from tasks.ledger.backfills import Backfills
from tasks.ledger.uris import pattern_of, uri_given
from tasks.settings import Settings


def find_sources(settings: Settings, ledger: Ledger, sources: Sequence[str]) -> tuple[str, ...]:
    """The URIs of *sources*; one that the ledger does not know yet is listed first.

    A source that it knows is taken as it was listed last: `autochrome discover` lists it again.

    Raises:
        AutochromeError: One is neither known nor can be listed.
    """
    return tuple(_find(settings, ledger, source) for source in sources)


def _find(settings: Settings, ledger: Ledger, source: str) -> str:
    uri = uri_given(source)
    for known in (uri, f"{uri.rstrip('/')}/"):
        if Backfills(ledger).has_scans_at(known):
            return known
    if pattern_of(uri):
        raise UsageError(f"no scans are known at {source}; `autochrome discover` its source first")
    record_source(settings, ledger, source)
    return f"{uri.rstrip('/')}/"
