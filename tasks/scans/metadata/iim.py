"""IPTC's Information Interchange Model (IIM 4.2): datasets, and the characters they are in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tasks.scans.formats.exif import UNSURE, decode_text, is_certain

#: A bound: catalogues write some dozens.
MAX_DATASETS = 10_000

_MARK = (1, 90)  # which characters the records are in
_UTF8 = b"\x1b%G"
_PREVIEW = frozenset({(2, 125), (2, 200), (2, 201), (2, 202)})  # pictures, not text
_VERSION = (2, 0)

# ISO 2022's announcements of the parts of ISO 8859, by their last letter.
_LATIN = {
    "A": "iso8859-1", "B": "iso8859-2", "C": "iso8859-3", "D": "iso8859-4", "F": "iso8859-7",
    "G": "iso8859-6", "H": "iso8859-8", "L": "iso8859-5", "M": "iso8859-9", "V": "iso8859-10",
    "b": "iso8859-15",
}  # fmt: skip
_ANNOUNCED = re.compile(rb"\x1b[-./]([A-Za-z])$")

Dataset = tuple[int, int]


@dataclass(frozen=True)
class Records:
    """What the datasets say.

    Attributes:
        datasets: Record, number and bytes, in their order.
        notes: What is odd, a sentence each, without a subject.
        unread: What could not be read, the same.
    """

    datasets: tuple[tuple[Dataset, bytes], ...] = ()
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def is_stub(self) -> bool:
        """Whether nothing is said of the picture."""
        return all(key in {_MARK, _VERSION} or key[0] != 2 for key, _ in self.datasets)

    @cached_property  # it is asked for at each text
    def coding(self) -> str:
        """Python's name of the coding that the records announce; empty for none or an unknown."""
        mark = next((body for key, body in self.datasets if key == _MARK), b"").strip()
        if mark == _UTF8 or mark in {b"\x1b%/G", b"\x1b%/H", b"\x1b%/I"}:
            return "utf-8"
        found = _ANNOUNCED.search(mark)
        return _LATIN.get(found[1].decode(), "") if found else ""

    def texts(self) -> dict[int, tuple[str, ...]]:
        """The texts of record 2, which is about the picture, by the number of the dataset."""
        found: dict[int, list[str]] = {}
        for key, body in self.datasets:
            if key[0] == 2 and key != _VERSION and key not in _PREVIEW:
                text = self._decoded(body).strip("\0 \r\n")
                if text:
                    found.setdefault(key[1], []).append(text)
        return {number: tuple(texts) for number, texts in found.items()}

    def _decoded(self, body: bytes) -> str:
        """By the announced coding; where it is none, or is wrong of these bytes, by their form."""
        try:
            return body.decode(self.coding) if self.coding else decode_text(body)
        except UnicodeDecodeError:
            return decode_text(body)


def read_records(data: bytes) -> Records:
    """Read datasets, in whichever byte order a TIFF's tag of LONGs has turned them."""
    if data[:1] != b"\x1c" and data[3:4] == b"\x1c":
        data = _turned(data)
    datasets: list[tuple[Dataset, bytes]] = []
    position = 0
    while position < len(data) and data[position] == 0x1C:
        if len(datasets) >= MAX_DATASETS:
            return Records(tuple(datasets), unread=(f"holds over {MAX_DATASETS:,} datasets",))
        key, size, start = _head(data, position)
        body = data[start : start + size]
        if start > len(data) or len(body) < size:
            return _oddities(Records(tuple(datasets), unread=(f"ends within {_named(key)}",)))
        datasets.append((key, body))
        position = start + size
    rest = data[position:].strip(b"\0 \r\n")
    unread = (f"holds no dataset at byte {position:,}; what follows was not read",) if rest else ()
    return _oddities(Records(tuple(datasets), unread=unread))


def write_records(records: Records) -> bytes:
    """The datasets as bytes, in their own coding."""
    return b"".join(_written(key, body) for key, body in records.datasets)


def join_records(places: Sequence[Records]) -> Records:
    """Join what several places hold: what the first says stands, the others fill what it lacks.

    What is joined of more than one is in UTF-8, and says so.
    """
    telling = [one for one in places if not one.is_stub] or list(places[:1])
    if len(telling) == 1:
        return telling[0]
    joined: dict[Dataset, list[bytes]] = {_MARK: [_UTF8]}
    for one in telling:
        here: dict[Dataset, list[bytes]] = {}
        for key, body in one.datasets:
            here.setdefault(key, []).append(_as_utf8(one, key, body))
        joined = {**here, **joined}
    ordered = sorted(joined.items())
    return Records(tuple((key, body) for key, bodies in ordered for body in bodies))


def _as_utf8(records: Records, key: Dataset, body: bytes) -> bytes:
    if key[0] != 2 or key == _VERSION or key in _PREVIEW:
        return body
    return records._decoded(body).encode()


def _turned(data: bytes) -> bytes:
    """Turn each four bytes round: libtiff's LONGs, of a file of the other byte order."""
    return b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))


def _head(data: bytes, position: int) -> tuple[Dataset, int, int]:
    """A dataset's name, its size, and where it begins; a size of over 15 bits is written longer."""
    head = data[position : position + 5].ljust(5, b"\0")
    size, start = int.from_bytes(head[3:5], "big"), position + 5
    if size & 0x8000:
        digits = size & 0x7FFF
        size, start = int.from_bytes(data[start : start + min(digits, 8)], "big"), start + digits
    return (head[1], head[2]), size, start


def _written(key: Dataset, body: bytes) -> bytes:
    size = len(body).to_bytes(2, "big") if len(body) < 0x8000 else b"\x80\x04"
    more = b"" if len(body) < 0x8000 else len(body).to_bytes(4, "big")
    return bytes((0x1C, *key)) + size + more + body


def _oddities(records: Records) -> Records:
    """Say what is odd about its characters; what may be another text is unread."""
    texts = [body for key, body in records.datasets if key[0] == 2 and key not in _PREVIEW]
    wide = [body for body in texts if not body.isascii()]
    if records.coding:
        try:
            [body.decode(records.coding) for body in wide]
        except UnicodeDecodeError:
            fault = f"announces {records.coding} and holds bytes that are none"
            return replace(records, unread=(*records.unread, fault))
    elif not all(is_certain(body) for body in wide):
        return replace(records, unread=(*records.unread, UNSURE))
    elif wide:
        note = "does not say which characters it is in; it is UTF-8 by the form of its bytes"
        return replace(records, notes=(note,))
    return records


def _named(key: Dataset) -> str:
    return f"dataset {key[0]}:{key[1]:02d}"
