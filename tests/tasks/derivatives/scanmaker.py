"""Scans of several kinds as files, made by code, and what is needed to colour them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from colormodel.planes import ChromaMap
from tasks.derivatives import OutputPolicy, WrittenFile, write_derivatives
from tasks.provenance import Provenance
from tasks.scans.icc import build_profile, parametric_curve
from tasks.scans.reader import Scan, open_scan
from tests.tasks.derivatives.jpegs import make_picture

LINEAR = build_profile(b"GRAY", parametric_curve(1.0), description="linear")
GAMMA_22 = build_profile(b"GRAY", parametric_curve(2.2), description="Gray Gamma 2.2")


def make_tiff(path: Path, codes: NDArray[np.generic], **options: object) -> Path:
    """Write *codes* as a greyscale TIFF with tifffile's options."""
    tifffile.imwrite(path, codes, photometric="minisblack", metadata=None, **options)
    return path


def make_deep_picture(height: int, width: int) -> NDArray[np.uint16]:
    """A picture that uses all of 16 bits."""
    fine = np.random.default_rng(3).integers(0, 257, (height, width))
    picture = make_picture(height, width).astype(np.int64) * 257 + fine - 128
    return np.clip(picture, 0, 65535).astype(np.uint16)


def make_map_for(scan: Scan, strength: float = 30) -> ChromaMap:
    """Chroma that varies over the scan."""
    rows, columns = np.mgrid[0:48, 0:64] / 24
    chroma = np.stack([np.sin(3 * rows + columns), np.cos(2 * columns - rows)]) * strength
    ones = np.ones((48, 64), np.float32)
    return ChromaMap(chroma.astype(np.float32), ones, 0.8, scan.thumbnail(48, 64))


def make_provenance(scan: Scan) -> Provenance:
    """Provenance with the scan's own description."""
    return Provenance(
        scan_uri="s3://archive/box/scan.tif",
        scan_sha256="5c" * 32,
        checkpoint_digest="c4" * 32,
        recipe_digest="7e" * 32,
        model_name="unet",
        software="Autochrome 1.2.3",
        created_at=datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC),
        confidence=0.5,
        descriptive=scan.header.descriptive,
    )


def colour(path: Path, folder: Path, *, page: int = 0, **policy: object) -> list[WrittenFile]:
    """Write the derivatives of a file under a policy."""
    scan = open_scan(path, page=page)
    folder.mkdir(exist_ok=True)
    return write_derivatives(
        path,
        scan,
        make_map_for(scan),
        provenance=make_provenance(scan),
        policy=OutputPolicy(**policy),
        folder=folder,
    )
