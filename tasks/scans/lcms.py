"""The colour engine (lcms, in floating point), for profiles that hold tables rather than curves.

Asked for integers, as libvips asks it, the engine shortens a grey profile to 33 nodes between which
it interpolates: that is off by up to 2.8 L* in the shadows of a linear scan.
"""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

LAB_PROFILE: bytes = imagecodecs.cms_profile("lab4")
_SRGB_PROFILE: bytes = imagecodecs.cms_profile("srgb")


def lightness_of(pixels: NDArray[Any], icc: bytes) -> NDArray[np.float32] | None:
    """Transform pixels to L* by a profile, as `lab_of_pixels` does, float32 (rows, W)."""
    lab = lab_of_pixels(pixels, icc)
    return None if lab is None else np.clip(lab[..., 0], 0, 100)


def lab_of_pixels(pixels: NDArray[Any], icc: bytes) -> NDArray[np.float32] | None:
    """Transform pixels to L*, a*, b* by a profile, relative colorimetric.

    Args:
        pixels: uint8, uint16, or levels in [0, 1], (rows, W, channels), channels as the profile has
            them.
        icc: The profile.

    Returns:
        L*, a*, b* under D50, float32 (rows, W, 3); None where the engine refuses the profile.
    """
    is_grey = pixels.shape[2] == 1
    try:
        lab: NDArray[np.float32] = imagecodecs.cms_transform(
            np.ascontiguousarray(pixels[..., 0] if is_grey else pixels),
            _sized(icc),
            LAB_PROFILE,
            colorspace="gray" if is_grey else "rgb",
            outcolorspace="lab",
            outdtype="float32",
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        )
    except (imagecodecs.CmsError, ValueError):
        return None
    return lab


def srgb_of(pixels: NDArray[Any], icc: bytes, *, space: str) -> NDArray[np.float32] | None:
    """Transform pixels to sRGB by a profile, relative colorimetric.

    Args:
        pixels: Inks, uint8, uint16 or floating-point per cent, or float32 L*a*b*, (rows, W,
            channels).
        icc: The profile.
        space: The pixels' colour space, `cmyk` or `lab`.

    Returns:
        sRGB in [0, 1], float32 (rows, W, 3), clipped to its gamut; None where the engine refuses
        the profile.
    """
    try:
        found: NDArray[np.float32] = imagecodecs.cms_transform(
            pixels,
            _sized(icc),
            _SRGB_PROFILE,
            colorspace=space,
            outcolorspace="rgb",
            outdtype="float32",
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        )
    except (imagecodecs.CmsError, ValueError):
        return None
    return np.clip(found, 0, 1)


def _sized(icc: bytes) -> bytes:
    """A profile that states its own size: the engine overlooks tags beyond a smaller one."""
    return len(icc).to_bytes(4, "big") + icc[4:]
