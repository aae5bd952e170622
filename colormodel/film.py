"""How black-and-white stock saw the world, as an augmentation of the network's input.

Only the lightness that the network sees is degraded, never the colours that it has to give.
Everything is drawn from one generator, so a step of training can be made again.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from colormodel.color import (
    lightness_to_grey,
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


def plain_lightness(srgb: Tensor) -> Tensor:
    """Give the L* of sRGB in [0, 1]; (N, 3, H, W) to (N, 1, H, W)."""
    weights = srgb.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
    return luminance_to_lightness((srgb_to_linear(srgb) * weights).sum(1, keepdim=True))


def film_lightness(srgb: Tensor, generator: torch.Generator) -> Tensor:
    """Photograph colours on old stock, let it age and scan it.

    Args:
        srgb: The scene, sRGB in [0, 1], (N, 3, H, W).
        generator: Source of all that is random.

    Returns:
        L* of the scan in [0, 100], (N, 1, H, W).
    """
    light = expose(srgb_to_linear(srgb), generator)
    light = soften(light, generator)
    grey = develop(linear_to_srgb(light), generator)
    grey = add_grain(grey, generator)
    grey = fade(grey, generator)
    grey = scratch(grey, generator)
    grey = compress(grey, generator)
    return luminance_to_lightness(srgb_to_linear(grey))


def expose(linear: Tensor, generator: torch.Generator) -> Tensor:
    """Sum up red, green and blue as a random emulsion does; (N, 3, H, W) to (N, 1, H, W)."""
    n = len(linear)
    kind = torch.multinomial(
        torch.tensor(_EMULSION_SHARES), n, replacement=True, generator=generator
    )
    weights = torch.tensor(_EMULSIONS)[kind] * (_normal((n, 3), generator) * 0.35).exp()
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
    n, _, height, width = grey.shape
    out = grey.clone()
    hurt = torch.rand(n, generator=generator) < 1 / 3
    dust = torch.rand((n, 1, height, width), generator=generator) < 0.0006
    dust = functional.max_pool2d(dust.float(), 3, 1, 1) > 0
    tone = torch.rand((n, 4), generator=generator).round()
    columns = torch.randint(0, width, (n, 3), generator=generator)
    count = torch.randint(0, 4, (n,), generator=generator)
    for i in hurt.nonzero().flatten().tolist():
        out[i][dust[i]] = tone[i, 3]
        for j in range(int(count[i])):
            out[i, 0, :, columns[i, j]] = 0.5 * (out[i, 0, :, columns[i, j]] + tone[i, j])
    return out


def compress(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Send every second picture through JPEG at a quality from 30 to 95."""
    n = len(grey)
    quality = torch.randint(30, 96, (n,), generator=generator)
    chosen = torch.rand(n, generator=generator) < 0.5
    out = grey.clone()
    for i in chosen.nonzero().flatten().tolist():
        file = io.BytesIO()
        codes = (grey[i, 0] * 255).round().to(torch.uint8).numpy()
        Image.fromarray(codes).save(file, "JPEG", quality=int(quality[i]))
        out[i, 0] = torch.from_numpy(np.array(Image.open(file))).float() / 255
    return out


def film_grey(srgb: Tensor, generator: torch.Generator) -> Tensor:
    """Like `film_lightness`, as sRGB grey in [0, 1]: for looking at."""
    return lightness_to_grey(film_lightness(srgb, generator))


def _uniform(n: int, generator: torch.Generator, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand((n, 1, 1, 1), generator=generator)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)
