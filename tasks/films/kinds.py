"""Which files are films: told by their first bytes and their boxes, never by their names.

What a file is told to be is what FFmpeg is made to read it as: left to itself it would also take
play lists and scripts, which make it open other files, for films.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import TruncatedScan, UnsupportedFormat

HEAD_BYTES = 1024

_BY_START = {
    b"\x1a\x45\xdf\xa3": "matroska",
    b"\0\0\x01\xba": "mpeg",
    b"\0\0\x01\xb3": "mpegvideo",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02": "mxf",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"\0\0\0\x01\x67": "h264",
    b"\0\0\x01\x67": "h264",
    b"\0\0\0\x01\x09": "h264",
    b"\x1f\x07\0": "dv",
    b"FLV\x01": "flv",
    b"OggS": "ogg",
}
_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
#: Brands of boxes that hold pictures, not films.
_PICTURES = {b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1", b"crx "}
_TS_BYTES = 188
#: Which of them say where a time lies, so that reading may begin in their midst.
SEEKABLE = {"matroska", "mov", "avi", "mxf", "mpeg", "mpegts"}


def is_film(file: Path | bytes) -> bool:
    """Whether a file, or what it begins with (`HEAD_BYTES`), is of a kind that films are stored in.

    Raises:
        OSError: The file cannot be opened.
    """
    return kind_of(file) is not None


def kind_of(file: Path | bytes) -> str | None:
    """FFmpeg's name of the container that a file begins as; None where it is none of a film.

    Raises:
        OSError: The file cannot be opened.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            file = opened.read(HEAD_BYTES)
    if file[4:8] in _BOXES:
        return None if file[4:8] == b"ftyp" and file[8:12] in _PICTURES else "mov"
    if file[:4] == b"RIFF" and file[8:12] == b"AVI ":
        return "avi"
    # On Blu-ray and of AVCHD each packet of a transport stream follows four bytes of time.
    for ahead in (0, 4):
        if file[ahead :: _TS_BYTES + ahead][:3] == b"GGG":
            return "mpegts"
    return next((kind for start, kind in _BY_START.items() if file.startswith(start)), None)


def check_whole(path: Path) -> str:
    """Give the kind of a film whose file is as long as it says itself.

    Raises:
        UnsupportedFormat: It is no film.
        TruncatedScan: It ends early.
        OSError: It cannot be read.
    """
    kind = kind_of(path)
    size = path.stat().st_size
    if not size:
        raise TruncatedScan("the file is empty; fetch it again")
    if kind is None:
        raise UnsupportedFormat(
            "no film that is known; Matroska, MOV, MP4, AVI, MXF and MPEG are read"
        )
    stated = max((end for end in _ends(path, kind)), default=size)
    if stated > size:
        raise TruncatedScan(
            f"the film's file ends at byte {size:,}, and says that it has {stated:,}; fetch it "
            "again, or take another copy of it"
        )
    return kind


def _ends(path: Path, kind: str) -> Iterator[int]:
    """Where parts of the file end by their own account."""
    with path.open("rb") as file:
        if kind == "mov":
            at, names = 0, set()
            while len(head := file.read(16)) >= 8:
                size, name = struct.unpack(">I4s", head[:8])
                if size == 1:
                    size = struct.unpack(">Q", head[8:16].ljust(8, b"\0"))[0]
                if size < 8:  # 0: to the end of the file
                    break
                at += size
                names.add(name)
                yield at
                file.seek(at)
            if b"moov" not in names:  # it comes last, as a rule
                raise TruncatedScan(
                    "the film's file ends before its index (no moov box), without which no frame "
                    "is found; fetch it again, or take another copy of it"
                )
        elif kind == "avi":
            yield 8 + struct.unpack("<4xI", file.read(8))[0]
        elif kind == "mxf":  # SMPTE ST 377-1: a partition pack names the last one, the footer
            head = file.read(HEAD_BYTES)
            at = 17 + (head[16] & 0x7F if head[16] & 0x80 else 0) + 24
            yield int.from_bytes(head[at : at + 8], "big")
        elif kind == "matroska":
            head = file.read(HEAD_BYTES)
            at = 4
            for is_segment in (False, True):
                at, size = _ebml_size(head, at + 4 * is_segment)
                at += size
            yield at


def _ebml_size(head: bytes, at: int) -> tuple[int, int]:
    """Where an element's content begins, and its size; 0 where that is left open (RFC 8794, 4)."""
    if at >= len(head) or not head[at]:
        return at, 0
    length = 9 - head[at].bit_length()
    value = int.from_bytes(head[at : at + length], "big") - (1 << 7 * length)
    return at + length, 0 if value == (1 << 7 * length) - 1 else value
