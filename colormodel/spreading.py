"""How far what is known at some places of a picture reaches: over the thing that they lie on.

A field that is fixed at some places and elsewhere as smooth as the picture lets it be (after Levin,
Lischinski and Weiss, "Colorization using Optimization", 2004), and that falls to nothing away from
them: the solution of (Λ + 1 / ℓ²) f = sources, with Λ the graph Laplacian over neighbouring pixels
that resemble each other in lightness and in the colours that the network has for them. Its matrix
is factorized once for a picture; each place then costs one substitution, and is kept.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import diags
from scipy.sparse.linalg import SuperLU, splu

from colormodel.hints import REACH_PX
from colormodel.planes import ChromaMap, Plane

#: L*, and a*b* units, between neighbours at which they hardly belong together any more, and how
#: much they still do. Looked at on 12 scans: at 5 and without colours a hand is one with the wall.
EDGE_L, EDGE_AB = 3.0, 4.0
LEAST_TOGETHER = 1e-3
#: ℓ, in pixels of the network's plane: on an even surface a field falls to 1/e over about so many.
FALL_PX = 60.0
#: Below the first, a kernel has left its thing; above the second, it is well within it.
OUTSIDE, WITHIN = 0.08, 0.35
#: Columns that are solved for at once: more at once take longer each.
_AT_ONCE = 8
#: Kernels that are kept: 160 × 224 pixels take 140 kB each.
_KEPT = 512

Place = tuple[int, int]


class Spreader:
    """Spreads values from places of one picture; not for several threads at once."""

    def __init__(self, chroma_map: ChromaMap) -> None:
        """Look at a picture, and at what the network sees in it when it is told of nothing."""
        self._shape = chroma_map.lightness.shape
        self._lightness = chroma_map.lightness
        self._solver = _factorized(self._lightness, chroma_map.chroma)
        self._kernels: OrderedDict[Place, Plane] = OrderedDict()

    def kernels(self, places: Sequence[Place]) -> Plane:
        """How far each place reaches, float32 (K, h, w): 1 at the place itself, less elsewhere."""
        new = [place for place in dict.fromkeys(places) if place not in self._kernels]
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            sources = np.zeros((*self._shape, len(some)))
            for column, place in enumerate(some):
                near, alike = self.surroundings(place, REACH_PX)
                sources[(*near, column)] = alike
            solved = self._solver.solve(sources.reshape(-1, len(some))).T
            solved = solved.reshape(len(some), *self._shape)
            for (y, x), field in zip(some, solved, strict=True):
                self._kernels[y, x] = (field / field[y, x]).astype(np.float32)
        found = np.stack([self._kernels[place] for place in places])
        for place in places:
            self._kernels.move_to_end(place)
        while len(self._kernels) > _KEPT:
            self._kernels.popitem(last=False)
        return found

    def surroundings(self, place: Place, reach: int) -> tuple[tuple[slice, slice], Plane]:
        """The square around a place, and how much each pixel of it resembles the place, in [0, 1].

        A single pixel's source would give a spike: its neighbours would hardly notice it.
        """
        y, x = place
        height, width = self._shape
        near = (
            slice(max(y - reach, 0), min(y + reach + 1, height)),
            slice(max(x - reach, 0), min(x + reach + 1, width)),
        )
        return near, _together(((self._lightness[near] - self._lightness[y, x]) / EDGE_L) ** 2)

    def reach(self, places: Sequence[Place]) -> Plane:
        """How much each pixel belongs to what places lie on, float32 (h, w) in [0, 1]."""
        most = self.kernels(places).max(axis=0)
        share = np.clip((most - OUTSIDE) / (WITHIN - OUTSIDE), 0, 1)
        reach: Plane = share * share * (3 - 2 * share)
        return reach

    def field(self, places: Sequence[Place], values: Plane) -> Plane:
        """The field that has given values at places, and no value beyond those.

        Args:
            places: K different ones, row and column.
            values: float32 (K, C).

        Returns:
            float32 (C, h, w); at each place its value, but for what places next to each other
            disagree in.
        """
        kernels = self.kernels(places)  # (K, h, w)
        rows, columns = np.array(places).T
        gram = kernels[:, rows, columns].T.astype(np.float64)  # at place i, by the source of j
        # Places that nearly coincide say nearly the same: a ridge keeps their sources small.
        gram[np.diag_indices_from(gram)] += 1e-3
        weights = np.linalg.solve(gram, values.astype(np.float64))  # (K, C)
        field = np.tensordot(weights.T.astype(np.float32), kernels, axes=1)  # (C, h, w)
        least = np.minimum(values.min(axis=0), 0)[:, None, None]
        most = np.maximum(values.max(axis=0), 0)[:, None, None]
        bounded: Plane = np.clip(field, least, most)
        return bounded


def _factorized(lightness: Plane, chroma: Plane) -> SuperLU:
    across, down = (
        _together(
            (np.diff(lightness, axis=axis) / EDGE_L) ** 2
            + (np.diff(chroma, axis=axis + 1) ** 2).sum(axis=0) / EDGE_AB**2
        ).astype(np.float64)
        for axis in (1, 0)
    )
    sums = np.full(lightness.shape, FALL_PX**-2)
    sums[:, :-1] += across
    sums[:, 1:] += across
    sums[:-1] += down
    sums[1:] += down
    width = lightness.shape[1]
    right = np.pad(across, ((0, 0), (0, 1))).ravel()[:-1]
    below = down.ravel()
    matrix = diags(
        [sums.ravel(), -right, -right, -below, -below], [0, 1, -1, width, -width], format="csc"
    )
    return splu(
        matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )


def _together(square: Plane) -> Plane:
    """How much pixels belong together, by the square of what parts them, in (0, 1]."""
    together: Plane = np.maximum(np.exp(-0.5 * square), np.float32(LEAST_TOGETHER))
    return together
