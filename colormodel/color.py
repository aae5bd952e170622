"""Grey, sRGB and CIE Lab as tensor functions.

Every function keeps dtype and device and works on any leading axes; channels are on axis -3.
sRGB follows IEC 61966-2-1, Lab follows CIE 15 under D65 with the 2° observer.
"""

import torch
from torch import Tensor

# Linear sRGB to XYZ relative to the D65 white (0.95047, 1, 1.08883): each row is divided by its
# white, so that equal RGB gives X = Y = Z exactly and grey has no chroma.
_XYZ_OF_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_EPSILON = 216 / 24389  # CIE 15: where the cube root gives way to the straight line
_KAPPA = 24389 / 27


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Undo the sRGB transfer curve.

    Args:
        srgb: sRGB code values in [0, 1], any shape.

    Returns:
        Linear light in [0, 1], same shape.
    """
    return torch.where(
        srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0) + 0.055) / 1.055).pow(2.4)
    )


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer curve.

    Args:
        linear: Linear light in [0, 1], any shape.

    Returns:
        sRGB code values in [0, 1], same shape.
    """
    return torch.where(
        linear <= 0.0031308,
        linear * 12.92,
        1.055 * linear.clamp(min=0.0031308).pow(1 / 2.4) - 0.055,
    )


def linear_to_lab(linear: Tensor) -> Tensor:
    """Convert linear sRGB light to CIE Lab.

    Args:
        linear: Linear RGB in [0, 1], shape (*, 3, H, W).

    Returns:
        L* in [0, 100], a* and b*, shape (*, 3, H, W).
    """
    xyz = torch.einsum("ij,...jhw->...ihw", _white_relative(linear), linear)
    f = torch.where(xyz > _EPSILON, xyz.clamp(min=_EPSILON).pow(1 / 3), (_KAPPA * xyz + 16) / 116)
    fx, fy, fz = f.unbind(-3)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def srgb_to_lab(srgb: Tensor) -> Tensor:
    """Convert sRGB to CIE Lab.

    Args:
        srgb: sRGB in [0, 1], shape (*, 3, H, W).

    Returns:
        L* in [0, 100], a* and b*, shape (*, 3, H, W).
    """
    return linear_to_lab(srgb_to_linear(srgb))


def luminance_to_lightness(luminance: Tensor) -> Tensor:
    """Give the L* of a relative luminance.

    Args:
        luminance: Y in [0, 1], white is 1, any shape.

    Returns:
        L* in [0, 100], same shape.
    """
    root = luminance.clamp(min=_EPSILON).pow(1 / 3)
    return torch.where(luminance > _EPSILON, 116 * root - 16, _KAPPA * luminance)


def lightness_to_luminance(lightness: Tensor) -> Tensor:
    """Give the relative luminance of an L*.

    Args:
        lightness: L* in [0, 100], any shape.

    Returns:
        Y in [0, 1], same shape.
    """
    return torch.where(lightness > 8, ((lightness + 16) / 116).pow(3), lightness / _KAPPA)


def grey_to_lightness(grey: Tensor) -> Tensor:
    """Give the L* of grey code values on the sRGB curve.

    Args:
        grey: Code values in [0, 1], any shape.

    Returns:
        L* in [0, 100], same shape.
    """
    return luminance_to_lightness(srgb_to_linear(grey))


def lightness_to_grey(lightness: Tensor) -> Tensor:
    """Give the sRGB grey of an L*, the inverse of `grey_to_lightness`.

    Args:
        lightness: L* in [0, 100], any shape.

    Returns:
        Code values in [0, 1], same shape.
    """
    return linear_to_srgb(lightness_to_luminance(lightness))


def _white_relative(like: Tensor) -> Tensor:
    matrix = torch.tensor(_XYZ_OF_RGB, dtype=torch.float64)
    return (matrix / matrix.sum(1, keepdim=True)).to(like)
