"""Samples of other colour spaces, as they are decoded, made into sRGB of 16 bits, or levels of it.

CMYK goes through its profile by the colour engine (lcms); L*a*b* means a colour by itself.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import UnsupportedFormat
from tasks.scans.formats.structure import CONVERTED, Photometric, Structure
from tasks.scans.lcms import LAB_PROFILE, srgb_of

Samples = NDArray[Any]


def converter(structure: Structure) -> Callable[[Samples], Samples]:
    """Find what makes codes of what a page's decoder gives."""
    if structure.photometric == Photometric.CMYK:
        return partial(_from_inks, icc=structure.ink_icc or b"")
    if structure.photometric in CONVERTED:
        return partial(_from_lab, photometric=structure.photometric)
    if structure.photometric == Photometric.YCBCR and structure.in_pieces:
        return _from_ycbcr
    return lambda samples: samples[..., : structure.channels]


def _from_inks(samples: Samples, *, icc: bytes) -> Samples:
    inks = np.ascontiguousarray(samples[..., :4])
    is_deep = inks.dtype.kind == "f"
    found = srgb_of(inks * 100 if is_deep else inks, icc, space="cmyk")  # the engine's per cent
    if found is None:
        raise UnsupportedFormat(
            "CMYK under a profile that the colour engine refuses; convert it to grey or RGB"
        )
    return found if is_deep else _coded(found)


def _from_lab(samples: Samples, *, photometric: Photometric) -> Samples:
    lab = lab_of(samples, photometric)
    found = srgb_of(lab, LAB_PROFILE, space="lab")
    if found is None:  # only a broken installation does
        raise UnsupportedFormat("L*a*b* cannot be converted; convert it to grey")
    return _coded(found if samples.shape[2] >= 3 else found[..., :1])


def _coded(levels: NDArray[np.float32]) -> Samples:
    codes: Samples = np.rint(levels * 65535).astype(np.uint16)
    return codes


def lab_of(samples: Samples, photometric: Photometric) -> NDArray[np.float32]:
    """Read CIE L*a*b* out of its codes in TIFF, float32 (rows, W, 3); L* alone is neutral.

    TIFF 6.0 section 23 has a* and b* in two's complement; ICC's shifted, of 16 bits as version 2
    encodes them; ITU's (T.42) in a range of their own.
    """
    deep = samples.dtype == np.uint16
    full, unit = (65535.0, 256.0) if deep else (255.0, 1.0)
    lab = np.zeros((*samples.shape[:2], 3), dtype=np.float32)
    is_icc = photometric == Photometric.ICC_LAB
    lab[..., 0] = samples[..., 0] * np.float32(100 / (65280.0 if deep and is_icc else full))
    if samples.shape[2] < 3:
        return lab
    chroma = samples[..., 1:3]
    if photometric == Photometric.LAB:
        signed = chroma.astype(np.int16) if deep else chroma.astype(np.int8)
        lab[..., 1:] = signed / np.float32(unit)
    elif is_icc:
        lab[..., 1:] = chroma / np.float32(unit) - 128
    else:
        share = chroma * np.float32(255 / full)
        lab[..., 1] = (share[..., 0] - 128) * np.float32(170 / 255)
        lab[..., 2] = (share[..., 1] - 96) * np.float32(200 / 255)
    return lab


def _from_ycbcr(samples: Samples) -> Samples:
    """Turn YCbCr of TIFF's default range and coefficients (ITU-R BT.601) into RGB."""
    full = np.iinfo(samples.dtype).max
    luma, blue, red = (samples[..., n].astype(np.float32) for n in range(3))
    blue, red = blue - (full + 1) / 2, red - (full + 1) / 2
    planes = luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue
    found: Samples = np.clip(np.rint(np.stack(planes, axis=2)), 0, full).astype(samples.dtype)
    return found
