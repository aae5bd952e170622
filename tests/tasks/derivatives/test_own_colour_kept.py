"""Islands of own colour are the scan's in the derivative, at full size; the rest is the network's.

The tone gate is passed: what does not pass it is not written.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import binary_dilation

from colormodel.planes import ChromaMap
from tasks.derivatives import OutputPolicy, write_derivatives
from tasks.scans.findings import examine
from tasks.scans.reader import Scan, open_scan
from tests import oldprints
from tests.scanfiles import ORIENTATION_TAG, photograph, srgb, write_tiff
from tests.tasks.derivatives.scanmaker import make_provenance


def _green(scan: Scan) -> ChromaMap:
    """A network that sees one green everywhere."""
    size = (64, 96)
    chroma = np.stack([np.full(size, -18, np.float32), np.full(size, 12, np.float32)])
    return ChromaMap(chroma, np.ones(size, np.float32), 1.0, scan.thumbnail(*size))


@pytest.mark.parametrize(
    ("bits", "orientation", "icc"), [(8, 1, None), (16, 1, srgb()), (8, 6, srgb()), (16, 3, None)]
)
def test_a_stamp_keeps_its_colour(
    bits: int, orientation: int, icc: bytes | None, tmp_path: Path
) -> None:
    """Whatever the scan's depth, profile and orientation."""
    grey = np.repeat(0.3 + 0.6 * photograph(420, 640)[..., None], 3, axis=2)
    stamped = oldprints.stamped(grey, "red", np.random.default_rng(6))
    full = (1 << bits) - 1
    codes = np.rint(stamped * full).astype(f"uint{bits}")
    stored = np.rot90(codes, {1: 0, 3: 2, 6: 1}[orientation])
    tags = [(ORIENTATION_TAG, "H", 1, orientation, True)]
    options = {"photometric": "rgb", "extratags": tags, "iccprofile": icc}
    path = write_tiff(tmp_path / "s.tif", np.ascontiguousarray(stored), **options)
    scan = open_scan(path, scratch=tmp_path)
    own_colour = examine(scan).own_colour
    assert own_colour is not None
    master, *_ = write_derivatives(
        path,
        scan,
        _green(scan),
        provenance=make_provenance(scan),
        policy=OutputPolicy(access=False),
        folder=tmp_path,
        own_colour=own_colour,
    )
    found = tifffile.imread(master.path).astype(np.float64) / full
    inked = np.abs(stamped - grey).max(axis=2) > 0.08
    assert np.abs(found[inked] - stamped[inked]).mean() < 0.01
    away = ~binary_dilation(inked, iterations=30)
    assert (found[away][:, 1] > found[away][:, 0]).mean() > 0.95
