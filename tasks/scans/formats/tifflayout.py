"""How a TIFF page's pixels are laid out: their kind, their strips or tiles, and where these lie.

What is missing or makes no sense is taken as TIFF 6.0's default, or as the rest of the directory
has it, and noted. Pieces that are not there refuse the page.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.errors import UnsupportedFormat
from tasks.scans.formats import tags
from tasks.scans.formats.ifd import Directory
from tasks.scans.formats.source import cut_off, damaged

Offsets = NDArray[np.int64]

_NOWHERE = 1 << 62  # beyond every file's end
_SAMPLES = {tags.CMYK: 4, **dict.fromkeys((tags.RGB, tags.YCBCR, *tags.LAB), 3)}  # if none are said


@dataclass(frozen=True)
class Geometry:
    """What a page's pixels are, and how they are cut into strips or tiles."""

    width: int
    length: int
    samples: int
    bits: int
    sample_format: int
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    is_separate: bool
    is_tiled: bool
    piece_width: int
    piece_length: int
    is_subsampled: bool = False
    chroma_steps: tuple[int, ...] = ()

    @property
    def is_plain_ycbcr(self) -> bool:
        """Whether the samples are YCbCr that nothing but ourselves turns into RGB."""
        is_coded = self.compression in tags.COLOUR_CODECS
        return self.photometric == tags.YCBCR and not is_coded and not self.is_subsampled

    @property
    def is_spread_by_libtiff(self) -> bool:
        """Whether libtiff, when it makes RGB of it, follows ReferenceBlackWhite."""
        is_coded = self.compression in tags.COLOUR_CODECS
        return self.photometric == tags.YCBCR and not is_coded and self.is_subsampled

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

    def numbers(self) -> dict[int, tuple[int, ...]]:
        """The tags that say this, to a decoder that is to leave the numbers as they are.

        Signed integers are given as unsigned, for every depth; L*a*b* as RGB, or as grey.
        """
        sample_format = 3 if self.sample_format == tags.FLOAT else 1
        photometric = self.photometric
        if photometric in tags.LAB:
            photometric = tags.RGB if self.samples >= 3 else 1
        shape = {tags.ROWS_PER_STRIP: (self.piece_length,)}
        if self.is_tiled:
            shape = {tags.TILE_WIDTH: (self.piece_width,), tags.TILE_LENGTH: (self.piece_length,)}
        return {
            tags.WIDTH: (self.width,),
            tags.LENGTH: (self.length,),
            tags.BITS: (self.bits,) * self.samples,
            tags.COMPRESSION: (self.compression,),
            tags.PHOTOMETRIC: (photometric,),
            tags.FILL_ORDER: (self.fill_order,),
            tags.SAMPLES: (self.samples,),
            tags.PLANAR: (1 + self.is_separate,),
            tags.PREDICTOR: (self.predictor,),
            tags.SAMPLE_FORMAT: (sample_format,) * self.samples,
            **({tags.YCBCR_SUBSAMPLING: self.chroma_steps} if self.chroma_steps else {}),
            **shape,
        }


@dataclass(frozen=True)
class Places:
    """Where each piece begins in the file, and its bytes."""

    starts: Offsets
    sizes: Offsets


def read_geometry(directory: Directory, notes: list[str]) -> Geometry:
    """Read what the pixels are.

    Raises:
        UnreadableScan: There are no pixels, or so many samples that no picture has them.
        UnsupportedFormat: Samples of several depths.
    """
    width, length = directory.integer(tags.WIDTH, 0), directory.integer(tags.LENGTH, 0)
    is_tiled = tags.TILE_WIDTH in directory and tags.TILE_OFFSETS in directory
    compression = _number(directory, tags.COMPRESSION, 1, range(1, 1 << 16), notes)
    samples = _samples(directory)
    if min(width, length, samples) < 1 or samples > 64:
        raise damaged(f"the TIFF announces {width:,} × {length:,} pixels of {samples} samples")
    piece_width = directory.integer(tags.TILE_WIDTH, 0) if is_tiled else width
    is_separate = _number(directory, tags.PLANAR, 1, range(1, 3), notes) == 2 and samples > 1
    rows = directory.integer(tags.TILE_LENGTH, 0) if is_tiled else 0
    planes = samples if is_separate else 1
    piece_length = rows if is_tiled else _rows_per_strip(directory, length, planes, notes)
    if min(piece_width, piece_length) < 1:
        raise damaged(f"the TIFF announces tiles of {piece_width:,} × {piece_length:,} pixels")
    return Geometry(
        width=width,
        length=length,
        samples=samples,
        bits=_bits(directory, width * length * samples, compression, notes),
        sample_format=_sample_format(directory, notes),
        photometric=_photometric(directory, samples, notes),
        compression=compression,
        predictor=_number(directory, tags.PREDICTOR, 1, range(1, 1 << 16), notes),
        fill_order=_number(directory, tags.FILL_ORDER, 1, range(1, 3), notes),
        is_separate=is_separate,
        is_tiled=is_tiled,
        piece_width=piece_width,
        piece_length=piece_length,
        is_subsampled=_is_subsampled(directory),
    )


def _is_subsampled(directory: Directory) -> bool:
    """Whether chroma has fewer samples than luma, as YCbCr has that does not say."""
    if directory.integer(tags.PHOTOMETRIC, -1) != tags.YCBCR:
        return False
    steps: list[float] = directory.numbers(tags.YCBCR_SUBSAMPLING)[:2].tolist()
    return steps != [1, 1]


def _number(directory: Directory, tag: int, default: int, allowed: range, notes: list[str]) -> int:
    """Read a number; the default where it is none that is allowed."""
    found = directory.integer(tag, default)
    if found in allowed:
        return found
    notes.append(f"TIFF tag {tag} is {found}, which means nothing: taken as {default}")
    return default


def _samples(directory: Directory) -> int:
    if tags.SAMPLES in directory:
        return directory.integer(tags.SAMPLES, 0)
    listed = directory.numbers(tags.BITS).size
    return max(listed, _SAMPLES.get(directory.integer(tags.PHOTOMETRIC, -1), 1))


def _bits(directory: Directory, numbers: int, compression: int, notes: list[str]) -> int:
    """Read the depth; where none is said, it is 1, unless the bytes of uncompressed data tell."""
    found = set(directory.integers(tags.BITS)) - {0}
    if len(found) > 1:
        depths = ", ".join(map(str, sorted(found)))
        raise UnsupportedFormat(f"a TIFF of {depths} bits a sample; convert it to 8 or 16 bits")
    if found:
        return int(found.pop())
    stored = directory.numbers(tags.STRIP_BYTES).sum() + directory.numbers(tags.TILE_BYTES).sum()
    bits = 8 * int(stored) // numbers if compression == 1 else 8 if compression == tags.JPEG else 1
    bits = bits if bits in {8, 16} else 1
    if bits > 1:
        notes.append(f"the TIFF does not say how deep its samples are: taken as {bits} bits")
    return bits


def _sample_format(directory: Directory, notes: list[str]) -> int:
    # What is said of samples that there are none of says nothing.
    most = max(1, _samples(directory))
    found = set(directory.integers(tags.SAMPLE_FORMAT, most=most)) or {1}
    if len(found) > 1:
        raise UnsupportedFormat("a TIFF of samples in several formats; convert it to grey")
    number = found.pop()
    if 1 <= number <= 6:
        return 1 if number == tags.UNTYPED else number
    notes.append(f"TIFF sample format {number} means nothing: taken as unsigned")
    return 1


def _photometric(directory: Directory, samples: int, notes: list[str]) -> int:
    found = directory.integer(tags.PHOTOMETRIC, -1)
    if found >= 0:
        return found
    guess = tags.RGB if samples >= 3 else 1
    name = "RGB" if guess == tags.RGB else "grey whose 0 is black"
    notes.append(f"the TIFF does not say what its samples mean: taken as {name}")
    return guess


def _rows_per_strip(directory: Directory, length: int, planes: int, notes: list[str]) -> int:
    rows = directory.integer(tags.ROWS_PER_STRIP, 0)
    if rows > 0:
        return min(rows, length)
    strips = max(1, directory.numbers(tags.STRIP_OFFSETS).size // planes)
    found = -(-length // strips)
    if tags.ROWS_PER_STRIP in directory or strips > 1:
        notes.append(f"the TIFF does not say how many rows a strip has: taken as {found:,}")
    return found


def find_places(directory: Directory, geometry: Geometry, notes: list[str]) -> Places:
    """Find where every strip or tile lies, and see that it is there, within the file.

    Raises:
        TruncatedScan: One lies beyond the end of the file.
        UnreadableScan: One is missing.
    """
    name = "tile" if geometry.is_tiled else "strip"
    starts = _offsets(directory, tags.TILE_OFFSETS if geometry.is_tiled else tags.STRIP_OFFSETS)
    starts = starts[: geometry.pieces]
    if starts.size < geometry.pieces:
        raise damaged(
            f"the TIFF lists {starts.size:,} {name}s where its size asks for {geometry.pieces:,}"
        )
    absent = np.flatnonzero(starts <= 0)
    if absent.size:
        raise damaged(
            f"{absent.size:,} of the TIFF's {geometry.pieces:,} {name}s hold nothing, the first is "
            f"number {absent[0] + 1:,}"
        )
    sizes = _sizes(directory, geometry, starts, notes)
    beyond = np.flatnonzero(starts + sizes > directory.source.size)
    if beyond.size:
        raise cut_off(
            f"{name} {beyond[0] + 1:,} of {geometry.pieces:,} lies beyond the file's end at byte "
            f"{directory.source.size:,}"
        )
    return Places(starts, sizes)


def _offsets(directory: Directory, tag: int) -> Offsets:
    found = directory.values(tag)
    if found.dtype.kind not in "iu":
        return np.zeros(0, dtype=np.int64)
    if found.dtype == np.uint64:
        found = np.minimum(found, np.uint64(_NOWHERE))
    return found.astype(np.int64)


def _sizes(directory: Directory, geometry: Geometry, starts: Offsets, notes: list[str]) -> Offsets:
    """Bytes of each piece. Of uncompressed ones only what the picture needs counts."""
    tag = tags.TILE_BYTES if geometry.is_tiled else tags.STRIP_BYTES
    said = np.zeros(starts.size, dtype=np.int64)
    is_gone = tag in directory and directory.is_beyond(tag)
    listed = said[:0] if is_gone else _offsets(directory, tag)[: starts.size]
    said[: listed.size] = listed
    missing = said <= 0
    if missing.any():
        notes.append("the TIFF does not say how many bytes its data has: told by what is around it")
    if (
        geometry.compression == 1 and not geometry.is_subsampled
    ):  # writers pad the last one, or leave its rest out
        return _needed(geometry)
    if missing.any():
        borders = np.unique(np.append(starts, [directory.offset, directory.source.size]))
        following = np.searchsorted(borders, starts, side="right")
        until = borders[np.minimum(following, borders.size - 1)]
        said[missing] = np.maximum(1, until - starts)[missing]
    return said


def _needed(geometry: Geometry) -> Offsets:
    """Bytes that each uncompressed piece must have; the last strip of a plane may be shorter."""
    needed = np.full(geometry.pieces, geometry.piece_bytes, dtype=np.int64)
    rest = geometry.length % geometry.piece_length
    if rest and not geometry.is_tiled:
        down = -(-geometry.length // geometry.piece_length)
        needed[down - 1 :: down] = geometry.piece_bytes // geometry.piece_length * rest
    return needed
