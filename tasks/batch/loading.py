"""Importing much at once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import inside: nobody looks for cycles meanwhile, nor ever again in what is there then.

    torch alone brings a million functions, classes and tables, none of which will go. Looking for
    cycles among them takes a fifth of the time of importing, and 0.2 s each time afterwards.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
