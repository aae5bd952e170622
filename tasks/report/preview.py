"""Small pictures of a scan and of its derivative, for reports and the UI."""

from dataclasses import dataclass
from pathlib import Path

import pyvips

from tasks.pictures.pyramid import luma_of
from tasks.scans.header import ReadLimits
from tasks.scans.reader import open_scan
from tasks.scans.tone import light_from_lightness, tone_curve

QUALITY = 85
#: Widest a small picture may be, in its heights: a scroll is shown whole, and smaller.
WIDEST = 4


@dataclass(frozen=True)
class PreviewRequest:
    """A scan, one of its derivatives, and how high the small pictures are to be at most.

    Of a film there is no scan here: its poster, without its colours, is what it was.
    """

    scan: Path | None
    page: int
    derivative: Path
    height_px: int
    limits: ReadLimits


@dataclass(frozen=True)
class Preview:
    """JPEG files in sRGB, of the same size."""

    before: bytes
    after: bytes


def shrink(jpeg: bytes, *, height_px: int) -> bytes:
    """Make a small picture smaller still."""
    picture = pyvips.Image.thumbnail_buffer(jpeg, WIDEST * height_px, height=height_px, size="down")
    smaller: bytes = picture.write_to_buffer(".jpg", Q=QUALITY, keep="none")
    return smaller


def make_preview(request: PreviewRequest) -> Preview:
    """Shrink both; runs in a child process.

    Raises:
        AutochromeError: The scan cannot be read any more.
        pyvips.Error: The derivative cannot be read.
    """
    if request.scan is None:
        return _of_poster(request)
    scan = open_scan(request.scan, page=request.page, limits=request.limits)
    header, most = scan.header, request.height_px
    scale = min(1.0, most / header.height, WIDEST * most / header.width)
    height, width = (max(1, round(scale * side)) for side in (header.height, header.width))
    light = light_from_lightness(scan.thumbnail(height, width))
    grey = tone_curve(None, bits=8).encode(light)
    before = pyvips.Image.new_from_array(grey, interpretation="b-w")
    after = pyvips.Image.thumbnail(
        str(request.derivative), width, height=height, size="force", export_profile="srgb"
    )
    return Preview(
        before.write_to_buffer(".jpg", Q=QUALITY, keep="none"),
        after.write_to_buffer(".jpg", Q=QUALITY, keep="none"),
    )


def _of_poster(request: PreviewRequest) -> Preview:
    most = request.height_px
    after = pyvips.Image.thumbnail(
        str(request.derivative), WIDEST * most, height=most, size="down", export_profile="srgb"
    ).copy_memory()  # it is read twice
    before = luma_of(after)
    return Preview(
        before.write_to_buffer(".jpg", Q=QUALITY, keep="none"),
        after.write_to_buffer(".jpg", Q=QUALITY, keep="none"),
    )
