"""What most commands begin with: a ledger, opened; the libraries for that are loaded only now."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.ledger import Ledger


def ledger_at(database: str | None) -> AbstractContextManager[Ledger]:
    """The ledger of a command's --db, or else of the settings.

    Raises:
        AutochromeError: It cannot be opened; the message says what to do.
    """
    from tasks.ledger.opening import open_ledger
    from tasks.settings import load_settings

    return open_ledger(load_settings(database_url=database))
