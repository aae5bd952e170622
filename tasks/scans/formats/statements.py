"""What files state of their tone beside a profile, in tags, chunks and names of colour spaces.

Nothing here refuses a file: what cannot be followed becomes a statement with a fault.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from tasks.errors import AutochromeError
from tasks.scans.formats import tags
from tasks.scans.formats.ifd import Directory, read_directory, read_layout
from tasks.scans.formats.source import ByteSource
from tasks.scans.formats.structure import Statement
from tasks.scans.icc import SRGB_CURVE, parametric_curve

Floats = NDArray[np.float64]

_SRGB, _ADOBE = 1, 2  # EXIF's ColorSpace; 2 is what cameras write besides

# What cannot be meant: a picture would be black, or white, whatever its codes.
_EXPONENTS = 0.1, 10.0

_D65 = (0.3127, 0.3290)
_BT709 = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_ADOBE_RGB = (_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_ADOBE_GAMMA = 563 / 256
_SMPTE_170M = (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
# ITU-T H.273, tables 2 and 3. The transfer functions give light of codes.
_H273_PRIMARIES = {
    1: _BT709,
    4: ((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_ALPHA, _BETA = 1.099296826809442, 0.018053968510807  # of BT.709, where its two parts meet
_BT709_CURVE = parametric_curve(1 / 0.45, 1 / _ALPHA, 1 - 1 / _ALPHA, 1 / 4.5, 4.5 * _BETA)
_H273_CURVES = {
    **dict.fromkeys((1, 6, 14, 15), _BT709_CURVE),
    4: parametric_curve(2.2),
    5: parametric_curve(2.8),
    8: parametric_curve(1.0),
    13: SRGB_CURVE,
}
# Enumerated colour spaces of T.800 and T.801: sRGB, greyscale and sYCC share the curve of sRGB.
_JP2_SRGB, _JP2_ROMM = {16, 17, 18}, 21
_ROMM_CURVE = parametric_curve(1.8, 1.0, 0.0, 1 / 16, 0.03125)
_ROMM = ((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))


def statements_of_chunks(chunks: Mapping[bytes, bytes], bits: int) -> tuple[Statement, ...]:
    """Read cICP, sRGB, gAMA and cHRM in the order of PNG (third edition), 4.3."""
    found = []
    if b"cICP" in chunks:
        found.append(_cicp(chunks[b"cICP"], bits))
    if b"sRGB" in chunks:
        found.append(Statement("sRGB chunk", SRGB_CURVE, chromaticities=np.array(_BT709)))
    if b"gAMA" in chunks:
        value = int.from_bytes(chunks[b"gAMA"], "big")
        found.append(_power("gAMA chunk", 100_000 / value if value else 0.0))
    if b"cHRM" in chunks:
        body = chunks[b"cHRM"]
        numbers = np.frombuffer(body, ">u4", count=min(8, len(body) // 4)) / 100_000
        found.append(_colorants("cHRM chunk", numbers))
    return tuple(found)


def _cicp(body: bytes, bits: int) -> Statement:
    """Code points of H.273: primaries, transfer function, matrix, full or narrow range."""
    curve = _H273_CURVES.get(body[1]) if len(body) == 4 and body[2] == 0 else None
    if curve is None:
        points = " ".join(str(number) for number in body[:4])
        return Statement("cICP chunk", fault=f"its code points {points} are none of a scan's")
    primaries = _H273_PRIMARIES.get(body[0])
    narrow = (16 << max(0, bits - 8), 235 << max(0, bits - 8))
    return Statement(
        "cICP chunk",
        curve,
        chromaticities=np.array(primaries) if primaries else None,
        black_white=None if body[3] else narrow,
        outranks_profile=True,
    )


def _power(name: str, exponent: float) -> Statement:
    if not _EXPONENTS[0] <= exponent <= _EXPONENTS[1]:
        return Statement(name, fault=f"light as code to the power {exponent:.4g} cannot be meant")
    return Statement(name, parametric_curve(exponent))


def _colorants(name: str, numbers: Floats) -> Statement:
    """White and primaries as eight numbers, refused where they span no triangle."""
    if numbers.size != 8 or not np.isfinite(numbers).all():
        return Statement(name, fault=f"it has {numbers.size} numbers where eight are meant")
    points = numbers.reshape(4, 2)
    sides = points[2:] - points[1]
    area = abs(sides[0, 0] * sides[1, 1] - sides[0, 1] * sides[1, 0])
    if area < 1e-3 or not (points[:, 1] >= 0).all() or points[0, 1] <= 0:
        return Statement(name, fault="its primaries span no triangle")
    return Statement(name, chromaticities=points)


def statements_of_space(enumerated: int | None) -> tuple[Statement, ...]:
    """Read JPEG 2000's name of a colour space; none is given where a profile is."""
    name = f"enumerated colour space {enumerated}"
    if enumerated is None:
        return ()
    if enumerated in _JP2_SRGB:
        found = Statement(name, SRGB_CURVE, chromaticities=np.array(_BT709), is_customary=True)
    elif enumerated == _JP2_ROMM:
        found = Statement(name, _ROMM_CURVE, chromaticities=np.array(_ROMM))
    else:
        found = Statement(name, fault="its tone curve is not known here")
    return (found,)


def statements_of_exif(exif: bytes | None) -> tuple[Statement, ...]:
    """Read what an EXIF block states: ColorSpace, Gamma, and the tags that it shares with TIFF."""
    if not exif or exif[:2] not in {b"II", b"MM"}:
        return ()
    source = ByteSource.of_bytes(exif)
    try:
        return statements_of_tags(read_directory(source, *read_layout(source)), 8)
    except AutochromeError:
        return ()


def statements_of_tags(directory: Directory, bits: int) -> tuple[Statement, ...]:
    """Read a directory's TransferFunction, GrayResponseCurve, colorants, ranges, and its EXIF."""
    found: list[Statement] = []
    for read in (_transfer, _densities, _reference, _tagged_colorants, _exif_space):
        try:
            found += read(directory, bits)
        except (AutochromeError, ValueError, TypeError, OverflowError) as error:
            found.append(Statement(read.__name__.strip("_"), fault=str(error)))
    return tuple(found)


def _transfer(directory: Directory, bits: int) -> Iterator[Statement]:
    """TransferFunction: light of each stored code in 16 bits, one table or one a channel."""
    values = directory.values(tags.TRANSFER).astype(np.float64)
    if not values.size:
        return
    name, size = "TransferFunction tag", 1 << bits
    if values.size not in {size, 3 * size}:
        yield Statement(name, fault=f"it has {values.size:,} values, not {size:,} or thrice those")
        return
    yield Statement(name, light=values.reshape(-1, size) / 65535)


def _densities(directory: Directory, bits: int) -> Iterator[Statement]:
    """GrayResponseCurve: the optical density of each stored code, in parts of a power of ten."""
    values = directory.values(tags.RESPONSE).astype(np.float64)
    if not values.size:
        return
    name, unit = "GrayResponseCurve tag", directory.integer(tags.RESPONSE_UNIT, 2)
    if values.size != 1 << bits or not 1 <= unit <= 5:
        fault = f"it has {values.size:,} values in unit {unit}, not {1 << bits:,} in units 1 to 5"
        yield Statement(name, fault=fault)
        return
    yield Statement(name, light=np.power(10.0, -values[None] / 10.0**unit))


def _reference(directory: Directory, bits: int) -> Iterator[Statement]:
    """ReferenceBlackWhite, which counts for RGB and YCbCr only (TIFF 6.0, section 20)."""
    values = directory.values(tags.REFERENCE_BLACK_WHITE).astype(np.float64)
    kind = directory.integer(tags.PHOTOMETRIC, 1)
    if values.size < 6 or kind not in {tags.RGB, tags.YCBCR}:
        return
    name, full = "ReferenceBlackWhite tag", (1 << bits) - 1
    pairs = values[:6].reshape(3, 2)
    black, white = (int(value) for value in pairs[0])
    if kind == tags.RGB and (pairs != pairs[0]).any():
        yield Statement(name, fault="black and white differ between its channels")
    elif not 0 <= black < white <= full + 1:
        yield Statement(name, fault=f"black {black} and white {white} are no range of codes")
    elif (black, min(white, full)) != (0, full):
        yield Statement(name, black_white=(black, min(white, full)))


def _tagged_colorants(directory: Directory, _bits: int) -> Iterator[Statement]:
    """WhitePoint and PrimaryChromaticities, where both are there."""
    white, primaries = (
        directory.values(tags.WHITE_POINT).astype(np.float64),
        directory.values(tags.PRIMARIES).astype(np.float64),
    )
    if white.size == 2 and primaries.size == 6:
        yield _colorants("PrimaryChromaticities tag", np.concatenate([white, primaries]))


def _exif_space(directory: Directory, _bits: int) -> Iterator[Statement]:
    """ColorSpace, and where that says that it does not know, Gamma or the name of Adobe RGB."""
    place = directory.integer(tags.EXIF_IFD, 0)
    if not place:
        return
    inner = read_directory(directory.source, directory.layout, place)
    space, gamma = inner.integer(tags.COLOUR_SPACE, 0), inner.values(tags.GAMMA).astype(np.float64)
    if space == _SRGB:
        yield Statement("EXIF ColorSpace", SRGB_CURVE, is_customary=True)
    elif space == _ADOBE or _is_adobe(inner):
        chromaticities = np.array(_ADOBE_RGB)
        yield Statement(
            "EXIF ColorSpace", parametric_curve(_ADOBE_GAMMA), chromaticities=chromaticities
        )
    elif gamma.size:
        yield _power("EXIF Gamma", float(gamma[0]))


def _is_adobe(exif: Directory) -> bool:
    """Whether the interoperability index is that of DCF's optional colour space."""
    place = exif.integer(tags.INTEROP_IFD, 0)
    if not place:
        return False
    return read_directory(exif.source, exif.layout, place).data(tags.INTEROP_INDEX) in {
        b"R03\0",
        b"R03",
    }
