"""The colour engine (lcms, in floating point), for profiles that hold tables rather than curves.

Asked for integers, as libvips asks it, the engine shortens a grey profile to 33 nodes between which
it interpolates: that is off by up to 2.8 L* in the shadows of a linear scan.
"""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray


def lightness_of(
    pixels: NDArray[np.unsignedinteger[Any]], icc: bytes
) -> NDArray[np.float32] | None:
    """Transform pixels to L* by a profile, relative colorimetric.

    Args:
        pixels: uint8 or uint16, (rows, W, channels), channels as the profile has them.
        icc: The profile.

    Returns:
        L* in [0, 100], float32 (rows, W); None where the engine refuses the profile.
    """
    is_grey = pixels.shape[2] == 1
    try:
        lab = imagecodecs.cms_transform(
            np.ascontiguousarray(pixels[..., 0] if is_grey else pixels),
            icc,
            imagecodecs.cms_profile("lab4"),
            colorspace="gray" if is_grey else "rgb",
            outcolorspace="lab",
            outdtype="float32",
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        )
    except (imagecodecs.CmsError, ValueError):
        return None
    lightness: NDArray[np.float32] = np.clip(lab[..., 0], 0, 100)
    return lightness
