"""The smooth drift of a value over a picture: uneven light, fading, yellowing."""

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

_ROUNDS = 2  # in which the surface is fitted again to what lies near it
_NEAR = 3.0  # times the median distance


def smooth_surface(values: Floats32, counted: Bools | None = None) -> Floats32:
    """Fit a quadratic surface to most of a picture; what stands out does not bend it.

    Args:
        values: (h, w), or (n, h, w) of which what stands out in any one stands out.
        counted: Which pixels count, (h, w); by default all.

    Returns:
        The surface, of the same shape.
    """
    planes = values if values.ndim == 3 else values[None]
    height, width = planes.shape[1:]
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]).astype(np.float32)
    all_of = np.ones((height, width), np.bool_) if counted is None else counted
    fitted = np.zeros_like(planes)
    used = all_of
    for _ in range(_ROUNDS):
        if not used.any():
            break
        known = terms[:, used].astype(np.float64)
        sums = known @ known.T + 1e-3 * np.eye(len(terms))
        weights = np.linalg.solve(sums, known @ planes[:, used].T)
        fitted = np.tensordot(weights.T.astype(np.float32), terms, axes=1)
        away = np.sqrt(((planes - fitted) ** 2).sum(axis=0))
        used = all_of & (away <= _NEAR * np.median(away[all_of]) + 1e-3)
    return fitted.reshape(values.shape)
