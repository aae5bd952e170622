"""The chroma planes of a luma splice: Cb and Cr at half size, for luminance that is given.

Y′ is fixed, it is the scan's own. Cb and Cr are those of the colour that the network means under
the scan's lightness, smaller where R′, G′ or B′ would leave 0 to 255 with the Y′ that is there.
"""

import io
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from colormodel.planes import ChromaMap, GuidedUpsampler, Plane, linear_in_gamut

Codes = NDArray[np.uint8]

#: Rows of the half-size planes that are worked on at once.
STRIP_ROWS = 128

#: ITU-T T.81, table K.2: quantization of chrominance at the quality that libjpeg calls 50.
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
)  # fmt: skip

# ITU-T T.871 (JFIF), clause 7: what one unit of Cb and of Cr adds to R′, G′ and B′.
_RED_BY_CR, _BLUE_BY_CB = 1.402, 1.772
_GREEN_BY_CB, _GREEN_BY_CR = -0.344136, -0.714136


def chroma_planes(
    luma: Codes, chroma_map: ChromaMap, *, lightness_of: Plane
) -> tuple[Codes, Codes]:
    """Cb and Cr for a greyscale picture, averaged over 2 × 2 pixels (centred, as JFIF sites them).

    Args:
        luma: The picture's Y′, uint8 (H, W).
        chroma_map: What the network says, in the same orientation as *luma*.
        lightness_of: L* of each code, float32 (256,): the scan's tone curve.

    Returns:
        Two planes uint8 (ceil(H / 2), ceil(W / 2)) around 128. With any chroma that lies between
        neighbouring samples, as decoders interpolate it, R′G′B′ stays within 0 to 255 (but for
        rounding and the loss of coding).
    """
    height, width = (-(-size // 2) for size in luma.shape)
    upsampler = GuidedUpsampler(chroma_map, height, width)
    encode = _encoding(lightness_of)
    cb, cr = np.empty((2, height, width), np.uint8)
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        lightness = _mean_of_cells(lightness_of.take(_cells(luma, rows)))
        linear = linear_in_gamut(lightness, upsampler.rows(lightness, top))
        blue, red = _blue_and_red_difference(encode, linear)
        darkest, lightest = _luma_under(luma, rows)
        scale = _fitting_scale(blue, red, darkest, lightest)
        cb[rows] = np.rint(blue * scale + 128)
        cr[rows] = np.rint(red * scale + 128)
    return cb, cr


def encode_plane(plane: Codes, quality: int, *, progressive: bool) -> bytes:
    """Code a chroma plane as a greyscale JPEG, with libjpeg's table for chrominance.

    Args:
        plane: uint8 (h, w).
        quality: From 1 to 100, as libjpeg means it.
        progressive: Whether the coding refines in several scans.
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = [min(max((entry * percent + 50) // 100, 1), 255) for entry in _CHROMINANCE]
    coded = io.BytesIO()
    Image.fromarray(plane).save(coded, "JPEG", qtables=[table], progressive=progressive)
    return coded.getvalue()


def stored(chroma_map: ChromaMap, orientation: int) -> ChromaMap:
    """Turn a map of the upright picture into the orientation in which the file stores it.

    Args:
        chroma_map: The map, upright.
        orientation: The file's EXIF orientation, 1 to 8: how its stored pixels become upright.
    """

    def turned(plane: Plane) -> Plane:
        # Upright pictures are made by exchanging axes, then mirroring: here it goes backwards.
        if orientation in {3, 4, 7, 8}:
            plane = plane[..., ::-1, :]
        if orientation in {2, 3, 6, 7}:
            plane = plane[..., :, ::-1]
        if orientation >= 5:
            plane = plane.swapaxes(-1, -2)
        return np.ascontiguousarray(plane)

    return replace(
        chroma_map,
        chroma=turned(chroma_map.chroma),
        confidence=turned(chroma_map.confidence),
        lightness=turned(chroma_map.lightness),
    )


def _cells(luma: Codes, rows: slice) -> Codes:
    """The pixels under some rows of half-size samples; odd edges repeated, as encoders do."""
    part = luma[2 * rows.start : 2 * rows.stop]
    missing = (0, 2 * (rows.stop - rows.start) - part.shape[0]), (0, part.shape[1] % 2)
    return np.pad(part, missing, mode="edge")


def _mean_of_cells(plane: Plane) -> Plane:
    pairs = plane[0::2] + plane[1::2]
    mean: Plane = (pairs[:, 0::2] + pairs[:, 1::2]) * np.float32(0.25)
    return mean


def _encoding(lightness_of: Plane) -> Plane:
    """Linear light in 65,536 steps to unrounded codes, 0 to 255: the inverse of the tone curve."""
    lightness = lightness_of.astype(np.float64)
    linear = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness * (27 / 24389))
    codes = np.interp(np.linspace(0, 1, 65536), linear, np.arange(lightness.size))
    return codes.astype(np.float32)


def _blue_and_red_difference(encode: Plane, linear: Plane) -> tuple[Plane, Plane]:
    """Cb and Cr around 0 of linear RGB (3, rows, w), unrounded."""
    red, green, blue = encode.take(np.rint(linear * 65535).astype(np.uint16))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (blue - luma) / _BLUE_BY_CB, (red - luma) / _RED_BY_CR


def _luma_under(luma: Codes, rows: slice) -> tuple[Plane, Plane]:
    """Smallest and largest Y′ that each sample reaches when decoders interpolate between samples.

    A sample colours the 2 × 2 pixels of its cell and, at a quarter of the weight, those around it.
    """
    first, stop = 2 * rows.start - 1, 2 * rows.stop + 1
    part = luma[max(first, 0) : stop]
    below = stop - max(first, 0) - part.shape[0]
    pad = (max(-first, 0), below), (1, 1 + luma.shape[1] % 2)
    part = np.pad(part, pad, mode="edge")
    extremes = []
    for reduce in (np.minimum, np.maximum):
        pairs = reduce(part[:-1], part[1:])
        tall = reduce(pairs[0:-1:2], pairs[2::2])  # four rows in steps of two
        pairs = reduce(tall[:, :-1], tall[:, 1:])
        extremes.append(reduce(pairs[:, 0:-1:2], pairs[:, 2::2]).astype(np.float32))
    return extremes[0], extremes[1]


def _fitting_scale(blue: Plane, red: Plane, darkest: Plane, lightest: Plane) -> Plane:
    """Largest factor in [0, 1] at which no channel leaves 0 to 255 anywhere under the sample."""
    scale = np.ones_like(blue)
    green = _GREEN_BY_CB * blue + _GREEN_BY_CR * red
    for step in (_RED_BY_CR * red, green, _BLUE_BY_CB * blue):
        room = np.where(step > 0, 255 - lightest, darkest)
        np.minimum(scale, room / np.maximum(np.abs(step), np.float32(1e-6)), out=scale)
    return scale
