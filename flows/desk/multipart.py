"""Forms with files, as browsers send them without scripts: multipart/form-data (RFC 7578)."""

import re
from dataclasses import dataclass
from email.message import Message

from tasks.errors import UsageError

_MOST_PARTS = 250
_PARAMETER = re.compile(r'; (name|filename)="([^"]*)"')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{1,70}")


@dataclass(frozen=True)
class Part:
    """A field of a form; a file where it has a file's name."""

    name: str
    filename: str
    content: bytes


def read_parts(content_type: str, body: bytes) -> list[Part]:
    """Read a body.

    Raises:
        UsageError: It is none, is cut off, or has too many parts.
    """
    said = Message()
    said["content-type"] = content_type
    boundary = str(said.get_param("boundary", ""))
    if not _BOUNDARY.fullmatch(boundary):
        raise UsageError("the form does not say where its fields end")
    mark = b"--" + boundary.encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + mark, _MOST_PARTS + 2)
    if len(pieces) > _MOST_PARTS + 2:  # what comes before the first, and after the last
        raise UsageError(f"more than {_MOST_PARTS} fields and files at once")
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise UsageError("the form is cut off: send it again")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, separator, content = piece.partition(b"\r\n\r\n")
    if not separator:
        raise UsageError("the form cannot be read")
    said = dict(_PARAMETER.findall(head.decode("utf-8", "replace")))
    # Browsers write a quote within a name as URLs do.
    name, filename = (said.get(one, "").replace("%22", '"') for one in ("name", "filename"))
    return Part(name, filename, content)
