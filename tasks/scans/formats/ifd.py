"""Directories of TIFF 6.0, BigTIFF and EXIF: tables of numbered, typed values.

Read here rather than by a library because the table must be judged before anything trusts it: every
offset is checked against the file's size, and only the tags that are asked for are fetched.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.errors import UnreadableScan
from tasks.scans.formats.source import ByteSource

# Types of TIFF 6.0 section 2, 16-18 of BigTIFF, 129 of EXIF 3.0: NumPy's code for one component.
_COMPONENT = {
    1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "i4",
    11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8", 129: "u1",
}  # fmt: skip
_RATIONAL = {5, 10}
_MAX_ENTRIES = 4096
_MAX_TEXT_BYTES = 1 << 20

Values = NDArray[np.generic]


@dataclass(frozen=True)
class Layout:
    """How a file writes its directories."""

    order: Literal["<", ">"]
    is_big: bool

    def number(self, data: bytes) -> int:
        """Decode an unsigned integer in the file's byte order."""
        return int.from_bytes(data, "little" if self.order == "<" else "big")

    @property
    def word(self) -> int:
        """Bytes of an offset."""
        return 8 if self.is_big else 4


@dataclass(frozen=True)
class Entry:
    """One tag: where its values lie, and how many there are."""

    kind: int
    count: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes that the values take."""
        return component_bytes(self.kind) * self.count


@dataclass(frozen=True)
class Directory:
    """A directory's tags, fetched when asked for."""

    source: ByteSource
    layout: Layout
    entries: dict[int, Entry]
    next_offset: int
    unknown: frozenset[int] = frozenset()  # tags of types that nobody has defined

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries

    def data(self, tag: int, *, limit: int = _MAX_TEXT_BYTES) -> bytes | None:
        """Fetch a tag's bytes; None where it is absent or larger than *limit*."""
        entry = self.entries.get(tag)
        if entry is None or entry.size > limit:
            return None
        return self.source.read(entry.offset, entry.size)

    def values(self, tag: int) -> Values:
        """Fetch a tag's numbers, rationals divided, shape (count,); empty where it is absent."""
        entry = self.entries.get(tag)
        if entry is None:
            return np.empty(0, dtype=np.int64)
        dtype = np.dtype(_COMPONENT[entry.kind]).newbyteorder(self.layout.order)
        found = np.frombuffer(self.source.read(entry.offset, entry.size), dtype=dtype)
        if entry.kind not in _RATIONAL:
            return found
        above, below = found[::2].astype(np.float64), found[1::2].astype(np.float64)
        return np.divide(above, below, out=np.zeros_like(above), where=below != 0)

    def first(self, tag: int) -> float:
        """Fetch the first of a tag's numbers alone, however many it announces.

        Raises:
            TruncatedScan: It lies beyond the end of the file.
        """
        entry = self.entries[tag]
        one = Directory(self.source, self.layout, {tag: replace(entry, count=1)}, 0)
        return float(one.values(tag)[0])

    def integer(self, tag: int, default: int) -> int:
        """Fetch a tag's first number as an integer."""
        found = self.values(tag)
        if not found.size or found.dtype.kind not in "iuf":
            return default
        return int(found[0])

    def text(self, tag: int) -> str:
        """Fetch a tag's text, tolerant of what archives' tools have written there."""
        data = (self.data(tag) or b"").split(b"\0")[0]
        try:
            return data.decode("utf-8").strip()
        except UnicodeDecodeError:
            return data.decode("latin-1").strip()


def component_bytes(kind: int) -> int:
    """Bytes of one value of a TIFF type."""
    return np.dtype(_COMPONENT[kind]).itemsize * (2 if kind in _RATIONAL else 1)


def read_layout(source: ByteSource) -> tuple[Layout, int]:
    """Read the file's first bytes: how directories are written, and where the first one lies."""
    head = source.read(0, 8)
    order: Literal["<", ">"] = "<" if head[:2] == b"II" else ">"
    layout = Layout(order, is_big=False)
    if layout.number(head[2:4]) != 43:
        return layout, layout.number(head[4:8])
    layout = Layout(order, is_big=True)
    return layout, layout.number(source.read(8, 8))


def read_directory(source: ByteSource, layout: Layout, offset: int) -> Directory:
    """Read the table at *offset*; entries of unknown types are passed over, as TIFF 6.0 asks.

    Raises:
        TruncatedScan: The table lies beyond the end of the file.
        UnreadableScan: The table has no, or absurdly many, entries.
    """
    head_bytes, word = (8, 8) if layout.is_big else (2, 4)
    count = layout.number(source.read(offset, head_bytes))
    if not 0 < count <= _MAX_ENTRIES:
        raise UnreadableScan(
            f"the directory at byte {offset:,} announces {count:,} tags (1 to {_MAX_ENTRIES:,} are "
            "believable); rescan, or restore the file from a copy"
        )
    stride = 4 + 2 * word
    start = offset + head_bytes
    table = source.read(start, count * stride)
    entries: dict[int, Entry] = {}
    unknown = set()
    for i in range(count):
        row = table[i * stride : (i + 1) * stride]
        tag, kind = layout.number(row[:2]), layout.number(row[2:4])
        if kind not in _COMPONENT:
            unknown.add(tag)
            continue
        entry = Entry(kind, layout.number(row[4 : 4 + word]), 0)
        inline = start + i * stride + 4 + word
        place = inline if entry.size <= word else layout.number(row[4 + word :])
        entries.setdefault(tag, Entry(kind, entry.count, place))
    end = start + count * stride
    after = layout.number(source.read_up_to(end, word))  # an EXIF block may end before it
    return Directory(source, layout, entries, after, frozenset(unknown))
