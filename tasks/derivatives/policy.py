"""What is written for an item, and what is said of a file that was written."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from tasks.filetypes import media_type_of
from tasks.provenance import Provenance
from tasks.scans.metadata.packet import Packet
from tasks.scans.metadata.read import Metadata

GreyJpeg = Literal["splice", "interleaved", "lossless"]
Kind = Literal["master", "access", "thumbnail", "sidecar", "poster", "framemd5", "xmp", "segment"]

#: Changes whenever the same policy would give other pixels, so that recipes differ.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class OutputPolicy:
    """Which files an item gets, and how they are coded. Part of the recipe.

    Attributes:
        grey_jpeg: What a greyscale JPEG becomes. `splice`: a colour JPEG with its own luminance,
            bit for bit, master and access copy in one. `interleaved`: the same, but coded anew as
            an ordinary JPEG, which decodes faster and loses a little. `lossless`: as other scans.
        master: Of other scans, a lossless RGB TIFF of the scan's depth.
        access: Of other scans, an RGB JPEG for the public; of greyscale JPEG, too, where it is
            to be smaller than the scan.
        access_px: Longest side of the access copy, which may be up to a fifth less so that both
            sides halve evenly; 0 for the scan's size.
        thumbnail_px: Longest side of a thumbnail in sRGB; 0 for none.
        sidecar: Whether provenance, tone and digests are written as JSON, too.
        jpeg_quality: Of access copies and thumbnails, 1 to 100, as libjpeg means it.
        chroma_quality: Of the chroma planes of a splice, 1 to 100.
        subsample: Whether access copies have chroma at half size (4:2:0).
        rights: The archive's own rights statement; empty for none.

    Raises:
        ValueError: Nothing would be written, or a number is out of its range.
    """

    grey_jpeg: GreyJpeg = "splice"
    master: bool = True
    access: bool = True
    access_px: int = 0
    thumbnail_px: int = 0
    sidecar: bool = False
    jpeg_quality: int = 90
    chroma_quality: int = 90
    subsample: bool = True
    rights: str = ""

    def __post_init__(self) -> None:
        if not (self.master or self.access):
            raise ValueError("a policy without master and access copy writes nothing")
        if not (1 <= self.jpeg_quality <= 100 and 1 <= self.chroma_quality <= 100):
            raise ValueError(
                f"JPEG qualities {self.jpeg_quality} and {self.chroma_quality} are not in 1 to 100"
            )
        if self.access_px < 0 or self.thumbnail_px < 0:
            raise ValueError(f"sizes {self.access_px} and {self.thumbnail_px} are below 0")
        if self.grey_jpeg not in get_args(GreyJpeg):
            raise ValueError(f"a greyscale JPEG cannot become {self.grey_jpeg!r}")

    def as_dict(self) -> dict[str, bool | int | str]:
        """All that decides a derivative, for the recipe's digest; the same keys every time."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}


class WrittenMetadata(NamedTuple):
    """What a file says of itself: in tags, in XMP, and in the words of the scan's own file."""

    provenance: Provenance
    packet: Packet
    own: Metadata = Metadata()


@dataclass(frozen=True)
class ToneCheck:
    """How a written file's lightness, read back through its profile, differs from the scan's.

    Attributes:
        max_delta_l: Largest |ΔL*| of a pixel.
        mean_delta_l: Mean |ΔL*|.
        bias_l: Mean ΔL*, signed.
        luma_identical: Whether the Y plane is the scan's, bit for bit; None where it is no splice.
        rule: What had to hold, in words.
        passed: Whether it held.
        doubt: Why the scan's own lightness rests on one reading alone; empty where two agree.
    """

    max_delta_l: float
    mean_delta_l: float
    bias_l: float
    luma_identical: bool | None
    rule: str
    passed: bool
    doubt: str = ""


@dataclass(frozen=True)
class WrittenFile:
    """A derivative on the local disk, gated.

    Attributes:
        kind: What it is for.
        path: Where it lies.
        suffix: Its usual suffix, with the dot.
        content_type: Its media type.
        size_bytes: Its size.
        sha256: Its digest, hexadecimal.
        tone: How its lightness was found; None of what cannot be compared with the scan: files of
            another size, made from one that was, and sidecars.
        note: Which way it was made, and why not another.
        luma_identical: Of a film, whether Y′ of every frame is the film's own.
    """

    kind: Kind
    path: Path
    suffix: str
    content_type: str
    size_bytes: int
    sha256: str
    tone: ToneCheck | None
    note: str
    luma_identical: bool | None = None

    @classmethod
    def of(
        cls,
        kind: Kind,
        path: Path,
        note: str,
        *,
        tone: ToneCheck | None = None,
        luma_identical: bool | None = None,
    ) -> "WrittenFile":
        """What a file is that was just written."""
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        content_type, size = media_type_of(path.name), path.stat().st_size
        return cls(kind, path, path.suffix, content_type, size, digest, tone, note, luma_identical)
