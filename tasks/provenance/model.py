"""What is said of a derivative's origin: in its XMP, in its sidecar, and in PREMIS exports."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.metadata import version

from tasks.scans.descriptive import Descriptive
from tasks.words import count

#: IPTC's NewsCodes: a composite that includes elements made by a trained model.
DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)

#: In words, for whoever reads no codes.
NOTE = (
    "The colours of this picture are a machine's guess. They were added to a greyscale scan and "
    "are no record of the colours that were there; the scan's own tones were kept."
)

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:autochrome:derivative")


@cache  # to look it up takes a millisecond
def this_program() -> str:
    """Autochrome, with its version: what made a derivative."""
    return f"Autochrome {version('autochrome')}"


@dataclass(frozen=True)
class CorrectionStatement:
    """What a person said of a derivative's colours.

    Attributes:
        number: Of the correction in the ledger.
        who: Said it.
        made_at: When, with a time zone.
        hints: How many places, or lines, were given a colour.
        masks: How many strokes keep colour away.
        strength: Factor on the network's own colours.
        note: In the person's words.
        frame: Of a film, from 0, where it is about one.
        parts: Of a film: what was said of each frame; the rest is of all of them together.
    """

    number: int
    who: str
    made_at: datetime
    hints: int
    masks: int
    strength: float
    note: str = ""
    frame: int | None = None
    parts: tuple["CorrectionStatement", ...] = ()

    def in_words(self) -> str:
        """Say it: "3 hints and 1 mask by Ann, 2026-11-30"; of a film, on which frame."""
        if self.parts:
            return "; ".join(one.in_words() for one in self.parts)
        parts = [count(self.hints, "hint")]
        if self.masks:
            parts.append(count(self.masks, "mask"))
        if self.strength != 1:
            parts.append(f"strength {self.strength:g}")
        listed = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
        where = "" if self.frame is None else f" on frame {self.frame}"
        return f"{listed}{where} by {self.who}, {self.made_at:%Y-%m-%d}"


@dataclass(frozen=True)
class Provenance:
    """Where a derivative comes from, and what made it.

    Attributes:
        scan_uri: The scan's place in its store, with the page where its file has several.
        scan_sha256: Digest of the scan's file, hexadecimal.
        checkpoint_digest: Digest of the network's checkpoint, hexadecimal.
        recipe_digest: Digest of all that decides the pixels, hexadecimal.
        model_name: The network's name.
        software: This program and its version.
        created_at: When the derivative was made, with a time zone.
        confidence: The network's own, in [0, 1].
        descriptive: What the scan's file says of its subject and rights.
        page: The page of the scan's file, from 0.
        notes: What a person should know of the scan, a sentence each.
        correction: What a person said of the colours; None where nobody did.
    """

    scan_uri: str
    scan_sha256: str
    checkpoint_digest: str
    recipe_digest: str
    model_name: str
    software: str
    created_at: datetime
    confidence: float
    descriptive: Descriptive = field(default_factory=Descriptive)
    page: int = 0
    notes: tuple[str, ...] = ()
    correction: CorrectionStatement | None = None

    @property
    def note(self) -> str:
        """In words: that it is a guess, and what a person said."""
        if self.correction is None:
            return NOTE
        return f"{NOTE} A person has guided the guess: {self.correction.in_words()}."

    @property
    def document_id(self) -> str:
        """Names all files made of a scan under one recipe and correction; the same every time."""
        parts = [self.scan_uri, self.scan_sha256, self.recipe_digest]
        if self.correction is not None:
            parts.append(f"correction {self.correction.number}")
        return f"uuid:{uuid.uuid5(_NAMESPACE, chr(10).join(parts))}"

    def instance_id(self, rendition: str) -> str:
        """Names one file: that *rendition*, made at that time."""
        parts = self.document_id, rendition, self.created_at.isoformat()
        return f"uuid:{uuid.uuid5(_NAMESPACE, chr(10).join(parts))}"
