"""Access copies and thumbnails: JPEG made from a written colour file, streaming, by libvips."""

import errno
import shutil
from pathlib import Path

import pyvips

from tasks.derivatives.policy import OutputPolicy, Said
from tasks.scans.header import ScanHeader

#: libjpeg refuses longer sides.
MAX_JPEG_PX = 65_500

_THUMBNAIL_QUALITY = 85

# libvips tells why it failed in words alone: with less room than this, the disk is full.
_ROOM_BYTES = 1 << 20


def write_access(source: Path, path: Path, *, policy: OutputPolicy, said: Said) -> None:
    """Write a plain interleaved JPEG of a colour TIFF, in its profile.

    Args:
        source: The TIFF.
        path: The file to write.
        policy: Decides size, quality and subsampling.
        said: What goes into EXIF and XMP.

    Raises:
        OSError: The file cannot be written.
    """
    image = _opened(source)
    longest = _longest(policy)
    if max(image.width, image.height) > longest:
        image = pyvips.Image.thumbnail(
            str(source), longest, height=longest, size="down", fail_on="error"
        )
    image = _eight_bits(image)
    mode = "on" if policy.subsample else "off"
    _save(image, path, quality=policy.jpeg_quality, subsample=mode, said=said)


def is_whole(header: ScanHeader, policy: OutputPolicy) -> bool:
    """Whether the access copy has the scan's size."""
    return max(header.width, header.height) <= _longest(policy)


def write_thumbnail(source: Path, path: Path, *, longest_px: int, said: Said) -> None:
    """Write a small JPEG in sRGB of any colour file.

    Args:
        source: The file; its EXIF orientation is applied.
        path: The file to write.
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
    _save(
        _eight_bits(image),
        path,
        quality=_THUMBNAIL_QUALITY,
        subsample="auto",
        said=said,
    )


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


def _save(
    image: pyvips.Image,
    path: Path,
    *,
    quality: int,
    subsample: str,
    said: Said,
) -> None:
    image = _described(image, said)
    try:
        image.jpegsave(str(path), Q=quality, subsample_mode=subsample)
    except pyvips.Error as error:
        is_full = shutil.disk_usage(path.parent).free < _ROOM_BYTES
        words = " ".join(str(error).split())
        code = errno.ENOSPC if is_full else errno.EIO
        raise OSError(code, f"{path.name} cannot be written: {words}", str(path)) from error


def _described(image: pyvips.Image, said: Said) -> pyvips.Image:
    """Put in what the picture says of itself; of its source's metadata only the profile stays."""
    image = image.copy()  # metadata belong to this one alone
    for name in image.get_fields():
        if name.startswith(("exif-", "iptc-", "xmp-", "photoshop-", "image-description")):
            image.remove(name)
    subject = said.provenance.descriptive
    texts = {
        "exif-ifd0-ImageDescription": subject.description,
        "exif-ifd0-Artist": subject.artist,
        "exif-ifd0-Copyright": subject.copyright,
        "exif-ifd0-Software": said.provenance.software,
        "exif-ifd0-DateTime": said.provenance.created_at.strftime("%Y:%m:%d %H:%M:%S"),
    }
    for name, text in texts.items():
        if text:
            image.set_type(pyvips.GValue.gstr_type, name, text.replace("\0", ""))
    image.set_type(pyvips.GValue.blob_type, "xmp-data", said.xmp)
    return image
