"""The colour engine, for profiles that hold tables rather than curves."""

from typing import Any

import numpy as np
import pyvips
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
    is_grey, is_deep = pixels.shape[2] == 1, pixels.dtype == np.uint16
    names = {
        (True, False): "b-w",
        (True, True): "grey16",
        (False, False): "srgb",
        (False, True): "rgb16",
    }
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=names[is_grey, is_deep])
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    try:
        lab = image.icc_import(embedded=True, pcs="lab", intent="relative").numpy()
    except pyvips.Error:
        return None
    lightness: NDArray[np.float32] = np.clip(lab[..., 0], 0, 100).astype(np.float32)
    return lightness
