"""Importing much at once: nobody looks for cycles meanwhile, and everybody again afterwards."""

import gc
import weakref

import pytest

from tasks.batch.loading import importing


class _Knot:
    def __init__(self) -> None:
        self.itself = self


def test_cycles_wait_while_importing_and_are_found_afterwards() -> None:
    """What is there at the end is left alone; what comes later is not."""
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    later = weakref.ref(_Knot())
    gc.collect()
    assert later() is None


def test_an_import_that_fails_leaves_nothing_switched_off() -> None:
    """Or memory would grow without bound."""
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()
