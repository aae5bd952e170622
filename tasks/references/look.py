"""Looking at a reference: decoded in a child process, as scans are, for it may be hostile too."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyvips
import simplejpeg
from numpy.typing import NDArray

from colormodel.srgb import to_linear
from tasks.errors import UnreadableScan, UnsupportedFormat
from tasks.filetypes import Format
from tasks.references.alike import hashes_turned
from tasks.scans.decode import verify_data
from tasks.scans.header import ReadLimits, ScanHeader, header_of, read_structure
from tasks.scans.hue import Chroma, HueRule, measure_chroma
from tasks.scans.metadata.read import read_metadata

#: What references may be.
READ = frozenset(Format) - {Format.JP2}

#: Shorter side at which references are learnt from and compared; smaller ones stay as they are.
REFERENCE_PX = 256

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class LookRequest:
    """Which file to look at."""

    path: Path
    limits: ReadLimits


@dataclass(frozen=True)
class Look:
    """What a reference is, as far as its file tells.

    Attributes:
        header: Of the file.
        codes: The picture in sRGB, upright, its shorter side at most `REFERENCE_PX`; uint8
            (h, w, 3).
        chroma: What its colour amounts to.
        hashes: Perceptual ones: as it is, then turned and mirrored.
    """

    header: ScanHeader
    codes: Codes
    chroma: Chroma
    hashes: tuple[str, ...]


def look_at_reference(request: LookRequest) -> Look:
    """Decode a reference and measure its colour; runs in a child process.

    Raises:
        AutochromeError: It cannot be read whole; the message says why.
    """
    structure = read_structure(request.path, page=0, limits=request.limits)
    header = header_of(structure, read_metadata(structure), page=0)
    codes = _decode(request.path, header)
    verify_data(request.path, structure)
    if header.format == Format.JPEG and header.stored_bits == 8:
        _verify_jpeg(request.path)
    light = _linear(codes).transpose(2, 0, 1)
    return Look(header, codes, measure_chroma(light, HueRule()), hashes_turned(codes))


def _decode(path: Path, header: ScanHeader) -> Codes:
    if header.format not in READ:
        raise UnsupportedFormat(
            f"{path.name}: {header.format} is not read here; convert it to TIFF"
        )
    scale = min(1.0, REFERENCE_PX / min(header.width, header.height))
    # As scans are: libjpeg goes on through corrupt data with a warning, the others stop.
    is_jpeg = header.format == Format.JPEG or header.compression == "JPEG"
    try:
        image = pyvips.Image.thumbnail(
            str(path),
            max(1, round(header.width * scale)),
            height=max(1, round(header.height * scale)),
            size="force",
            export_profile="srgb",
            fail_on="warning" if is_jpeg else "error",
        )
        if image.hasalpha():
            image = image.flatten(background=255)
        codes = image.colourspace("srgb").cast("uchar").numpy()
    except pyvips.Error as error:
        why = str(error).strip().splitlines()[-1].strip()
        raise UnreadableScan(f"{path.name}: damaged ({why}); copy it again") from error
    return np.ascontiguousarray(codes[..., :3])


def _verify_jpeg(path: Path) -> None:
    """See that the coded data ends where the picture does.

    Where bits have changed, decoders go on with other colours, and too much or too little is left.
    The thumbnail's decoder does not look at what is left.
    """
    try:
        simplejpeg.decode_jpeg(path.read_bytes(), "GRAY", min_height=1, min_width=1, strict=True)
    except ValueError as error:
        raise UnreadableScan(f"{path.name}: damaged ({error}); copy it again") from error


def _linear(codes: Codes) -> NDArray[np.float32]:
    """Linear light of sRGB codes."""
    table = to_linear(np.arange(256, dtype=np.float32) / 255)
    light: NDArray[np.float32] = table.astype(np.float32)[codes]
    return light
