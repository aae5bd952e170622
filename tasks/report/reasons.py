"""What every status and reason means to a person, and what to do: the one place that says it.

The morning report shows it, README documents it, the command line explains with it.
"""

from dataclasses import dataclass

from tasks.errors import Reason
from tasks.schema import ItemStatus


@dataclass(frozen=True)
class Help:
    """One status or reason in human words.

    Attributes:
        means: What happened, as the end of "this scan …" or "waits for …": a clause, no full stop.
        do: What a person should do, as a sentence; "Nothing." where nothing is to be done.
    """

    means: str
    do: str


STATUS_HELP = {
    ItemStatus.PENDING: Help("waits to be coloured", "Nothing: the next run takes it."),
    ItemStatus.CLAIMED: Help(
        "is being worked on", "Nothing: if its worker died, it is taken again when the lease ends."
    ),
    ItemStatus.PUBLISHED: Help("is coloured, verified and open to users", "Nothing."),
    ItemStatus.REVIEW: Help(
        "is coloured and verified, and waits for a curator",
        "Look at it, then `autochrome approve` or `autochrome reject`.",
    ),
    ItemStatus.SKIPPED: Help(
        "is not ours to colour, or not there to be read", "Nothing, unless the reason is wrong."
    ),
    ItemStatus.FAILED: Help(
        "could not be coloured, through no fault of its own",
        "Mend the cause, then `autochrome retry`.",
    ),
    ItemStatus.QUARANTINED: Help(
        "is itself at fault", "Mend or replace the scan, then `autochrome retry`."
    ),
    ItemStatus.HELD: Help(
        "is kept back for rights or sensitivity", "`autochrome release` when it may be coloured."
    ),
    ItemStatus.REJECTED: Help("was turned down by a curator", "Nothing."),
    ItemStatus.SUPERSEDED: Help("was replaced by a newer recipe's result", "Nothing."),
}

REASON_HELP = {
    Reason.ALREADY_COLOUR: Help("holds colour of its own", "Nothing: it needs no colouring."),
    Reason.BILEVEL: Help("is text or line art in two tones", "Nothing."),
    Reason.BLANK: Help(
        "holds no picture", "Look whether the scan is meant to be empty; if not, scan it again."
    ),
    Reason.VANISHED: Help(
        "is no longer in its source",
        "Nothing if it was taken away on purpose; when it is back, the next discovery takes it up.",
    ),
    Reason.ARCHIVED: Help(
        "lies in an archive class of its bucket (Glacier) and cannot be read now",
        "Restore it there if it is wanted; the next discovery takes it up.",
    ),
    Reason.LEFT_OUT: Help(
        "is left out of its source's listing by a pattern",
        "Nothing, unless it is a scan: then take it back in AUTOCHROME_EXCLUDE, as !PATTERN.",
    ),
    Reason.UNREADABLE: Help(
        "is damaged, or lies about itself", "Open it elsewhere; restore it from a copy or rescan."
    ),
    Reason.TRUNCATED: Help(
        "ends before its picture does", "Copy it again from where it came, or rescan."
    ),
    Reason.UNSUPPORTED_FORMAT: Help(
        "is no picture, or of a kind that is not read",
        "Convert it to TIFF, PNG, JPEG or JPEG 2000, a film to FFV1, or keep it out of the source.",
    ),
    Reason.TOO_LARGE: Help(
        "announces more pixels, or plays longer, than the limit",
        "If it is genuine, raise AUTOCHROME_MAX_PIXELS or AUTOCHROME_MAX_FILM_MINUTES, and retry.",
    ),
    Reason.FIXITY_MISMATCH: Help(
        "has bytes that do not match the digest on record",
        "Treat it as damage: compare it with a backup, and restore it.",
    ),
    Reason.KILLED_WORKER: Help(
        "ended the process that worked on it, at every attempt",
        "Keep the file for the developers; convert or rescan it meanwhile.",
    ),
    Reason.SOURCE_AWAY: Help(
        "waits for its source, of which nothing can be read now",
        "Mount it, or mend its server or credentials; the next look at it takes the scans up.",
    ),
    Reason.STORAGE_UNAVAILABLE: Help(
        "could not be read or written: the store did not answer, or the file was refused or gone",
        "Read the detail; when the store is well, retry.",
    ),
    Reason.TIMEOUT: Help(
        "took longer than it may",
        "Retry at a quiet time, or raise AUTOCHROME_ITEM_TIMEOUT_S for large scans.",
    ),
    Reason.OUT_OF_MEMORY: Help(
        "did not fit into memory, even alone",
        "Use a machine with more memory, or lower AUTOCHROME_THREADS, and retry.",
    ),
    Reason.LOW_CONFIDENCE: Help(
        "has colours that the network itself doubts", "Compare before and after; reject if odd."
    ),
    Reason.NEGATIVE_SUSPECTED: Help(
        "looks like a negative that was never inverted",
        "If it is one, invert the scan; the new file is coloured by itself.",
    ),
    Reason.TONED: Help(
        "is a sepia or otherwise toned print; its lightness alone was used",
        "Decide whether the tone is part of the work; reject if so.",
    ),
    Reason.OWN_COLOUR: Help(
        "has stamps, ink, tinting or a target in colours of their own, which are kept",
        "Read in the notes where they are; reject it if the derivative does them no justice.",
    ),
    Reason.NEARLY_COLOUR: Help(
        "has a tone so uneven, or colours so faint, that it may be a colour photograph",
        "Compare it with the scan; reject if its own colours were meant.",
    ),
    Reason.PRINT_SUSPECTED: Help(
        "looks like a page of print with a picture on it, or like a drawing",
        "Reject it if there is no photograph on it, or only one that belongs to the page.",
    ),
    Reason.NEARLY_BLANK: Help(
        "holds next to nothing: fog, snow, a night, a thin plate, or an empty sheet",
        "Reject it if it is empty; else see whether colour does it any good.",
    ),
    Reason.TONE_DOUBTFUL: Help(
        "has a tone that can be read in two ways, or that was guessed",
        "Read the notes of the item; compare the derivative with the scan in a viewer you trust.",
    ),
    Reason.INVALID_PREDICTION: Help(
        "was given no finite colours by the network, or one colour all over",
        "Nothing was written. Report it to the developers with the scan.",
    ),
    Reason.METADATA_UNREADABLE: Help(
        "holds a statement, perhaps of rights, or a further picture that was not read and is in no "
        "derivative",
        "Read the detail, and look at the scan's own metadata before you approve.",
    ),
    Reason.DECIDED_BEFORE: Help(
        "was rejected, held or withdrawn before, here or as the same bytes elsewhere",
        "Read the detail for who decided and why; then approve or reject this one.",
    ),
    Reason.TONE_GATE: Help(
        "would have changed in tone by more than the gate allows",
        "Nothing was published. Report it to the developers with the scan.",
    ),
    Reason.WRITE_UNVERIFIED: Help(
        "was stored, and read back as something else",
        "Check the output store and its disks, then retry.",
    ),
    Reason.UNEXPECTED: Help(
        "met an error that nobody foresaw",
        "Report it to the developers with the detail; retry after an update.",
    ),
    Reason.NO_DEVICE: Help(
        "waits for the compute device that the settings name",
        "Check the GPU and its driver, or set AUTOCHROME_DEVICE to cpu.",
    ),
    Reason.NO_DATABASE: Help(
        "waits for the ledger's database", "Check that it runs, and AUTOCHROME_DATABASE_URL."
    ),
    Reason.NO_CHECKPOINT: Help(
        "waits for a checkpoint that can be loaded",
        "Check AUTOCHROME_CHECKPOINT, or promote another with `autochrome promote`.",
    ),
    Reason.OUTPUT_AWAY: Help(
        "waits for the output, which is gone or does not answer",
        "Mount it, or mend its server, then run again.",
    ),
    Reason.OUTPUT_FULL: Help(
        "waits for room in the output", "Free some space, or raise the quota."
    ),
    Reason.ACCESS_DENIED: Help(
        "waits for permission to read or write", "Check credentials and permissions of the stores."
    ),
}
