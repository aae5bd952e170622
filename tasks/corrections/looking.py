"""Reading a scan for a person who corrects it: in a child process, as all scans are read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colormodel.neutral import neutral_mask
from colormodel.planes import network_size
from tasks.scans.findings import examine
from tasks.scans.header import ReadLimits
from tasks.scans.reader import open_scan


@dataclass(frozen=True)
class LookRequest:
    """Which picture, and how large the network and the screen want it."""

    path: Path
    page: int
    limits: ReadLimits
    network_px: int
    screen_px: int  #: the longer side, at most


@dataclass(frozen=True)
class ScanView:
    """A scan as the network and a person see it.

    Attributes:
        lightness: L* in [0, 100] at the network's size, float32 (h, w).
        neutral: What of that has no colour, bool (h, w): as the pipeline takes it.
        screen: L* at screen size, float32 (H, W).
        own: The scan's own colours, linear light of sRGB, float32 (3, h', w'); None of a grey one.
    """

    lightness: np.ndarray
    neutral: np.ndarray
    screen: np.ndarray
    own: np.ndarray | None = None


def look_to_correct(request: LookRequest) -> ScanView:
    """Read a scan; runs in a child process.

    Raises:
        AutochromeError: It cannot be read, or need not be coloured; the reason says why.
    """
    folder = request.path.parent
    scan = open_scan(request.path, page=request.page, limits=request.limits, scratch=folder)
    scan.keep_screen(request.screen_px)
    findings = examine(scan)
    height, width = scan.header.height, scan.header.width
    size = network_size(height, width, network_px=request.network_px)
    lightness = scan.thumbnail(*size)
    scale = min(1.0, request.screen_px / max(height, width))
    screen = scan.thumbnail(max(1, round(height * scale)), max(1, round(width * scale)))
    neutral = findings.keep_neutral(*size) | neutral_mask(lightness)
    return ScanView(lightness, neutral, screen, scan.colour_light(request.screen_px))
