"""Access copies and thumbnails: JPEG made from a written colour file, streaming, by libvips."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyvips

from tasks.derivatives.policy import OutputPolicy, Said
from tasks.derivatives.segments import insert_segments, iptc_segments, xmp_segments
from tasks.scans.formats import exif
from tasks.scans.header import ScanHeader

#: libjpeg refuses longer sides.
MAX_JPEG_PX = 65_500

_THUMBNAIL_QUALITY = 85

#: Sides of a reduced copy divide by this: JPEG has no pyramid, but decoders give a half, a quarter
#: and an eighth of it for a fraction of the time, and there IIIF's sizes are whole numbers. Where
#: they are not, servers round one way and viewers another, and tiles at the edge are off by one.
_WHOLE_PX = 8

#: How much smaller than allowed a copy may be for that: nearly every shape has such a size here.
_LEAST_SHARE = 0.8

#: What EXIF says a resolution is where none is known (CIPA DC-008, XResolution), in pixels a cm.
_UNKNOWN_PPCM = (72 / 2.54, 72 / 2.54)

# libvips tells why it failed in words alone: with less room than this, the disk is full.
_ROOM_BYTES = 1 << 20


def write_access(
    source: Path, path: Path, *, header: ScanHeader, policy: OutputPolicy, said: Said
) -> None:
    """Write a plain interleaved JPEG of a colour file, in its profile, upright.

    Args:
        source: The file; a JPEG only where the copy is smaller.
        path: The file to write.
        header: The scan's, for its size.
        policy: Decides size, quality and subsampling.
        said: What goes into EXIF and XMP.

    Raises:
        OSError: The file cannot be written.
    """
    if is_whole(header, policy):
        image = _opened(source)
    else:
        height, width = reduced_size(header.height, header.width, _longest(policy))
        image = pyvips.Image.thumbnail(
            str(source), width, height=height, size="force", fail_on="error"
        )
    image = _eight_bits(image)
    mode = "on" if policy.subsample else "off"
    image = _described(image, header, said)
    _save(image, path, said, quality=policy.jpeg_quality, subsample=mode)


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
    source: Path, path: Path, *, header: ScanHeader, longest_px: int, said: Said
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
    image = pyvips.Image.thumbnail(
        str(source),
        longest_px,
        height=longest_px,
        size="down",
        output_profile="srgb",
        fail_on="error",
    )
    image = _described(_eight_bits(image), header, said)
    _save(image, path, said, quality=_THUMBNAIL_QUALITY, subsample="auto")


def _longest(policy: OutputPolicy) -> int:
    return min(policy.access_px or MAX_JPEG_PX, MAX_JPEG_PX)


def _opened(source: Path) -> pyvips.Image:
    pyvips.cache_set_max(0)  # a streaming image is read once; a cached one would be found used up
    return pyvips.Image.new_from_file(str(source), access="sequential", fail_on="error")


def _eight_bits(image: pyvips.Image) -> pyvips.Image:
    """Codes of 16 bits as the nearest of 8, under the same profile."""
    if image.format != "ushort":
        return image
    nearest = (image + 128) // 257
    return nearest.cast("uchar").copy(interpretation="srgb")


def _save(image: pyvips.Image, path: Path, said: Said, *, quality: int, subsample: str) -> None:
    try:
        image.jpegsave(str(path), Q=quality, subsample_mode=subsample)
    except pyvips.Error as error:
        is_full = shutil.disk_usage(path.parent).free < _ROOM_BYTES
        words = " ".join(str(error).split())
        code = errno.ENOSPC if is_full else errno.EIO
        raise OSError(code, f"{path.name} cannot be written: {words}", str(path)) from error
    insert_segments(path, [*xmp_segments(said.packet), *iptc_segments(said.own.iptc)])


def _described(image: pyvips.Image, header: ScanHeader, said: Said) -> pyvips.Image:
    """Put in what the picture says of itself; of its source's metadata only the profile stays.

    The resolution is that at which it is as large on paper as the scan's subject is.
    """
    across, down = header.resolution_ppcm or _UNKNOWN_PPCM
    if header.resolution_ppcm:
        across, down = across * image.width / header.width, down * image.height / header.height
    image = image.copy(xres=across / 10, yres=down / 10)  # metadata belong to this one alone
    for name in image.get_fields():
        if name.startswith(("exif-", "iptc-", "xmp-", "photoshop-", "image-description")):
            image.remove(name)
    for name, text in _exif_texts(said):
        image.set_type(pyvips.GValue.gstr_type, name, text.replace("\0", "; "))
    return image


def _exif_texts(said: Said) -> Iterator[tuple[str, str]]:
    """What stands in EXIF: the scan's own words, where it has them there."""
    subject, own = said.provenance.descriptive, said.own.exif
    texts = {
        "exif-ifd0-ImageDescription": own.get(exif.DESCRIPTION) or subject.description,
        "exif-ifd0-Artist": own.get(exif.ARTIST) or subject.artist,
        "exif-ifd0-Copyright": own.get(exif.COPYRIGHT) or subject.copyright,
        "exif-ifd0-Software": said.provenance.software,
        "exif-ifd0-DateTime": said.provenance.created_at.strftime("%Y:%m:%d %H:%M:%S"),
        "exif-ifd2-DateTimeOriginal": own.get(exif.DATE_ORIGINAL, ""),
    }
    return ((name, text) for name, text in texts.items() if text)
