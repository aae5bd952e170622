"""What the children of a pixel pool do with scans."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from colormodel.neutral import neutral_mask
from colormodel.planes import ChromaMap, network_size
from tasks.derivatives import OutputPolicy, WrittenFile, write_derivatives
from tasks.derivatives.colour import OwnColour
from tasks.provenance import Provenance
from tasks.scans.findings import Findings, examine
from tasks.scans.header import ReadLimits, ScanHeader
from tasks.scans.reader import Scan, open_scan

#: A scan of so many pixels is read in the time that every scan has, and a little more.
SMALL_PIXELS = 1 << 21


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


def read_in_child(run: Callable[..., Any], request: ReadRequest) -> ReadScan:
    """Read a scan in a child of a pool, which gets more time for a large one.

    Args:
        run: The pool's `run`.
        request: The scan.

    Raises:
        AutochromeError: As `read_scan`, or what became of the child.
    """
    found: ReadScan | int = run(read_small, request, pixels=SMALL_PIXELS)
    return found if isinstance(found, ReadScan) else run(read_scan, request, pixels=found)


def read_small(request: ReadRequest) -> ReadScan | int:
    """Do as `read_scan` does; of a scan that is larger than `SMALL_PIXELS` count the pixels.

    Raises:
        AutochromeError: As `read_scan`.
    """
    scan = _opened(request)
    return _read(request, scan) if scan.header.pixels <= SMALL_PIXELS else scan.header.pixels


def read_scan(request: ReadRequest) -> ReadScan:
    """Open a scan, decide whether it is ours to colour, and shrink it for the network.

    Raises:
        AutochromeError: The scan cannot or need not be coloured; the reason says why.
    """
    return _read(request, _opened(request))


def _opened(request: ReadRequest | WriteRequest) -> Scan:
    folder = request.path.parent
    return open_scan(request.path, page=request.page, limits=request.limits, scratch=folder)


def _read(request: ReadRequest, scan: Scan) -> ReadScan:
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
    return write_derivatives(
        request.path,
        _opened(request),
        request.chroma_map,
        provenance=request.provenance,
        policy=request.policy,
        folder=request.path.parent,
        own_colour=request.own_colour,
    )
