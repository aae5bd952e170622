"""TIFF 6.0 and BigTIFF: what a page's directory says, and whether its pixels are all there.

Only what decides about the pixels can refuse a page. What is wrong with the rest is noted.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tasks.errors import AutochromeError, UnreadableScan, UnsupportedFormat
from tasks.filetypes import Format
from tasks.scans.formats import tags
from tasks.scans.formats.exif import read_exif
from tasks.scans.formats.ifd import Directory, read_directory
from tasks.scans.formats.source import ByteSource, cut_off
from tasks.scans.formats.statements import statements_of_tags
from tasks.scans.formats.structure import (
    CONVERTED,
    Photometric,
    Statement,
    Structure,
    Values,
    press_profile,
)
from tasks.scans.formats.tiffchain import Chain, Look, below, data_end, read_chain
from tasks.scans.formats.tiffclean import clean_parts, copied_tags
from tasks.scans.formats.tiffjpeg import as_coded
from tasks.scans.formats.tifflayout import Geometry, Places, find_places, read_geometry
from tasks.scans.formats.tiffpieces import look_at

_MAX_PROFILE_BYTES = 16 << 20
_POINTERS = {tags.SUB_IFDS: "thumbnails", tags.EXIF_IFD: "EXIF", tags.GPS_IFD: "GPS"}


def read_tiff(source: ByteSource, page: int) -> Structure:
    """Read what a TIFF's directory says of a page, and see that its pixels are all there.

    Raises:
        TruncatedScan: The directory or the page's data lies beyond the end of the file.
        UnreadableScan: There is no such page, or its directory contradicts itself.
        UnsupportedFormat: Camera raw, floating point of no stated range, an unknown compression.
    """
    chain = read_chain(source, _look)
    if chain.is_raw:
        raise UnsupportedFormat("a camera's raw data; develop it into a 16-bit TIFF")
    if not 0 <= page < len(chain.pages):
        if chain.fault:
            raise chain.fault
        raise UnreadableScan(
            f"the TIFF has {len(chain.pages)} pages, page {page + 1} is not among them; "
            "discover the source again"
        )
    number = chain.pages[page]
    directory = read_directory(source, chain.layout, chain.places[number])
    found = _read_page(directory)
    notes = (*_neighbour_notes(chain, directory), *found.notes)
    found = replace(found, pages=len(chain.pages), directory=number, notes=notes)
    if not page:
        return found
    first = read_directory(source, chain.layout, chain.places[chain.pages[0]])
    return replace(found, first_exif=read_exif(first))


def _read_page(directory: Directory) -> Structure:
    for tag in _needed(directory):
        if tag in directory and directory.is_beyond(tag):
            raise cut_off(
                f"the file ends at byte {directory.source.size:,}, before its tag {tag}, which "
                "the pixels need"
            )
    notes = [*_directory_notes(directory)]
    geometry = read_geometry(directory, notes)
    _refuse(geometry)
    places = find_places(directory, geometry, notes)
    coded = as_coded(directory.source, geometry, places)
    if coded.photometric != geometry.photometric:
        name = tags.PHOTOMETRICS[coded.photometric]
        notes.append(f"the TIFF's JPEG data is {name} by its own markers: so it is read")
    return _structure(directory, coded, places, notes)


def _needed(directory: Directory) -> Iterator[int]:
    """Tags without which pixels of this kind cannot be read, or could be read in two ways."""
    yield from tags.DECISIVE
    if directory.integer(tags.COMPRESSION, 1) != 1:
        yield from tags.BYTES
    if max(directory.integers(tags.BITS), default=1) > 16:  # as likely floating point as not
        yield tags.SAMPLE_FORMAT
    if directory.integer(tags.SAMPLE_FORMAT, tags.UNSIGNED) != tags.UNSIGNED:
        yield from tags.RANGE
    yield from copied_tags(directory)


def _look(directory: Directory) -> Look | None:
    """Give a directory's picture, reduced; None where it cannot be decoded."""
    try:
        found = _read_page(directory)
    except AutochromeError:
        return None
    return look_at(directory.source, found)


def _directory_notes(directory: Directory) -> Iterator[str]:
    """List what is wrong with tags and pointers that pixels do not need."""
    size = directory.source.size
    strays = [str(tag) for tag in directory.entries if directory.is_beyond(tag)]
    if strays:
        yield f"TIFF tags left out, for they point beyond the file's end: {', '.join(strays[:20])}"
    if not directory.is_sorted:
        yield "TIFF tags out of order, or there twice: of each the first counts"
    for tag, name in _POINTERS.items():
        places = directory.numbers(tag)
        if places.size and places.max() + 2 > size:
            yield f"TIFF tag {tag} ({name}) points beyond the file's end: left out"


def _neighbour_notes(chain: Chain, page: Directory) -> Iterator[str]:
    """Tell of the chain, of thumbnails and other pages what is cut off, which this page spares."""
    size = page.source.size
    if chain.fault:
        what = str(chain.fault).partition(";")[0]
        yield f"the chain of TIFF directories breaks off after {len(chain.places):,}: {what}"
    ends = [end for place, end in chain.ends.items() if place != page.offset]
    end = max([*ends, *(data_end(one) for one in below(page))], default=0)
    if end > size:
        yield (
            f"a thumbnail or another page has data up to byte {end:,}, beyond the file's end at "
            f"{size:,}"
        )


def _refuse(geometry: Geometry) -> None:
    """Refuse what cannot be read, by name, before anything is decoded."""
    photometric, compression = geometry.photometric, geometry.compression
    if photometric not in tags.PHOTOMETRICS:
        name = tags.REFUSED_PHOTOMETRICS.get(photometric, f"photometric sense {photometric}")
        raise UnsupportedFormat(f"a TIFF that holds {name}; convert it to grey")
    if compression not in tags.COMPRESSIONS:
        name = tags.REFUSED_COMPRESSIONS.get(compression, f"compression {compression}")
        raise UnsupportedFormat(f"a TIFF in {name}; convert it to LZW, ZIP or no compression")
    if geometry.photometric == tags.YCBCR and not _is_ycbcr_read(geometry):
        raise UnsupportedFormat(
            f"a TIFF of YCbCr samples in {tags.COMPRESSIONS[compression]}; convert it to grey"
        )
    depths = {
        tags.UNSIGNED: {*range(1, 33)},
        tags.SIGNED: {*range(2, 33)},
        tags.FLOAT: {16, 24, 32},
    }
    if geometry.bits not in depths.get(geometry.sample_format, set()):
        raise UnsupportedFormat(
            f"a TIFF of {geometry.bits} bits a sample in sample format {geometry.sample_format}; "
            "convert it to 16 bits, or to 32, which hold more than scanners measure"
        )


def _is_ycbcr_read(geometry: Geometry) -> bool:
    is_even = geometry.bits == 8 and geometry.sample_format == tags.UNSIGNED
    if geometry.is_plain_ycbcr:
        return geometry.bits in {8, 16} and geometry.sample_format == tags.UNSIGNED
    return is_even and not geometry.is_separate and geometry.compression in tags.BY_LIBTIFF


def _channels(photometric: Photometric, samples: int) -> tuple[int, int]:
    """How many channels are stored, and how many come out."""
    if photometric in {Photometric.MIN_IS_BLACK, Photometric.MIN_IS_WHITE}:
        return 1, 1
    if photometric == Photometric.PALETTE:
        return 1, 3
    if photometric == Photometric.CMYK:
        return 4, 3
    return (1, 1) if photometric in CONVERTED and samples < 3 else (3, 3)  # L* alone


def _is_for_libtiff(geometry: Geometry) -> bool:
    """Whether libvips reads it, rightly: not grey with alpha in planes of its own, for one."""
    photometric = tags.PHOTOMETRICS[geometry.photometric]
    is_plain = geometry.sample_format == tags.UNSIGNED and geometry.bits in {1, 2, 4, 8, 16}
    is_packed = geometry.bits < 8 and geometry.samples > 1
    is_grey = _channels(photometric, geometry.samples)[0] == 1
    is_apart = geometry.is_separate and (geometry.is_tiled or is_grey)
    is_deep_jpeg = geometry.compression == tags.JPEG and geometry.bits != 8
    is_converted = photometric in CONVERTED and photometric != Photometric.CMYK
    # Of plain YCbCr libvips converts what is subsampled, and gives the rest as if it were RGB.
    is_converted |= geometry.is_plain_ycbcr
    is_known = geometry.compression in tags.BY_LIBTIFF
    return is_known and is_plain and not (is_packed or is_apart or is_deep_jpeg or is_converted)


def _structure(
    directory: Directory, geometry: Geometry, places: Places, notes: list[str]
) -> Structure:
    photometric = tags.PHOTOMETRICS[geometry.photometric]
    stored, channels = _channels(photometric, geometry.samples)
    extra = geometry.samples - stored
    # Old writers leave the one tag out that says what a sample more is: alpha, then.
    if extra < 0 or extra > max(1, directory.numbers(tags.EXTRA_SAMPLES).size):
        raise UnsupportedFormat(
            f"a TIFF of {geometry.samples} samples a pixel that are {photometric}; "
            "convert it to grey"
        )
    in_pieces = not _is_for_libtiff(geometry)
    is_lab = photometric in CONVERTED and photometric != Photometric.CMYK
    if is_lab and (geometry.bits not in {8, 16} or geometry.sample_format == tags.FLOAT):
        raise UnsupportedFormat(f"an L*a*b* TIFF of {geometry.bits} bits; convert it to grey")
    has_values = in_pieces and not is_lab
    values = _values(directory, geometry, photometric) if has_values else None
    icc = directory.data(tags.ICC, limit=_MAX_PROFILE_BYTES)
    is_cmyk = photometric == Photometric.CMYK
    exif = read_exif(directory)
    return Structure(
        format=Format.TIFF,
        width=geometry.width,
        height=geometry.length,
        stored_bits=geometry.bits,
        channels=channels,
        photometric=photometric,
        compression=tags.COMPRESSIONS[geometry.compression],
        has_alpha=extra > 0,
        max_sample=directory.integer(tags.MAX_SAMPLE, 0) or None,
        statements=tuple(_statements(directory, geometry)),
        parts=clean_parts(
            directory,
            geometry.numbers(),
            is_tiled=geometry.is_tiled,
            places=places.starts,
            sizes=places.sizes,
        ),
        values=values,
        in_pieces=in_pieces,
        buffer_bytes=_buffer_bytes(geometry, in_pieces=in_pieces),
        resolution_ppcm=exif.resolution_ppcm,
        icc=None if photometric in CONVERTED else icc,
        ink_icc=press_profile(icc, "TIFF") if is_cmyk else None,
        exif=exif,
        notes=tuple(notes),
    )


def _buffer_bytes(geometry: Geometry, *, in_pieces: bool) -> int:
    """What is decoded at once: a row of tiles, or a strip; in pieces, the codes made of it too."""
    across = -(-geometry.width // geometry.piece_width)
    stored = geometry.piece_bytes * across * (geometry.samples if geometry.is_separate else 1)
    numbers = geometry.piece_length * geometry.piece_width * across * geometry.samples
    return stored + in_pieces * numbers * (
        16 if geometry.bits > 16 or geometry.sample_format == tags.FLOAT else 2
    )


def _values(directory: Directory, geometry: Geometry, photometric: Photometric) -> Values:
    """Find which numbers are black and white.

    Raises:
        UnsupportedFormat: Floating point whose range is not stated.
    """
    low, high = (directory.numbers(tag) for tag in (tags.SMIN_SAMPLE, tags.SMAX_SAMPLE))
    is_signed = geometry.sample_format == tags.SIGNED
    # Of codes the tags are a statistic of the picture (TIFF 6.0, section 19).
    is_code = geometry.sample_format == tags.UNSIGNED and geometry.bits <= 16
    has_both = bool(low.size and high.size and np.isfinite([low[0], high[0]]).all())
    is_stated = has_both and not is_code and bool(low[0] < high[0])
    if is_stated:
        black, white = float(low[0]), float(high[0])
    elif geometry.sample_format == tags.FLOAT:
        raise UnsupportedFormat(
            "a TIFF of floating-point samples that does not say which are black and white; "
            "state them (SMinSampleValue, SMaxSampleValue), or convert it to 16 bits"
        )
    else:
        black = -float(1 << geometry.bits - 1) if is_signed else 0.0
        white = black + (1 << geometry.bits) - 1
    if photometric == Photometric.MIN_IS_WHITE:
        black, white = white, black
    is_float = geometry.sample_format == tags.FLOAT
    return Values(black, white, is_signed, is_float, is_open=not (is_stated or is_code))


def _statements(directory: Directory, geometry: Geometry) -> Iterator[Statement]:
    for statement in statements_of_tags(directory, geometry.bits):
        if statement.black_white and geometry.sample_format == tags.FLOAT:
            yield Statement(statement.name, fault="it is of codes, and these are floating point")
        elif statement.black_white and geometry.is_spread_by_libtiff:
            continue
        else:
            yield statement
    entry = directory.entries.get(tags.ICC)
    if entry and directory.data(tags.ICC, limit=_MAX_PROFILE_BYTES) is None:
        fault = "lies beyond the file's end" if directory.is_beyond(tags.ICC) else "is too large"
        yield Statement("ICC profile", fault=f"it {fault}")
