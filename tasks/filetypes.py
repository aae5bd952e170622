"""Types of files, in one table: suffixes, media types, and which formats are read."""

import enum
import mimetypes
from pathlib import PurePosixPath

#: By media type, the suffixes in lower case, the usual one first. A scan's own never decides what
#: it is taken for: its content does.
_SUFFIXES = {
    "image/jpeg": (".jpg", ".jpeg", ".jpe"),
    "image/tiff": (".tif", ".tiff"),
    "image/png": (".png",),
    "image/jp2": (".jp2", ".j2k", ".jpx", ".jpf"),
    "video/x-matroska": (".mkv",),
    "video/mp4": (".mp4", ".m4v"),
    "video/quicktime": (".mov",),
    "video/x-msvideo": (".avi",),
    "video/mpeg": (".mpg", ".mpeg"),
    "application/mxf": (".mxf",),
    "application/json": (".json",),
    "application/rdf+xml": (".xmp",),
    "text/plain": (".framemd5",),
}
_MEDIA_TYPES = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes}

#: All suffixes that scans and derivatives usually have.
SUFFIXES = frozenset(_MEDIA_TYPES)


class Format(enum.StrEnum):
    """The formats of pictures that are read."""

    JPEG = "jpeg"
    TIFF = "tiff"
    PNG = "png"
    JP2 = "jp2"

    @property
    def media_type(self) -> str:
        """As HTTP and PREMIS name it."""
        return f"image/{self}"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Those that its files usually have, in lower case, with the dot."""
        return _SUFFIXES[self.media_type]


def media_type_of(name: str) -> str:
    """The media type that a file's name or key stands for."""
    known = _MEDIA_TYPES.get(PurePosixPath(name).suffix.lower())
    return known or mimetypes.guess_type(name)[0] or "application/octet-stream"
