"""Every way in which a scan or a run can end other than well.

A reason is what the ledger stores and a person filters by; its verdict says what happens next.
Exceptions carry their reason, so nothing ever decides by the text of a message.
"""

import enum
import errno
from typing import ClassVar

from tasks.redaction import without_secrets


class Verdict(enum.StrEnum):
    """What follows from a reason."""

    SKIP = "skip"  #: Not ours to colour, or not there to be read: the item ends `skipped`.
    QUARANTINE = "quarantine"  #: The scan itself is at fault: `quarantined`, a person looks at it.
    RETRY = (
        "retry"  #: The world was at fault: tried again later, `failed` when attempts are used up.
    )
    REVIEW = "review"  #: A derivative exists, and a curator decides: `review`.
    WAIT = "wait"  #: Its source is away: the attempt does not count, and its scans wait for it.
    FAIL = "fail"  #: We are at fault: `failed` at once, trying again gives the same.
    ABORT = "abort"  #: Nothing can be done for any item: attempts are given back, the run stops.


class Reason(enum.StrEnum):
    """Why an item stands where it stands. README documents each one."""

    ALREADY_COLOUR = "already_colour"
    BILEVEL = "bilevel"
    BLANK = "blank"
    VANISHED = "vanished"
    ARCHIVED = "archived"
    LEFT_OUT = "left_out"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TOO_LARGE = "too_large"
    FIXITY_MISMATCH = "fixity_mismatch"
    KILLED_WORKER = "killed_worker"
    SOURCE_AWAY = "source_away"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    LOW_CONFIDENCE = "low_confidence"
    NEGATIVE_SUSPECTED = "negative_suspected"
    TONED = "toned"
    OWN_COLOUR = "own_colour"
    NEARLY_COLOUR = "nearly_colour"
    PRINT_SUSPECTED = "print_suspected"
    NEARLY_BLANK = "nearly_blank"
    TONE_DOUBTFUL = "tone_doubtful"
    METADATA_UNREADABLE = "metadata_unreadable"
    DECIDED_BEFORE = "decided_before"
    INVALID_PREDICTION = "invalid_prediction"
    TONE_GATE = "tone_gate"
    WRITE_UNVERIFIED = "write_unverified"
    UNEXPECTED = "unexpected"
    NO_DEVICE = "no_device"
    NO_DATABASE = "no_database"
    NO_CHECKPOINT = "no_checkpoint"
    OUTPUT_AWAY = "output_away"
    OUTPUT_FULL = "output_full"
    ACCESS_DENIED = "access_denied"

    @property
    def verdict(self) -> Verdict:
        """What follows from this reason."""
        return _VERDICTS[self]


_VERDICTS = {
    Reason.ALREADY_COLOUR: Verdict.SKIP,
    Reason.BILEVEL: Verdict.SKIP,
    Reason.BLANK: Verdict.SKIP,
    Reason.VANISHED: Verdict.SKIP,
    Reason.ARCHIVED: Verdict.SKIP,
    Reason.LEFT_OUT: Verdict.SKIP,
    Reason.UNREADABLE: Verdict.QUARANTINE,
    Reason.TRUNCATED: Verdict.QUARANTINE,
    Reason.UNSUPPORTED_FORMAT: Verdict.QUARANTINE,
    Reason.TOO_LARGE: Verdict.QUARANTINE,
    Reason.FIXITY_MISMATCH: Verdict.QUARANTINE,
    Reason.KILLED_WORKER: Verdict.QUARANTINE,
    Reason.SOURCE_AWAY: Verdict.WAIT,
    Reason.STORAGE_UNAVAILABLE: Verdict.RETRY,
    Reason.TIMEOUT: Verdict.RETRY,
    Reason.OUT_OF_MEMORY: Verdict.RETRY,
    Reason.LOW_CONFIDENCE: Verdict.REVIEW,
    Reason.NEGATIVE_SUSPECTED: Verdict.REVIEW,
    Reason.TONED: Verdict.REVIEW,
    Reason.OWN_COLOUR: Verdict.REVIEW,
    Reason.NEARLY_COLOUR: Verdict.REVIEW,
    Reason.PRINT_SUSPECTED: Verdict.REVIEW,
    Reason.NEARLY_BLANK: Verdict.REVIEW,
    Reason.TONE_DOUBTFUL: Verdict.REVIEW,
    Reason.METADATA_UNREADABLE: Verdict.REVIEW,
    Reason.DECIDED_BEFORE: Verdict.REVIEW,
    Reason.INVALID_PREDICTION: Verdict.FAIL,
    Reason.TONE_GATE: Verdict.FAIL,
    Reason.WRITE_UNVERIFIED: Verdict.FAIL,
    Reason.UNEXPECTED: Verdict.FAIL,
    Reason.NO_DEVICE: Verdict.ABORT,
    Reason.NO_DATABASE: Verdict.ABORT,
    Reason.NO_CHECKPOINT: Verdict.ABORT,
    Reason.OUTPUT_AWAY: Verdict.ABORT,
    Reason.OUTPUT_FULL: Verdict.ABORT,
    Reason.ACCESS_DENIED: Verdict.ABORT,
}


class AutochromeError(Exception):
    """Something with a name went wrong. The message says what, with values, and then what to do."""

    reason: ClassVar[Reason] = Reason.UNEXPECTED

    def __str__(self) -> str:
        """The message, for logs, records and people: without what must not get there."""
        return without_secrets(super().__str__())


class UsageError(AutochromeError):
    """The command or the settings ask for something that cannot be meant (exit code 2)."""


class SourceNotFound(UsageError):
    """The named source or output does not exist. For a scan that was listed in it: not now."""

    reason = Reason.STORAGE_UNAVAILABLE


class AlreadyColour(AutochromeError):
    """The scan holds colour of its own."""

    reason = Reason.ALREADY_COLOUR


class Bilevel(AutochromeError):
    """The scan is text or line art in two tones."""

    reason = Reason.BILEVEL


class BlankScan(AutochromeError):
    """The scan holds no picture."""

    reason = Reason.BLANK


class UnreadableScan(AutochromeError):
    """The file is damaged, or lies about itself."""

    reason = Reason.UNREADABLE


class TruncatedScan(AutochromeError):
    """The file ends before its picture does."""

    reason = Reason.TRUNCATED


class UnsupportedFormat(AutochromeError):
    """The file is no picture, or of a kind that is not read."""

    reason = Reason.UNSUPPORTED_FORMAT


class ScanTooLarge(AutochromeError):
    """The header announces more pixels than the limit allows."""

    reason = Reason.TOO_LARGE


class FixityMismatch(AutochromeError):
    """The bytes read are not the bytes recorded."""

    reason = Reason.FIXITY_MISMATCH


class KilledWorker(AutochromeError):
    """Reading or writing this scan ended the process that did it."""

    reason = Reason.KILLED_WORKER


class StorageUnavailable(AutochromeError):
    """The store did not answer, or answered that it cannot now."""

    reason = Reason.STORAGE_UNAVAILABLE


class SourceAway(AutochromeError):
    """Nothing can be read from a source, or from a folder in it: no scan of it is at fault.

    Attributes:
        place: What the keys of its scans begin with; "" for the whole source.
    """

    reason = Reason.SOURCE_AWAY

    def __init__(self, message: str, *, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class StageTimeout(AutochromeError):
    """A stage took longer than it may."""

    reason = Reason.TIMEOUT


class OutOfMemory(AutochromeError):
    """The picture does not fit into memory, alone in its minibatch."""

    reason = Reason.OUT_OF_MEMORY


class InvalidPrediction(AutochromeError):
    """The network gave no finite colours for the scan, though it does for others."""

    reason = Reason.INVALID_PREDICTION


class ToneGateFailed(AutochromeError):
    """The derivative's tone differs from the scan's by more than the gate allows."""

    reason = Reason.TONE_GATE


class WriteUnverified(AutochromeError):
    """What the store holds is not what was written."""

    reason = Reason.WRITE_UNVERIFIED


class NoDevice(AutochromeError):
    """The compute device that the settings name is not there."""

    reason = Reason.NO_DEVICE


class DatabaseUnavailable(AutochromeError):
    """The ledger's database cannot be reached, or refuses."""

    reason = Reason.NO_DATABASE


class SchemaOutdated(DatabaseUnavailable):
    """The database's schema is not the one this version works with."""


class NoCheckpoint(AutochromeError):
    """No checkpoint can be loaded."""

    reason = Reason.NO_CHECKPOINT


class OutputAway(AutochromeError):
    """The store that takes the derivatives is not where it was, or does not answer."""

    reason = Reason.OUTPUT_AWAY


class OutputFull(AutochromeError):
    """The disk or store that takes the derivatives is full."""

    reason = Reason.OUTPUT_FULL


class AccessDenied(AutochromeError):
    """Credentials or permissions do not allow what is needed."""

    reason = Reason.ACCESS_DENIED


class RunAborted(AutochromeError):
    """A run could not go on; what it had begun is finished or given back."""


_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def reason_of(error: BaseException) -> Reason:
    """Map any exception to the one reason that the ledger records for it."""
    if isinstance(error, AutochromeError):
        return error.reason
    if isinstance(error, MemoryError):
        return Reason.OUT_OF_MEMORY
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT
    if isinstance(error, OSError):
        return _reason_of_os_error(error)
    return Reason.UNEXPECTED


def _reason_of_os_error(error: OSError) -> Reason:
    if error.errno in _FULL:
        return Reason.OUTPUT_FULL
    if error.errno in _DENIED:
        return Reason.ACCESS_DENIED
    return Reason.STORAGE_UNAVAILABLE
