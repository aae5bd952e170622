"""TIFF 6.0 and BigTIFF: which directories are pages, and whether a page's data is all there."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.errors import TruncatedScan, UnreadableScan, UnsupportedFormat
from tasks.scans.formats.blocks import MAX_BLOCK_BYTES, Block, BlockKind
from tasks.scans.formats.exif import read_exif
from tasks.scans.formats.ifd import Directory, Layout, read_directory, read_layout
from tasks.scans.formats.source import BLOCK_BYTES, ByteSource
from tasks.scans.formats.statements import statements_of_tags
from tasks.scans.formats.structure import Format, Photometric, Structure

Floats = NDArray[np.float64]

MAX_DIRECTORIES = 10_000

# Tags, by their names in TIFF 6.0 and its supplements.
NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = (
    254, 255, 256, 257, 258, 259, 262,
)  # fmt: skip
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, MAX_SAMPLE, PLANAR = (
    273, 277, 278, 279, 281, 284,
)  # fmt: skip
SUB_IFDS, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 330, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, XMP, IPTC, PHOTOSHOP, ICC = 338, 339, 700, 33723, 34377, 34675
DNG_VERSION = 50706

_MAX_DEPTH = 2  # thumbnails of thumbnails are not followed
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_PHOTOMETRICS = {
    0: Photometric.MIN_IS_WHITE,
    1: Photometric.MIN_IS_BLACK,
    2: Photometric.RGB,
    3: Photometric.PALETTE,
    6: Photometric.YCBCR,
}
_REFUSED_PHOTOMETRICS = {
    4: "a transparency mask",
    5: "CMYK, whose lightness depends on a press",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "a camera's raw data",
    32844: "LogL",
    32845: "LogLuv",
    34892: "a camera's raw data",
}
_RAW = {32803, 34892}
_JPEG = 7
_COMPRESSIONS = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT G3",
    4: "CCITT G4",
    5: "LZW",
    _JPEG: "JPEG",
    8: "ZIP",
    32773: "PackBits",
    32946: "ZIP",
}
_REFUSED_COMPRESSIONS = {
    6: "old-style JPEG compression",
    32766: "NeXT compression",
    32771: "CCITT compression aligned to words",
    32809: "ThunderScan compression",
    34661: "JBIG compression",
    34676: "SGI Log compression",
    34677: "SGI Log compression",
    34712: "JPEG 2000 compression",
    34887: "LERC compression",
    34925: "LZMA compression",
    50000: "Zstandard compression",
    50001: "WebP compression",
}
_BLOCKS = {XMP: BlockKind.XMP, IPTC: BlockKind.IPTC, PHOTOSHOP: BlockKind.PHOTOSHOP}
_MAX_PROFILE_BYTES = 16 << 20


def read_tiff(source: ByteSource, page: int) -> Structure:
    """Read what a TIFF's directory says of a page, and see that its data is all there.

    Raises:
        TruncatedScan: The directory or the page's data lies beyond the end of the file.
        UnreadableScan: There is no such page, or its directory contradicts itself.
        UnsupportedFormat: CMYK, L*a*b*, raw, floating point, or an unknown compression.
    """
    layout, first = read_layout(source)
    directories = list(_walk(source, layout, first))
    pages = page_numbers(directories)
    if not 0 <= page < len(pages):
        raise UnreadableScan(
            f"the TIFF has {len(pages)} pages, page {page + 1} is not among them; "
            "discover the source again"
        )
    for directory in directories:
        _check_end(directory)
    if any(_is_raw(directory) for directory in directories):
        raise UnsupportedFormat("a camera's raw data; develop it into a 16-bit TIFF")
    directory = directories[pages[page]]
    _refuse(directory)
    geometry = _geometry(directory)
    _refuse_planes(directory, geometry)
    _check_pieces(directory, geometry)
    return _structure(directory, geometry, pages=len(pages), number=pages[page])


def _walk(source: ByteSource, layout: Layout, first: int) -> Iterator[Directory]:
    offset, seen = first, set[int]()
    while offset:
        if offset in seen or len(seen) >= MAX_DIRECTORIES:
            raise UnreadableScan(
                f"the TIFF's chain of directories comes back to byte {offset:,} or is longer than "
                f"{MAX_DIRECTORIES:,}; restore the file from a copy"
            )
        seen.add(offset)
        directory = read_directory(source, layout, offset)
        yield directory
        offset = directory.next_offset
    if not seen:
        raise UnreadableScan("the TIFF has no directory; restore the file from a copy")


def _check_end(directory: Directory, *, depth: int = 0) -> None:
    """See that a directory's values, its data, and those of its thumbnails lie within the file."""
    end = max((entry.offset + entry.size for entry in directory.entries.values()), default=0)
    geometry = _geometry(directory) if directory.integer(WIDTH, 0) else None
    starts, lengths = _pieces(directory, geometry) if geometry else (np.zeros(0), np.zeros(0))
    if starts.size and starts.size == lengths.size:
        end = max(end, int((starts + lengths).max()))
    if end > directory.source.size:
        raise TruncatedScan(
            f"the file ends at byte {directory.source.size:,}, its TIFF directory speaks of data "
            f"up to byte {end:,}; fetch it again, or rescan"
        )
    for offset in directory.values(SUB_IFDS).tolist() if depth < _MAX_DEPTH else ():
        inner = read_directory(directory.source, directory.layout, offset)
        _check_end(inner, depth=depth + 1)


def page_numbers(directories: list[Directory]) -> list[int]:
    """Tell pages from pyramid levels, masks and thumbnails.

    A directory is none of a page where its subfile type says so, or where it continues an unmarked
    pyramid: tiled, and half the size of the level before it, which is tiled too.
    """
    pages, above = [], None
    for number, directory in enumerate(directories):
        kind = directory.integer(NEW_SUBFILE_TYPE, 0)
        is_marked = bool(kind & (_REDUCED | _MASK)) or directory.integer(SUBFILE_TYPE, 0) == 2
        size = directory.integer(WIDTH, 0), directory.integer(LENGTH, 0)
        is_tiled = TILE_WIDTH in directory
        continues = is_tiled and above is not None and _is_half(size, above)
        above = size if is_tiled and not is_marked else None
        if not is_marked and not continues:
            pages.append(number)
    return pages or [0]


def _is_half(size: tuple[int, int], above: tuple[int, int]) -> bool:
    return all(abs(2 * part - whole) <= 2 for part, whole in zip(size, above, strict=True))


def _refuse(directory: Directory) -> None:
    """Refuse what cannot be read, by name, before anything is decoded."""
    photometric = directory.integer(PHOTOMETRIC, -1)
    compression = directory.integer(COMPRESSION, 1)
    if photometric in _REFUSED_PHOTOMETRICS:
        kind = _REFUSED_PHOTOMETRICS[photometric]
        raise UnsupportedFormat(f"a TIFF that holds {kind}; convert it to grey")
    if photometric not in _PHOTOMETRICS:
        raise UnsupportedFormat(
            f"a TIFF of unknown photometric sense {photometric}; convert it to grey"
        )
    if compression not in _COMPRESSIONS:
        name = _REFUSED_COMPRESSIONS.get(compression, f"compression {compression}")
        raise UnsupportedFormat(f"a TIFF in {name}; convert it to LZW, ZIP or no compression")
    if photometric == 6 and compression != _JPEG:
        raise UnsupportedFormat(
            "a TIFF of YCbCr samples without JPEG compression; convert it to grey or RGB"
        )
    formats = set(directory.values(SAMPLE_FORMAT).tolist()) or {1}
    bits = set(directory.values(BITS).tolist()) or {1}
    if formats - {1, 4} or len(bits) != 1 or not bits <= {1, 2, 4, 8, 16}:
        raise UnsupportedFormat(
            f"a TIFF of {_listed(bits)} bits a sample in sample format {_listed(formats)}; "
            "convert it to unsigned 8 or 16 bits"
        )


def _is_raw(directory: Directory) -> bool:
    """Whether a directory, or one below it, holds a camera's raw data: its first is a thumbnail."""
    if DNG_VERSION in directory or directory.integer(PHOTOMETRIC, -1) in _RAW:
        return True
    inner = directory.values(SUB_IFDS).tolist()
    below = (read_directory(directory.source, directory.layout, place) for place in inner)
    return any(found.integer(PHOTOMETRIC, -1) in _RAW for found in below)


def _refuse_planes(directory: Directory, geometry: "_Geometry") -> None:
    """Refuse what libvips refuses or, grey with alpha in planes of its own, reads wrongly."""
    if geometry.samples > 1 and geometry.bits < 8:
        raise UnsupportedFormat(
            f"a TIFF of {geometry.samples} samples a pixel, {geometry.bits} bits each; "
            "convert it to 8 or 16 bits"
        )
    is_colour = directory.integer(PHOTOMETRIC, 1) in {2, 6}
    if geometry.is_separate and (geometry.is_tiled or not is_colour):
        raise UnsupportedFormat(
            "a TIFF whose samples lie in planes of their own, in tiles or with grey; "
            "convert it to interleaved samples"
        )


def _listed(numbers: set[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))


@dataclass(frozen=True)
class _Geometry:
    """How a page's pixels are cut into strips or tiles."""

    width: int
    length: int
    samples: int
    bits: int
    is_separate: bool
    is_tiled: bool
    piece_width: int
    piece_length: int

    @property
    def pieces(self) -> int:
        """Strips or tiles that the page must have."""
        across = -(-self.width // self.piece_width)
        down = -(-self.length // self.piece_length)
        return across * down * (self.samples if self.is_separate else 1)

    @property
    def piece_bytes(self) -> int:
        """Bytes of a whole piece, decoded."""
        samples = 1 if self.is_separate else self.samples
        return -(-self.piece_width * samples * self.bits // 8) * self.piece_length


def _geometry(directory: Directory) -> _Geometry:
    width, length = directory.integer(WIDTH, 0), directory.integer(LENGTH, 0)
    is_tiled = TILE_WIDTH in directory
    piece_width = directory.integer(TILE_WIDTH, 0) if is_tiled else width
    rows = directory.integer(TILE_LENGTH if is_tiled else ROWS_PER_STRIP, length)
    piece_length = rows if is_tiled else min(rows, length)
    samples = directory.integer(SAMPLES, 1)
    if min(width, length, piece_width, piece_length, samples) < 1:
        raise UnreadableScan(
            f"the TIFF announces {width} × {length} pixels of {samples} samples, in pieces of "
            f"{piece_width} × {piece_length}; restore the file from a copy"
        )
    return _Geometry(
        width=width,
        length=length,
        samples=samples,
        bits=directory.integer(BITS, 1),
        is_separate=directory.integer(PLANAR, 1) == 2 and samples > 1,
        is_tiled=is_tiled,
        piece_width=piece_width,
        piece_length=piece_length,
    )


def _check_pieces(directory: Directory, geometry: _Geometry) -> None:
    """See that every strip or tile is there, and within the file."""
    name = "tile" if geometry.is_tiled else "strip"
    starts, lengths = _pieces(directory, geometry)
    if min(starts.size, lengths.size) < geometry.pieces:
        raise UnreadableScan(
            f"the TIFF lists {min(starts.size, lengths.size):,} {name}s where its size asks for "
            f"{geometry.pieces:,}; restore the file from a copy"
        )
    absent = np.flatnonzero((starts <= 0) | (lengths <= 0))
    if absent.size:
        raise UnreadableScan(
            f"{absent.size:,} of the TIFF's {geometry.pieces:,} {name}s hold nothing, the first is "
            f"number {absent[0] + 1:,}; restore the file from a copy"
        )
    beyond = np.flatnonzero(starts + lengths > directory.source.size)
    if beyond.size:
        raise TruncatedScan(
            f"{name} {beyond[0] + 1:,} of {geometry.pieces:,} lies beyond the file's end at byte "
            f"{directory.source.size:,}; fetch it again, or rescan"
        )


def _pieces(directory: Directory, geometry: _Geometry) -> tuple[Floats, Floats]:
    """Give where strips or tiles lie, and their bytes: exact below 2⁵³, and no overflow above."""
    starts = directory.values(TILE_OFFSETS if geometry.is_tiled else STRIP_OFFSETS)
    lengths = directory.values(TILE_BYTES if geometry.is_tiled else STRIP_BYTES)
    if starts.dtype.kind not in "iu" or lengths.dtype.kind not in "iu":
        return np.zeros(0), np.zeros(0)
    places: Floats = starts[: geometry.pieces].astype(np.float64)
    sizes: Floats = lengths[: geometry.pieces].astype(np.float64)
    if directory.integer(COMPRESSION, 1) == 1 and places.size == geometry.pieces:
        # Writers pad the last one, or leave the bytes out: only what the picture needs counts.
        needed = _needed(geometry)
        sizes = np.minimum(sizes, needed) if sizes.size == needed.size else needed
    return places, sizes


def _needed(geometry: _Geometry) -> Floats:
    """Bytes that each uncompressed piece must have; the last strip of a plane may be shorter."""
    needed = np.full(geometry.pieces, float(geometry.piece_bytes))
    rest = geometry.length % geometry.piece_length
    if rest and not geometry.is_tiled:
        down = -(-geometry.length // geometry.piece_length)
        needed[down - 1 :: down] *= rest / geometry.piece_length
    return needed


def check_zip(source: ByteSource, number: int) -> None:
    """Inflate a directory's ZIP pieces for their checksums, which libtiff does not look at.

    Raises:
        UnreadableScan: The data is damaged.
    """
    directory = list(_walk(source, *read_layout(source)))[number]
    geometry = _geometry(directory)
    pieces = list(zip(*_pieces(directory, geometry), strict=True))
    for index, (offset, size) in enumerate(pieces):
        try:
            _inflate(source, int(offset), int(size), limit=geometry.piece_bytes)
        except zlib.error as error:
            raise UnreadableScan(
                f"piece {index + 1:,} of {len(pieces):,} of the TIFF fails its checksum ({error}); "
                "restore the file from a copy"
            ) from error


def _inflate(source: ByteSource, offset: int, size: int, *, limit: int) -> None:
    """Inflate a piece block by block, up to what it may hold; zlib compares the checksum itself."""
    inflater, found, end = zlib.decompressobj(), 0, offset + size
    while offset < end and not inflater.eof and found <= limit:
        block = source.read(offset, min(BLOCK_BYTES, end - offset))
        offset += len(block)
        while block and not inflater.eof and found <= limit:
            found += len(inflater.decompress(block, BLOCK_BYTES))
            block = inflater.unconsumed_tail


def _structure(directory: Directory, geometry: _Geometry, *, pages: int, number: int) -> Structure:
    photometric = _PHOTOMETRICS[directory.integer(PHOTOMETRIC, 1)]
    is_grey = photometric in {Photometric.MIN_IS_BLACK, Photometric.MIN_IS_WHITE}
    colours = 1 if is_grey or photometric == Photometric.PALETTE else 3
    extra = geometry.samples - colours
    # Old writers leave the one tag out that says what a sample more is: alpha, then.
    if extra < 0 or extra > max(1, directory.values(EXTRA_SAMPLES).size):
        raise UnsupportedFormat(
            f"a TIFF of {geometry.samples} samples a pixel that are {photometric}; "
            "convert it to grey"
        )
    exif = read_exif(directory)
    return Structure(
        format=Format.TIFF,
        width=geometry.width,
        height=geometry.length,
        stored_bits=geometry.bits,
        channels=1 if is_grey else 3,
        photometric=photometric,
        compression=_COMPRESSIONS[directory.integer(COMPRESSION, 1)],
        has_alpha=extra > 0,
        pages=pages,
        directory=number,
        max_sample=directory.integer(MAX_SAMPLE, 0) or None,
        statements=statements_of_tags(directory, geometry.bits),
        buffer_bytes=_buffer_bytes(geometry),
        resolution_ppcm=exif.resolution_ppcm,
        icc=directory.data(ICC, limit=_MAX_PROFILE_BYTES),
        exif=exif,
        blocks=tuple(_blocks(directory)),
    )


def _blocks(directory: Directory) -> Iterator[Block]:
    for tag, kind in _BLOCKS.items():
        entry = directory.entries.get(tag)
        if entry is None:
            continue
        data, fault = b"", ""
        if entry.size > MAX_BLOCK_BYTES:
            fault = f"announces {entry.size:,} bytes"
        elif entry.offset + entry.size > directory.source.size:
            fault = "lies beyond the file's end"
        else:
            data = directory.source.read(entry.offset, entry.size)
        yield Block(kind, f"tag {tag}", data, fault=fault)


def _buffer_bytes(geometry: _Geometry) -> int:
    """What is decoded at once: a row of tiles, or a strip."""
    across = -(-geometry.width // geometry.piece_width)
    return geometry.piece_bytes * across * (geometry.samples if geometry.is_separate else 1)
