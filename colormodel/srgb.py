"""sRGB's curve for NumPy (IEC 61966-2-1); `colormodel.color` has it for tensors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_linear(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Linear light of values in [0, 1], of any shape; the type stays."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of linear light, of any shape; nothing is clipped."""
    power = np.maximum(linear, np.float32(0.0031308)) ** np.float32(1 / 2.4)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * power - 0.055)
