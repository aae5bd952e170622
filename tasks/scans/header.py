"""The header of a scan: everything that is known before a pixel is decoded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import ScanTooLarge, TruncatedScan, UnreadableScan, UnsupportedFormat
from tasks.filetypes import Format
from tasks.scans.descriptive import Descriptive, describe
from tasks.scans.formats.jp2 import is_jp2, read_jp2
from tasks.scans.formats.jpeg import read_jpeg
from tasks.scans.formats.png import read_png
from tasks.scans.formats.source import ByteSource
from tasks.scans.formats.structure import Photometric, Structure
from tasks.scans.formats.tiff import read_tiff
from tasks.scans.metadata.read import Metadata, read_metadata

_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KNOWN_BUT_UNREAD = {
    b"GIF8": "a GIF picture",
    b"BM": "a Windows bitmap",
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop document",
    b"RIFF": "a RIFF file (WebP, AVI or WAV)",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a ZIP archive",
    b"SIMPLE": "a FITS file",
    b"v/1\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance picture",
    b"<?xml": "an XML document",
    b"<svg": "an SVG drawing",
    **{f"P{n}".encode(): "a picture of the netpbm kind" for n in range(1, 8)},
    b"PF": "a PFM picture",
    b"II\xbc\x01": "a JPEG XR picture",
    b"qoif": "a QOI picture",
    b"SDPX": "a DPX picture",
    b"XPDS": "a DPX picture",
    b"\x8aMNG": "an MNG film",
    b"\x8bJNG": "a JNG picture",
    b"\x01\xda": "an SGI picture",
    b"\x59\xa6\x6a\x95": "a Sun raster",
    b"FUJIFILM": "a camera's raw data",
    b"IIRO": "a camera's raw data",
    b"IIRS": "a camera's raw data",
    b"IIU\0": "a camera's raw data",
    b"\0MRM": "a camera's raw data",
    b"FOVb": "a camera's raw data",
    b"AT&TFORM": "a DjVu document",
    b"%!PS": "a PostScript document",
    b"\xc5\xd0\xd3\xc6": "a PostScript document",
    b"\x1aE\xdf\xa3": "a Matroska film",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\0\0\1\0": "a Windows icon",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
}
_FTYP = {
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    b"heic": "a HEIC picture",
    b"heix": "a HEIC picture",
    b"mif1": "a HEIF picture",
    b"msf1": "a HEIF picture",
    b"crx ": "a camera's raw data",
}
_STRAY_BYTES = 4096
_READ = "TIFF, JPEG, PNG and JPEG 2000 are read"


@dataclass(frozen=True)
class ReadLimits:
    """What a file may ask for before it is refused, from its header alone.

    Attributes:
        max_pixels: Pixels of a page.
        max_buffer_bytes: What a decoder must hold at once where the coding cannot be streamed:
            progressive JPEG, interlaced PNG, JPEG 2000, a TIFF in one compressed strip.
    """

    max_pixels: int = 1_200_000_000
    max_buffer_bytes: int = 2 << 30


@dataclass(frozen=True)
class ScanHeader:
    """What a scan's file says of one page.

    Attributes:
        format: jpeg, tiff, png or jp2; told by content, never by the file's name.
        width: Pixels across, orientation applied.
        height: Pixels down, orientation applied.
        bits: Depth of a lossless derivative's samples, 8, 16 or 32; never less than the scan's.
        sample_type: Their type: floating point where the scan's are.
        page: This page, from 0.
        pages: Pages of the file; pyramid levels, masks and thumbnails are not pages.
        orientation: EXIF's 1 to 8, as stored; every size and pixel given out has it applied.
        resolution_ppcm: Pixels per centimetre across and down, orientation applied.
        icc: The embedded profile, unjudged; `Scan.tone` tells whether it was usable.
        descriptive: What the file says of its subject and rights.
        photometric: What the stored samples mean; codes given out are always min-is-black.
        compression: The coding's name.
        stored_bits: Bits a sample in the file.
        channels: Colour channels stored, alpha not counted: 1 or 3.
        has_alpha: Whether there is an alpha channel; it is dropped, the codes under it are kept.
        is_grey_jpeg: Whether this is an 8-bit JPEG of one component, whose luma can be spliced.
        notes: What is odd about the file and does not touch its pixels, a sentence each.
        unread: Those of them about what may have been description or rights, and was not read.
    """

    format: Format
    width: int
    height: int
    bits: int
    sample_type: np.dtype[Any]
    page: int
    pages: int
    orientation: int
    resolution_ppcm: tuple[float, float] | None
    icc: bytes | None
    descriptive: Descriptive
    photometric: Photometric
    compression: str
    stored_bits: int
    channels: int
    has_alpha: bool
    is_grey_jpeg: bool
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        """Pixels of the page."""
        return self.width * self.height


def read_header(path: Path, *, page: int = 0, limits: ReadLimits) -> ScanHeader:
    """Read what a file says of one page, and see that its data is all there; nothing is decoded.

    Args:
        path: The file; its name plays no part.
        page: The page, from 0.
        limits: What the file may ask for.

    Raises:
        UnsupportedFormat: Not a picture, or one of a kind that is not read.
        TruncatedScan: The file ends before its picture does.
        UnreadableScan: The file contradicts itself.
        ScanTooLarge: The header announces more than *limits* allow.
        OSError: The file cannot be opened.
    """
    structure = read_structure(path, page=page, limits=limits)
    return header_of(structure, read_metadata(structure), page=page)


def read_structure(path: Path, *, page: int, limits: ReadLimits) -> Structure:
    """Read a page's structure as stored, with the checks of `read_header`."""
    with path.open("rb") as file:
        structure = _read(ByteSource(file), page)
    pixels = structure.width * structure.height
    if pixels > limits.max_pixels:
        raise ScanTooLarge(
            f"{structure.width:,} × {structure.height:,} are {pixels:,} pixels, over the limit of "
            f"{limits.max_pixels:,}; raise AUTOCHROME_MAX_PIXELS, or supply a smaller copy"
        )
    if structure.buffer_bytes > limits.max_buffer_bytes:
        raise ScanTooLarge(
            f"{structure.compression} coding of {structure.width:,} × {structure.height:,} pixels "
            f"takes {structure.buffer_bytes:,} bytes at once, over the limit of "
            f"{limits.max_buffer_bytes:,}; store it in tiles or strips, so that it can be "
            "streamed, or raise AUTOCHROME_MAX_BUFFER_MB"
        )
    return structure


def _read(source: ByteSource, page: int) -> Structure:
    head = source.read_up_to(0, 16)
    if not head:
        raise TruncatedScan("the file is empty; fetch it again, or rescan")
    if head.startswith(_TIFF_SIGNATURES):
        return read_tiff(source, page)
    if is_jp2(head):
        return read_jp2(source, page)
    if page:
        raise UnsupportedFormat(f"page {page + 1} of a file that has none; TIFF and JPX have pages")
    # Bytes that belong to no segment may come before the next marker.
    if head.startswith(b"\xff\xd8") and b"\xff" in source.read_up_to(2, _STRAY_BYTES):
        return read_jpeg(source)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return read_png(source)
    if head.startswith(b"\x89PNG") or head[4:8] == b"\r\n\x1a\n":
        raise UnreadableScan(
            f"the PNG's signature is damaged ({head[:8].hex(' ')}), as by a transfer in text mode; "
            "fetch it again, or restore it from a copy"
        )
    raise UnsupportedFormat(_refusal(head))


def _refusal(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return f"{_FTYP.get(head[8:12], 'a film or picture in an MP4 box')}; {_READ}"
    head = head.removeprefix(b"\xef\xbb\xbf")
    name = next(
        (name for start, name in _KNOWN_BUT_UNREAD.items() if head.startswith(start)),
        f"not a picture that is known: it begins with the bytes {head[:8].hex(' ')}",
    )
    return f"{name}; {_READ}"


def header_of(structure: Structure, metadata: Metadata, *, page: int) -> ScanHeader:
    """Tell users what a structure and what was read of it mean: orientation applied."""
    orientation = structure.exif.orientation
    size = structure.width, structure.height
    resolution = structure.resolution_ppcm or structure.exif.resolution_ppcm
    if orientation >= 5:
        size = size[::-1]
        resolution = resolution[::-1] if resolution else None
    return ScanHeader(
        format=structure.format,
        width=size[0],
        height=size[1],
        bits=8 * structure.sample_type.itemsize,
        sample_type=structure.sample_type,
        page=page,
        pages=structure.pages,
        orientation=orientation,
        resolution_ppcm=resolution,
        icc=structure.icc,
        descriptive=describe(metadata.packet),
        photometric=structure.photometric,
        compression=structure.compression,
        stored_bits=structure.stored_bits,
        channels=structure.channels,
        has_alpha=structure.has_alpha,
        is_grey_jpeg=structure.format == Format.JPEG
        and (structure.channels, structure.stored_bits) == (1, 8)
        and structure.compression != "JPEG-LS",
        notes=(*structure.notes, *metadata.notes),
        unread=metadata.unread,
    )
