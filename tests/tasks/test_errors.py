"""Reasons and verdicts: closed, complete, and never decided by a message."""

import errno

import pytest

from tasks import errors
from tasks.errors import AutochromeError, Reason, Verdict, reason_of


def _error_classes() -> list[type[AutochromeError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, AutochromeError)
    ]


def test_every_reason_has_a_verdict() -> None:
    """No reason leaves open what follows."""
    assert {reason.verdict for reason in Reason} == set(Verdict)


@pytest.mark.parametrize("error", _error_classes(), ids=lambda error: error.__name__)
def test_an_error_of_ours_carries_its_reason(error: type[AutochromeError]) -> None:
    """The class decides, whatever the message says."""
    assert reason_of(error("out of memory, disk full, permission denied")) is error.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (TimeoutError(), Reason.TIMEOUT),
        (OSError(errno.ENOSPC, "No space left on device"), Reason.OUTPUT_FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Reason.OUTPUT_FULL),
        (PermissionError(errno.EACCES, "Permission denied"), Reason.ACCESS_DENIED),
        (OSError(errno.EROFS, "Read-only file system"), Reason.ACCESS_DENIED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), Reason.STORAGE_UNAVAILABLE),
        (ZeroDivisionError(), Reason.UNEXPECTED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_errors_of_the_system_are_mapped_by_type_and_number(
    error: BaseException, reason: Reason
) -> None:
    """The operating system's errors have reasons too."""
    assert reason_of(error) is reason
