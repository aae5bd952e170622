"""Islands of own colour are the scan's in the derivative, at full size; the rest is the network's.

The tone gate is passed: what does not pass it is not written.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import binary_dilation

from colormodel.correction import Correction, Mask
from colormodel.planes import ChromaMap
from tasks.derivatives import OutputPolicy, write_derivatives
from tasks.derivatives.colour import OwnColour
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
        own_colour=OwnColour(own_colour),
    )
    found = tifffile.imread(master.path).astype(np.float64) / full
    inked = np.abs(stamped - grey).max(axis=2) > 0.08
    assert np.abs(found[inked] - stamped[inked]).mean() < 0.01
    away = ~binary_dilation(inked, iterations=30)
    assert (found[away][:, 1] > found[away][:, 0]).mean() > 0.95


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_person_paints_ends_where_the_thing_does(channels: int, tmp_path: Path) -> None:
    """At full size, not where the network's pixels do; a grey scan has no colours to be kept."""
    height, width, edge = 1200, 1800, 911  # the network's pixels are 19 wide
    light = np.full((height, width), 0.35)
    light[:, edge:] = 0.75
    light += np.random.default_rng(3).normal(0, 0.01, light.shape)
    toned = np.stack([light + 0.12, light, light - 0.12], axis=2) if channels == 3 else light
    codes = np.rint(np.clip(toned, 0, 1) * 255).astype(np.uint8)
    options = {"photometric": "rgb"} if channels == 3 else {}
    path = write_tiff(tmp_path / "s.tif", codes, **options)
    scan = open_scan(path, scratch=tmp_path)
    chroma_map = _green(scan)
    said = Correction(masks=(Mask("keep", ((0.1, 0.5), (edge / width - 0.145, 0.5)), 0.22),))
    master, *_ = write_derivatives(
        path,
        scan,
        chroma_map,
        provenance=make_provenance(scan),
        policy=OutputPolicy(access=False),
        folder=tmp_path,
        own_colour=OwnColour.of(None, said, chroma_map),
    )
    found = tifffile.imread(master.path).astype(np.float64)
    middle = found[height // 2 - 20 : height // 2 + 20]
    redness = (middle[..., 0] - middle[..., 1]).mean(axis=0)
    is_own = redness > 10
    assert not is_own[edge + 3 :].any()
    assert is_own[200 : edge - 3].all() == (channels == 3)
