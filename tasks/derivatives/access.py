"""Access copies and thumbnails: JPEG made from a written colour file, streaming, by libvips."""

import errno
import shutil
from pathlib import Path

import pyvips
from PIL import Image
from PIL.ExifTags import IFD
from PIL.ExifTags import Base as Tag

from tasks.derivatives.jpegfile import Segment
from tasks.derivatives.policy import OutputPolicy, WrittenMetadata
from tasks.derivatives.segments import insert_segments, iptc_segments, xmp_segments
from tasks.scans.formats.markers import APP1
from tasks.scans.header import ScanHeader
from tasks.scans.metadata.dates import iso_date

#: libjpeg refuses longer sides.
MAX_JPEG_PX = 65_500

_THUMBNAIL_QUALITY = 85

#: Sides of a reduced copy divide by this: JPEG has no pyramid, but decoders give a half, a quarter
#: and an eighth of it for a fraction of the time, and there IIIF's sizes are whole numbers. Where
#: they are not, servers round one way and viewers another, and tiles at the edge are off by one.
_WHOLE_PX = 8

#: How much smaller than allowed a copy may be for that: nearly every shape has such a size here.
_LEAST_SHARE = 0.8

_CENTIMETRES = 3

#: All of EXIF must fit into one segment.
_MAX_EXIF_TEXT_BYTES = 16_000

#: What EXIF says a resolution is where none is known (CIPA DC-008, XResolution), in pixels a cm.
_UNKNOWN_PPCM = (72 / 2.54, 72 / 2.54)

# libvips tells why it failed in words alone: with less room than this, the disk is full.
_ROOM_BYTES = 1 << 20


def write_access(  # noqa: PLR0913  what a copy is made of
    source: Path,
    path: Path,
    *,
    header: ScanHeader,
    policy: OutputPolicy,
    said: WrittenMetadata,
    in_srgb: bool,
) -> None:
    """Write a plain interleaved JPEG of a colour file, upright.

    Args:
        source: The file; a JPEG only where the copy is smaller.
        path: The file to write.
        header: The scan's, for its size.
        policy: Decides size, quality and subsampling.
        said: What goes into EXIF and XMP.
        in_srgb: Convert to sRGB; else the file's own profile stays. A JPEG has 8 bits, and under
            some curves, a linear one above all, those show steps where the file has none.

    Raises:
        OSError: The file cannot be written.
    """
    if is_whole(header, policy):
        image = _opened(source)
    else:
        height, width = reduced_size(header.height, header.width, _longest(policy))
        image = _reduced(source, width, height=height, size="force")
    if in_srgb:
        image = image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    image = _eight_bits(image)
    mode = "on" if policy.subsample else "off"
    _save(image, path, header, said, Q=policy.jpeg_quality, subsample_mode=mode)


def is_whole(header: ScanHeader, policy: OutputPolicy) -> bool:
    """Whether the access copy has the scan's size."""
    return max(header.width, header.height) <= _longest(policy)


def reduced_size(height: int, width: int, longest_px: int) -> tuple[int, int]:
    """Height and width of a reduced copy: whole numbers also when halved three times.

    The larger side is *longest_px* or up to a fifth less; the other keeps the aspect ratio within a
    pixel. A shape for which there is no such size gets the largest that fits.
    """
    longer, shorter = max(height, width), min(height, width)
    largest = longest_px - longest_px % _WHOLE_PX
    for long_side in range(largest, int(_LEAST_SHARE * longest_px), -_WHOLE_PX):
        exact = shorter * long_side / longer
        short_side = round(exact / _WHOLE_PX) * _WHOLE_PX
        if short_side and abs(short_side - exact) <= 1:
            break
    else:
        long_side, short_side = longest_px, max(1, round(shorter * longest_px / longer))
    return (short_side, long_side) if height <= width else (long_side, short_side)


def write_thumbnail(
    source: Path, path: Path, *, header: ScanHeader, longest_px: int, said: WrittenMetadata
) -> None:
    """Write a small JPEG in sRGB of any colour file.

    Args:
        source: The file; its EXIF orientation is applied.
        path: The file to write.
        header: The scan's, for its size.
        longest_px: Its longest side; smaller pictures are not enlarged.
        said: What goes into EXIF and XMP.

    Raises:
        OSError: The file cannot be written.
    """
    image = _reduced(source, longest_px, height=longest_px, size="down", output_profile="srgb")
    image = _eight_bits(image)
    _save(image, path, header, said, Q=_THUMBNAIL_QUALITY, subsample_mode="auto")


def _longest(policy: OutputPolicy) -> int:
    return min(policy.access_px or MAX_JPEG_PX, MAX_JPEG_PX)


def _opened(source: Path) -> pyvips.Image:
    """A file, streaming; of deep samples codes of 16 bits, for the engine knows no deeper ones."""
    pyvips.cache_set_max(0)  # a streaming image is read once; a cached one would be found used up
    image = pyvips.Image.new_from_file(str(source), access="sequential", fail_on="error")
    if image.format in {"uchar", "ushort"}:
        return image
    full = 1 if image.format == "float" else (1 << 32) - 1
    return (image * (65535 / full)).rint().cast("ushort").copy(interpretation="rgb16")


def _reduced(source: Path, width: int, **options: int | str) -> pyvips.Image:
    if source.suffix == ".jpg":  # decoders reduce it themselves
        return pyvips.Image.thumbnail(str(source), width, fail_on="error", **options)
    return _opened(source).thumbnail_image(width, **options)


def _eight_bits(image: pyvips.Image) -> pyvips.Image:
    """Codes of 16 bits as the nearest of 8, under the same profile."""
    if image.format != "ushort":
        return image
    nearest = (image + 128) // 257
    return nearest.cast("uchar").copy(interpretation="srgb")


def _save(
    image: pyvips.Image, path: Path, header: ScanHeader, said: WrittenMetadata, **options: int | str
) -> None:
    """Save, with libvips' options; of its source's metadata only the profile stays."""
    try:
        image.jpegsave(str(path), keep="icc", **options)
    except pyvips.Error as error:
        is_full = shutil.disk_usage(path.parent).free < _ROOM_BYTES
        words = " ".join(str(error).split())
        code = errno.ENOSPC if is_full else errno.EIO
        raise OSError(code, f"{path.name} cannot be written: {words}", str(path)) from error
    block = Segment(APP1, _exif(header, said, image.width, image.height))
    further = *xmp_segments(said.packet), *iptc_segments(said.own.iptc)
    insert_segments(path, [block, *further])


def _exif(header: ScanHeader, said: WrittenMetadata, width: int, height: int) -> bytes:
    """What stands in EXIF of a copy of that size: the scan's own words, where it has them there.

    The resolution is that at which it is as large on paper as the scan's subject is. Texts are
    UTF-8, as everyone writes them; EXIF itself knows ASCII alone.
    """
    block = Image.Exif()
    across, down = header.resolution_ppcm or _UNKNOWN_PPCM
    if header.resolution_ppcm:
        across, down = across * width / header.width, down * height / header.height
    block[Tag.XResolution], block[Tag.YResolution] = across, down
    block[Tag.ResolutionUnit] = _CENTIMETRES
    subject, own = said.provenance.descriptive, said.own.exif
    texts = {
        Tag.ImageDescription: own.get(Tag.ImageDescription) or subject.description,
        Tag.Artist: own.get(Tag.Artist) or subject.artist,
        Tag.Copyright: own.get(Tag.Copyright) or subject.copyright,
        Tag.Software: said.provenance.software,
        Tag.DateTime: said.provenance.created_at.strftime("%Y:%m:%d %H:%M:%S"),
    }
    for tag, text in texts.items():
        data = text.encode("utf-8", "replace")
        if 0 < len(data) <= _MAX_EXIF_TEXT_BYTES:  # the rest is in XMP, whole
            block[tag] = data
    if iso_date(date := own.get(Tag.DateTimeOriginal, "")):
        block.get_ifd(IFD.Exif)[Tag.DateTimeOriginal] = date
    return block.tobytes()
