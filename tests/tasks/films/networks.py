"""A stand-in for the network, where files are the subject: colours by lightness, restlessly."""

from collections.abc import Sequence

import numpy as np

from colormodel.planes import ChromaMap, Plane


class RestlessNetwork:
    """Colours what is light one way and what is dark another, each time a little otherwise."""

    def __init__(self, *, unrest: float = 0.0) -> None:
        self.asked = 0
        self._unrest = np.random.default_rng(1895), unrest

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """A third of a small film's size, in steps of 32."""
        return 32, 32 * max(1, round(width / height))

    def predict(self, lightness: Sequence[Plane]) -> list[ChromaMap | Exception]:
        """Maps of frames."""
        rng, unrest = self._unrest
        maps: list[ChromaMap | Exception] = []
        for plane in lightness:
            self.asked += 1
            shift = rng.normal(0, unrest, (2, 1, 1)) if unrest else 0.0
            chroma = np.stack([plane * 0.4 - 15, 30 - plane * 0.5]) + shift
            sure = np.full(plane.shape, 0.6, np.float32)
            maps.append(ChromaMap(chroma.astype(np.float32), sure, 0.6, plane))
        return maps
