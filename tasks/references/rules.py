"""What a reference must be before it is accepted, and why one is not."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.ledger.reference_records import ReferenceKind, ReferenceRow, Split
from tasks.references.alike import ALIKE_BITS, differing_bits
from tasks.references.look import Look
from tasks.scans.hue import Hue, HueRule, judge_hue

#: Shorter side from which a reference tells colours at all: what the network sees.
LEAST_PX = 160
#: Share of references that are held out, for evaluation.
HELD_OUT = 0.3
#: Toned prints have one colour for each lightness. Period photographs can be close to that, in haze
#: or under an old yellow varnish: five of 74 would be taken for toned by the rule for scans.
_HUE = HueRule(toned_rest=1.0)


class Refusal(enum.StrEnum):
    """Why a reference is not accepted."""

    UNREADABLE = "unreadable"  #: Damaged, truncated, no picture, or of a kind that is not read.
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    NOT_COLOUR = "not_colour"  #: Grey, or toned in one colour.
    DUPLICATE = "duplicate"  #: The same bytes are on record.
    WITHDRAWN = "withdrawn"  #: The same bytes, or a version of them, were withdrawn.
    NEAR_DUPLICATE = "near_duplicate"  #: Another version of a reference of the same split.
    LEAKAGE = "leakage"  #: Another version of a reference of the other split.
    IMPLAUSIBLE = "implausible"  #: The whole delivery's colours look exchanged or turned.
    UNDESCRIBED = "undescribed"  #: The manifest or the options say something that cannot be.


@dataclass(frozen=True)
class Verdict:
    """A refusal with its words."""

    refusal: Refusal
    detail: str


def split_of(sha256: str, kind: ReferenceKind = ReferenceKind.PERIOD) -> Split:
    """What a reference is for: decided by its digest alone, so that nothing can move it.

    But what is no evidence is never held out: it is for training, whatever its digest.
    """
    if not kind.is_evidence:
        return Split.TRAIN
    share = int(sha256[:8], 16) / 2**32
    return Split.EVALUATION if share < HELD_OUT else Split.TRAIN


def judge_look(look: Look) -> Verdict | None:
    """Say why a picture is no reference; None where it is one."""
    width, height = look.header.width, look.header.height
    if min(width, height) < LEAST_PX:
        return Verdict(
            Refusal.TOO_SMALL,
            f"{width} × {height} pixels, and the shorter side must have {LEAST_PX} or more",
        )
    hue = judge_hue(look.chroma, _HUE)
    if hue == Hue.GREY:
        return Verdict(
            Refusal.NOT_COLOUR, f"it is grey: its chroma is {look.chroma.mean:.1f} on average"
        )
    if hue == Hue.TONED:
        return Verdict(
            Refusal.NOT_COLOUR,
            "it is toned in one colour: its lightness explains its chroma but for "
            f"{look.chroma.rest:.1f}",
        )
    return None


@dataclass(frozen=True)
class KnownReference:
    """A reference that a new one is compared with.

    Attributes:
        name: For people.
        sha256: Of its file.
        phash: Of its picture.
        split: What it is for.
        withdrawn: Who withdrew it and why; empty where it stands.
        corrects: The item whose derivative it is, corrected.
        id: Its number; None of one that is not recorded yet.
    """

    name: str
    sha256: str
    phash: str
    split: Split
    withdrawn: str = ""
    corrects: int | None = None
    id: int | None = None

    @classmethod
    def of(cls, row: ReferenceRow) -> "KnownReference":
        """One on record."""
        withdrawn = "" if row.stands else f"withdrawn by {row.withdrawn_by}: {row.withdrawn_why}"
        name = f"reference {row.id}"
        return cls(name, row.sha256, row.phash, row.split, withdrawn, row.corrects_item_id, row.id)


def judge_against(
    look: Look, sha256: str, known: Iterable[KnownReference], *, split: Split | None = None
) -> Verdict | None:
    """Say which known reference stands in the way of a new one, of a split; None: none does."""
    for other in known:
        same = other.sha256 == sha256
        bits = min(differing_bits(own, other.phash) for own in look.hashes)
        if same or bits <= ALIKE_BITS:
            return _clash(other, split or split_of(sha256), same=same, bits=bits)
    return None


def _clash(other: KnownReference, split: Split, *, same: bool, bits: int) -> Verdict:
    if other.withdrawn:
        # What was withdrawn may have been learnt from: held out, its twin would be no test.
        return Verdict(Refusal.WITHDRAWN, f"{other.name} shows the same, and was {other.withdrawn}")
    if same:
        return Verdict(Refusal.DUPLICATE, f"{other.name} is the same file")
    if other.split != split:
        return Verdict(
            Refusal.LEAKAGE,
            f"{other.name}, for {other.split}, shows the same, and this one would be for {split}: "
            "what is learnt from must not be judged on",
        )
    return Verdict(
        Refusal.NEAR_DUPLICATE, f"{other.name} shows the same ({bits} of 64 bits differ)"
    )
