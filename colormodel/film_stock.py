"""How black-and-white stock saw the world, as an augmentation of the network's input.

Only the lightness that the network sees is degraded, never the colours that it has to give.
Everything is drawn from one generator, so a step of training can be made again, and worked out for
all pictures at once, on the device where they are.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from colormodel.color import (
    grey_to_lightness,
    linear_to_srgb,
    luminance_to_lightness,
    srgb_to_linear,
)

_LUMINANCE = (0.212671, 0.715160, 0.072169)
# Red, green and blue of linear light as the three kinds of emulsion weigh them, before jitter:
# panchromatic stock (from 1906, common by 1930) sees all colours, orthochromatic stock no red,
# blue-sensitive plates blue and violet alone.
_EMULSIONS = ((0.30, 0.40, 0.30), (0.04, 0.46, 0.50), (0.01, 0.12, 0.87))
_EMULSION_SHARES = (0.6, 0.25, 0.15)
#: How coarsely JPEG rounds each frequency of luminance at quality 50 (ITU-T T.81, table K.1).
_JPEG_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def plain_lightness(srgb: Tensor) -> Tensor:
    """Give the L* of sRGB in [0, 1]; (N, 3, H, W) to (N, 1, H, W)."""
    weights = srgb.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
    return luminance_to_lightness((srgb_to_linear(srgb) * weights).sum(1, keepdim=True))


def film_lightness(srgb: Tensor, generator: torch.Generator) -> Tensor:
    """Photograph colours on old stock, as `photograph`; of sRGB in [0, 1], (N, 3, H, W)."""
    return photograph(srgb_to_linear(srgb), generator)


def photograph(linear: Tensor, generator: torch.Generator) -> Tensor:
    """Photograph light on old stock, let it age and scan it.

    Args:
        linear: The scene's light, linear sRGB in [0, 1], (N, 3, H, W).
        generator: Source of all that is random, on the same device.

    Returns:
        L* of the scan in [0, 100], (N, 1, H, W).
    """
    light = soften(expose(linear, generator), generator)
    grey = develop(linear_to_srgb(light), generator)
    for stage in (add_grain, fade, scratch, compress):
        grey = stage(grey, generator)
    return grey_to_lightness(grey)


def expose(linear: Tensor, generator: torch.Generator) -> Tensor:
    """Sum up red, green and blue as a random emulsion does; (N, 3, H, W) to (N, 1, H, W)."""
    n = len(linear)
    shares, emulsions = linear.new_tensor(_EMULSION_SHARES), linear.new_tensor(_EMULSIONS)
    kind = torch.multinomial(shares, n, replacement=True, generator=generator)
    weights = emulsions[kind] * (_normal((n, 3), generator) * 0.35).exp()
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("nchw,nc->nhw", linear, weights)[:, None]


def soften(light: Tensor, generator: torch.Generator) -> Tensor:
    """Blur by a random lens: a share of a 3 × 3 or 5 × 5 binomial average."""
    amount = _uniform(len(light), generator, 0, 1).square()
    line = light.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    padded = functional.pad(light, (2, 2, 2, 2), mode="replicate")
    blurred = functional.conv2d(padded, (line[:, None] * line)[None, None])
    return torch.lerp(light, blurred, amount)


def develop(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a random tone curve: gamma, then more or less of an S."""
    n = len(grey)
    gamma = (_normal((n, 1, 1, 1), generator) * 0.25).exp()
    grey = grey.clamp(0, 1).pow(gamma)
    curved = grey * grey * (3 - 2 * grey)
    return torch.lerp(grey, curved, _uniform(n, generator, -0.4, 0.8)).clamp(0, 1)


def add_grain(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Add grain of a random strength and size, strongest in the midtones."""
    n, _, height, width = grey.shape
    fine = _normal((n, 1, height, width), generator)
    coarse = _normal((n, 1, height // 2 + 1, width // 2 + 1), generator)
    coarse = functional.interpolate(coarse, size=(height, width), mode="bilinear")
    grain = torch.lerp(fine, coarse, _uniform(n, generator, 0, 1))
    strength = 0.06 * _uniform(n, generator, 0, 1).square()
    return (grey + strength * grain * (0.4 + 2.4 * grey * (1 - grey))).clamp(0, 1)


def fade(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Lift the blacks, lower the whites and let the light fall off unevenly."""
    n, _, height, width = grey.shape
    black = 0.25 * _uniform(n, generator, 0, 1).square()
    white = 1 - 0.25 * _uniform(n, generator, 0, 1).square()
    corners = _normal((n, 1, 2, 2), generator) * 0.05
    uneven = functional.interpolate(
        corners, size=(height, width), mode="bilinear", align_corners=True
    )
    return (black + (white - black) * grey + uneven * (1 - grey)).clamp(0, 1)


def scratch(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Draw up to three upright scratches and some specks of dust into every third picture."""
    n, width = len(grey), grey.shape[3]
    hurt = _uniform(n, generator, 0, 1) < 1 / 3
    dust = torch.rand(grey.shape, generator=generator, device=grey.device) < 0.0006
    dust = functional.max_pool2d(dust.to(grey), 3, 1, 1) > 0
    count = _uniform(n, generator, 0, 4).floor()
    place = torch.arange(width, device=grey.device)
    for number in range(3):
        column = (_uniform(n, generator, 0, 1) * width).floor()
        tone = _uniform(n, generator, 0, 1).round()
        line = hurt & (number < count) & (place == column)
        grey = torch.where(line, 0.5 * (grey + tone), grey)
    return torch.where(hurt & dust, _uniform(n, generator, 0, 1).round(), grey)


def compress(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Send every second picture through JPEG at a quality from 30 to 95.

    What JPEG does to grey is worked out for all pictures at once, where they are: cosine transform
    of 8 × 8 blocks, rounding by the table of the quality (as libjpeg scales it), and back.
    """
    n, _, height, width = grey.shape
    quality = _uniform(n, generator, 30, 96).floor()
    chosen = _uniform(n, generator, 0, 1) < 0.5
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    table = grey.new_tensor(_JPEG_LUMINANCE).view(8, 1, 8)
    table = ((table * scale[..., None] + 50) / 100).floor().clamp(1, 255)  # (n, 1, 8, 1, 8)
    padded = functional.pad(grey, (0, -width % 8, 0, -height % 8), mode="replicate")
    codes = (padded * 255).round() - 128
    rows, columns = codes.shape[2] // 8, codes.shape[3] // 8
    blocks = codes.view(n, rows, 8, columns, 8)
    cosines = _cosines(grey)
    frequencies = torch.einsum("ij,nyjxk,lk->nyixl", cosines, blocks, cosines)
    frequencies = (frequencies / table).round() * table
    blocks = torch.einsum("ij,nyixl,lk->nyjxk", cosines, frequencies, cosines)
    out = ((blocks + 128).round().clamp(0, 255) / 255).view(codes.shape)[..., :height, :width]
    return torch.where(chosen, out, grey)


def _cosines(like: Tensor) -> Tensor:
    """The orthonormal cosine transform of eight values, (8, 8)."""
    place = torch.arange(8).to(like)
    basis = torch.cos(math.pi / 8 * place[:, None] * (place + 0.5)) / 2
    basis[0] /= math.sqrt(2)
    return basis


def _uniform(n: int, generator: torch.Generator, low: float, high: float) -> Tensor:
    draw = torch.rand((n, 1, 1, 1), generator=generator, device=generator.device)
    return low + (high - low) * draw


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
