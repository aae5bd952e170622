"""What the children of a pixel pool do with scans."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colormodel.neutral import neutral_mask
from colormodel.planes import ChromaMap, network_size
from tasks.derivatives import OutputPolicy, WrittenFile, write_derivatives
from tasks.derivatives.colour import OwnColour
from tasks.provenance import Provenance
from tasks.scans.findings import Findings, examine
from tasks.scans.header import ReadLimits, ScanHeader, read_structure
from tasks.scans.reader import open_scan


@dataclass(frozen=True)
class ReadRequest:
    """Which picture to look at, and how large the network wants it."""

    path: Path
    page: int
    limits: ReadLimits
    network_px: int


@dataclass(frozen=True)
class ReadScan:
    """What the network and the ledger need to know of a scan."""

    header: ScanHeader
    findings: Findings
    lightness: np.ndarray  #: L* in [0, 100], float32 (h, w), at the network's size
    neutral: np.ndarray  #: bool (h, w): what of it has no colour: borders, margins, step wedges
    tone_doubt: str = ""  #: why the scan's tone may be other than it was read; empty where sure
    notes: tuple[str, ...] = ()  #: what a person should know of the scan, a sentence each


@dataclass(frozen=True)
class WriteRequest:
    """A scan and its predicted chroma, to be made into derivatives."""

    path: Path
    page: int
    limits: ReadLimits
    chroma_map: ChromaMap
    provenance: Provenance
    policy: OutputPolicy
    own_colour: OwnColour | None = None  #: where the scan's own colours are kept


def measure_scan(request: ReadRequest) -> int:
    """Count a page's pixels, from its header alone.

    Raises:
        AutochromeError: The scan cannot be read, or is too large; the reason says why.
    """
    structure = read_structure(request.path, page=request.page, limits=request.limits)
    return structure.width * structure.height


def read_scan(request: ReadRequest) -> ReadScan:
    """Open a scan, decide whether it is ours to colour, and shrink it for the network.

    Raises:
        AutochromeError: The scan cannot or need not be coloured; the reason says why.
    """
    folder = request.path.parent
    scan = open_scan(request.path, page=request.page, limits=request.limits, scratch=folder)
    findings = examine(scan)
    size = network_size(scan.header.height, scan.header.width, network_px=request.network_px)
    lightness = scan.thumbnail(*size)
    return ReadScan(
        scan.header,
        findings,
        lightness,
        neutral_mask(lightness) | findings.keep_neutral(*size),
        tone_doubt=scan.tone_doubt,
        notes=(*scan.header.notes, *scan.tone_notes, *findings.notes),
    )


def write_scan(request: WriteRequest) -> list[WrittenFile]:
    """Write and gate every derivative of one scan, beside the scan's file.

    Raises:
        ToneGateFailed: A written file does not keep the scan's tone.
    """
    folder = request.path.parent
    scan = open_scan(request.path, page=request.page, limits=request.limits, scratch=folder)
    return write_derivatives(
        request.path,
        scan,
        request.chroma_map,
        provenance=request.provenance,
        policy=request.policy,
        folder=folder,
        own_colour=request.own_colour,
    )
