"""Full-size chroma in strips: from the network's small map to linear-light RGB, without torch.

Processes that decode and encode scans import this module and never load torch. Everything works on
strips of rows: memory depends on the strip, and the result does not depend on where strips begin.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

#: Half-width, in network pixels, of the window in which chroma is fitted over lightness, and the
#: variance of L* that is put down to grain. On photographs of 900 px, chroma known at 160 px, the
#: error near colour edges is 8.1 a*b* units, bilinear 9.6; wider windows and averaged lines smear.
RADIUS_PX = 2
NOISE_VARIANCE = 10.0

_WINDOW = (2 * RADIUS_PX + 1, 2 * RADIUS_PX + 1)
_NOTHING = cv2.BORDER_CONSTANT | cv2.BORDER_ISOLATED  # zeros beyond the borders

#: Networks halve their input five times.
NETWORK_STEP_PX = 32
#: A panorama's area at the network's size, in squares of its shorter side, at most.
LARGEST_AREA = 4

#: The shorter side at which a picture is looked at for being a negative.
POLARITY_PX = 96

#: Pixels worked on at once, so that the temporary arrays stay in the processor's cache.
BLOCK_PX = 16_384

#: Halvings of the search for the gamut's border: 2^-12 of a chroma of 100 is 0.02.
GAMUT_STEPS = 12

#: How far from [0, 1] linear light may lie by rounding alone.
ROUNDING = 1e-6

#: CIE Lab: where the cube gives way to its tangent, in (L* + 16) / 116.
LINEAR_BELOW = 6 / 29


@dataclass(frozen=True)
class ChromaMap:
    """What the network says about one scan, at the network's size.

    Attributes:
        chroma: a* and b* of CIE Lab (D65), float32 (2, h, w), inside the trained gamut.
        confidence: How sure the network is of each pixel, float32 (h, w) in [0, 1].
        score: The whole scan's confidence in [0, 1].
        lightness: The L* that the network saw, float32 (h, w) in [0, 100].
        even: Where chroma is the same at whatever lightness, bool (h, w); None: nowhere.
    """

    chroma: Plane
    confidence: Plane
    score: float
    lightness: Plane
    even: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        height, width = self.lightness.shape
        if self.chroma.shape != (2, height, width) or self.confidence.shape != (height, width):
            raise ValueError(
                f"chroma {self.chroma.shape} and confidence {self.confidence.shape} do not belong "
                f"to lightness {self.lightness.shape}"
            )


def network_size(height: int, width: int, *, network_px: int) -> tuple[int, int]:
    """Height and width at which a network looks at a scan.

    The shorter side becomes *network_px* and the aspect ratio is kept, as well as multiples of
    32 allow; up to 4 : 1. A longer panorama is made smaller so that its area stays bounded, and,
    from about 100 : 1, squeezed.

    Raises:
        ValueError: A side is less than 1.
    """
    if min(height, width, network_px) < 1:
        raise ValueError(f"a scan of {height} × {width} pixels has no size for a network")
    aspect = max(height, width) / min(height, width)
    area = LARGEST_AREA * network_px**2
    shorter = _whole_steps(min(network_px, (area / aspect) ** 0.5))
    longer = max(shorter, _whole_steps(min(shorter * aspect, area / shorter)))
    return (shorter, longer) if height <= width else (longer, shorter)


class GuidedUpsampler:
    """Brings a chroma map to a scan's full size along the scan's own edges.

    After the fast guided filter (He and Sun, arXiv:1505.00996): around each network pixel chroma
    is fitted as a line over lightness; the lines, not the colours, are enlarged (bilinear, pixel
    centres aligned) and evaluated on the full-size L*. Unlike there, each line passes through its
    own pixel and lines are not averaged, so that nothing the network drew is blurred. Lightness
    that it has not seen in a neighbourhood (a speck, a hair) counts as the nearest that it has.
    """

    def __init__(self, chroma_map: ChromaMap, height: int, width: int) -> None:
        """Prepare for a scan of *height* × *width* pixels, smaller or larger than the map."""
        lines = _fit_lines(chroma_map)
        self._small = np.concatenate([lines, _local_range(chroma_map.lightness)])  # (6, h, w)
        self._height, self._width = height, width
        self._row, self._row_weight = _positions(height, self._small.shape[1])
        self._column, self._column_weight = _positions(width, self._small.shape[2])

    def rows(self, lightness: Plane, top: int) -> Plane:
        """Chroma of some rows of the scan.

        Args:
            lightness: Full-size L* of these rows, float32 (rows, W) in [0, 100].
            top: The scan's row that *lightness* begins with.

        Returns:
            a* and b*, float32 (2, rows, W); the same whatever other rows are asked for.

        Raises:
            ValueError: The rows are not the scan's.
        """
        rows, width = lightness.shape
        if width != self._width or top < 0 or rows < 1 or top + rows > self._height:
            raise ValueError(
                f"rows {top} to {top + rows} of width {width} are not in a scan of "
                f"{self._height} × {self._width} pixels"
            )
        above = self._row[top : top + rows]
        weight = self._row_weight[top : top + rows, None]
        wide = self._widen(int(above[0]), int(above[-1]) + 2)  # (6, n, W)
        step = np.diff(wide, axis=1)
        chroma = np.empty((2, rows, width), np.float32)
        for part in blocks(slice(0, rows), at_once=max(1, BLOCK_PX // width)):
            index = above[part] - above[0]
            if index[0] == index[-1]:  # all between the same two rows of the map: nothing to gather
                line = weight[part] * step[:, index[:1]]  # (6, rows, W)
                line += wide[:, index[:1]]
            else:
                line = step.take(index, 1, mode="clip")
                line *= weight[part]
                line += wide.take(index, 1, mode="clip")
            seen = np.clip(lightness[part], line[4], line[5])
            np.multiply(line[0:2], seen, out=chroma[:, part])
            chroma[:, part] += line[2:4]
        return chroma

    def whole(self) -> list[Plane]:
        """What `rows` makes chroma of, for all of the scan at once.

        Returns:
            Slopes for a* and b* over L*, their offsets, and the least and largest L* that counts,
            float32 (H, W) each.
        """
        size = self._width, self._height
        enlarged = (cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in self._small)
        return [np.asarray(one, np.float32) for one in enlarged]

    def _widen(self, first: int, stop: int) -> Plane:
        """The map's rows *first* to *stop* (the last one repeated below it) at the scan's width."""
        small = self._small[:, np.minimum(np.arange(first, stop), self._small.shape[1] - 1)]
        wide = small.take(self._column, 2, mode="clip")
        right = small.take(self._column + 1, 2, mode="clip")  # the last column repeated
        right -= wide
        right *= self._column_weight
        wide += right
        return wide


class ShareUpsampler:
    """Brings how much of each network pixel is painted to full size, along the scan's edges."""

    def __init__(self, chroma_map: ChromaMap, share: Plane, height: int, width: int) -> None:
        """Take float32 (h, w) in [0, 1], of the map's size."""
        both = replace(chroma_map, chroma=np.stack([share, share]).astype(np.float32), even=None)
        self._upsampler = GuidedUpsampler(both, height, width)

    def rows(self, lightness: Plane, top: int) -> Plane:
        """The share in some rows of the scan, float32 (rows, W); see `GuidedUpsampler.rows`."""
        share: Plane = np.clip(self._upsampler.rows(lightness, top)[0], 0, 1)
        return share


def fit_gamut(lightness: Plane, chroma: Plane) -> Plane:
    """Scale chroma at constant lightness and hue until sRGB can show it; nothing is clipped.

    Args:
        lightness: L* of CIE Lab (D65), float32 (rows, W) in [0, 100].
        chroma: a* and b*, float32 (2, rows, W).

    Returns:
        Chroma of the same shape. Colours inside the gamut come back as they are; the others lie
        inside its border, by at most 1/4096 of the chroma that they came with.
    """
    fitted = np.array(chroma, np.float32)
    flat_lightness = lightness.reshape(-1)
    a, b = fitted.reshape(2, -1)
    inside = np.empty(flat_lightness.size, np.bool_)
    for part in blocks(slice(0, inside.size)):
        inside[part] = _is_inside(flat_lightness[part], a[part], b[part])
    outside = np.flatnonzero(~inside)
    for part in blocks(slice(0, outside.size)):
        here = outside[part]
        scale = _largest_scale(flat_lightness[here], a[here], b[here])
        a[here] *= scale
        b[here] *= scale
    return fitted


def linear_in_gamut(lightness: Plane, chroma: Plane) -> Plane:
    """CIE Lab (D65) to linear light, inside sRGB's gamut as `fit_gamut` brings it there.

    Args:
        lightness: L* of CIE Lab (D65), float32 (rows, W) in [0, 100].
        chroma: a* and b*, float32 (2, rows, W); not changed.

    Returns:
        RGB with sRGB's primaries under D65, float32 (3, rows, W) in [0, 1]. Without chroma the
        three are equal to the last bit.
    """
    linear = np.empty((3, *lightness.shape), np.float32)
    flat_lightness, flat_linear = lightness.reshape(-1), linear.reshape(3, -1)
    a, b = chroma.reshape(2, -1)
    inside = np.empty(flat_lightness.size, np.bool_)
    for part in blocks(slice(0, flat_lightness.size)):
        _convert(flat_lightness[part], a[part], b[part], out=flat_linear[:, part])
        inside[part] = _is_within(flat_linear[:, part])
    outside = np.flatnonzero(~inside)
    for part in blocks(slice(0, outside.size)):
        here = outside[part]
        there = flat_lightness[here], a[here], b[here]
        scale = _largest_scale(*there)
        fitted = np.empty((3, here.size), np.float32)
        _convert(there[0], there[1] * scale, there[2] * scale, out=fitted)
        flat_linear[:, here] = fitted
    return np.clip(linear, 0, 1, out=linear)


def blocks(rows: slice, *, at_once: int = BLOCK_PX) -> Iterator[slice]:
    """Cut rows, or pixels, into slices of *at_once*: those of `BLOCK_PX` pixels fit the cache."""
    for start in range(rows.start, rows.stop, at_once):
        yield slice(start, min(start + at_once, rows.stop))


def _whole_steps(side: float) -> int:
    """The multiple of 32 nearest to *side*, but not 0."""
    return max(1, int(side / NETWORK_STEP_PX + 0.5)) * NETWORK_STEP_PX


def _positions(full: int, small: int) -> tuple[NDArray[np.intp], Plane]:
    """For each of *full* pixel centres: the small pixel before it and the next one's weight."""
    centre = (np.arange(full) + 0.5) * (small / full) - 0.5
    centre = np.clip(centre, 0, small - 1)
    before = np.floor(centre).astype(np.intp)
    return before, (centre - before).astype(np.float32)


def _fit_lines(chroma_map: ChromaMap) -> Plane:
    """Fit chroma = slope · L* + offset around each pixel; (4, h, w): two slopes, two offsets."""
    chroma, lightness = chroma_map.chroma, chroma_map.lightness
    guide = lightness - np.float32(50)  # around 0, squares of float32 are exact enough
    mean, variance = _box_mean(guide), _box_mean(guide * guide)
    variance -= mean * mean
    np.maximum(variance, 0, out=variance)
    variance += NOISE_VARIANCE
    slopes = [(_box_mean(guide * one) - mean * _box_mean(one)) / variance for one in chroma]
    if chroma_map.even is not None:
        slopes = [np.where(chroma_map.even, np.float32(0), slope) for slope in slopes]
    offsets = [one - slope * lightness for one, slope in zip(chroma, slopes, strict=True)]
    return np.stack([*slopes, *offsets])


def _box_mean(plane: Plane) -> Plane:
    """Mean over the window around each pixel, cut off at the borders."""
    return _window_sums(plane) / _pixels_in_windows(*plane.shape)


@lru_cache(maxsize=4)
def _pixels_in_windows(height: int, width: int) -> Plane:
    """How many pixels lie in the window around each."""
    return _window_sums(np.ones((height, width), np.float32))


def _window_sums(plane: Plane) -> Plane:
    sums = cv2.boxFilter(plane, -1, _WINDOW, normalize=False, borderType=_NOTHING)
    return np.asarray(sums, np.float32)


def _local_range(lightness: Plane) -> Plane:
    """Smallest and largest lightness in the window around each pixel; (2, h, w)."""
    window = np.ones(_WINDOW, np.uint8)  # beyond the borders nothing is smaller, or larger
    return np.stack([cv2.erode(lightness, window), cv2.dilate(lightness, window)])


@cache
def _rgb_from_white() -> NDArray[np.float64]:
    """Matrix from XYZ, each divided by white's, to linear sRGB; its rows sum to 1.

    Derived from the chromaticities of IEC 61966-2-1: primaries and D65.
    """
    x, y = np.array([[0.64, 0.30, 0.15, 0.3127], [0.33, 0.60, 0.06, 0.3290]])
    xyz = np.stack([x, y, 1 - x - y]) / y
    primaries, white = xyz[:, :3], xyz[:, 3]
    scaled = primaries * np.linalg.solve(primaries, white)
    return np.linalg.inv(scaled / white[:, None])


def _from_cube_root(value: Plane) -> Plane:
    """Inverse of CIE Lab's f: the cube, and below 6/29 its tangent there, without a branch."""
    upper = np.maximum(value, LINEAR_BELOW)
    cube: Plane = upper * upper * upper + (3 * LINEAR_BELOW**2) * (value - upper)
    return cube


def _convert(lightness: Plane, a: Plane, b: Plane, *, out: Plane) -> None:
    """Lab, each of shape (n,), to linear RGB into *out* (3, n), not clipped."""
    middle = (lightness + 16) * (1 / 116)
    y = _from_cube_root(middle)
    x = _from_cube_root(middle + a * (1 / 500)) - y
    z = _from_cube_root(middle - b * (1 / 200)) - y
    for channel, (by_x, _, by_z) in enumerate(_rgb_from_white().tolist()):
        np.add(y, by_x * x, out=out[channel])
        out[channel] += by_z * z


def _is_inside(lightness: Plane, a: Plane, b: Plane) -> NDArray[np.bool_]:
    """Whether sRGB can show each colour, but for the rounding of float32."""
    linear = np.empty((3, lightness.size), np.float32)
    _convert(lightness, a, b, out=linear)
    return _is_within(linear)


def _is_within(linear: Plane) -> NDArray[np.bool_]:
    """Whether each of the colours (3, n) lies in [0, 1], but for the rounding of float32."""
    smallest, largest = linear.min(axis=0), linear.max(axis=0)
    inside: NDArray[np.bool_] = (smallest >= -ROUNDING) & (largest <= 1 + ROUNDING)
    return inside


def _largest_scale(lightness: Plane, a: Plane, b: Plane) -> Plane:
    """Largest factor in [0, 1) for chroma outside the gamut to be inside, by bisection.

    The lower end of the search is inside at every step, so the answer is, whatever the shape of
    the gamut: it has a notch at light yellows, where a ray leaves it and enters it again.
    """
    scale = np.zeros_like(lightness)
    for step in range(1, GAMUT_STEPS + 1):
        wider = scale + np.float32(0.5**step)
        scale = np.where(_is_inside(lightness, wider * a, wider * b), wider, scale)
    return scale
