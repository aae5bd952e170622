"""Directories of TIFF 6.0, BigTIFF and EXIF: tables of numbered, typed values.

Read here rather than by a library because the table must be judged before anything trusts it: every
offset is checked against the file's size, and only the tags that are asked for are fetched.
"""

import math
import struct
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
_TEXTS = {2, 129}
_RATIONAL = {5, 10}
_SIZES = {
    kind: np.dtype(code).itemsize * (2 if kind in _RATIONAL else 1)
    for kind, code in _COMPONENT.items()
}
_MAX_ENTRIES = 4096
_USUAL_BYTES = 512  # what is read at once: most tables are smaller
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


@dataclass(slots=True)  # not frozen, for there are many: that would take twice the time
class Entry:
    """One tag: where its values lie, and how many there are.

    Attributes:
        inline: The bytes of values so few that the table itself holds them.
    """

    kind: int
    count: int
    offset: int
    inline: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that the values take."""
        return _SIZES[self.kind] * self.count


@dataclass(frozen=True)
class Directory:
    """A directory's tags, fetched when asked for.

    Attributes:
        offset: Where the table begins.
        is_sorted: Whether the tags come in rising order and once each, as TIFF 6.0 asks.
    """

    source: ByteSource
    layout: Layout
    offset: int
    entries: dict[int, Entry]
    next_offset: int
    is_sorted: bool = True
    unknown: frozenset[int] = frozenset()  # tags of types that nobody has defined

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries

    def is_beyond(self, tag: int) -> bool:
        """Whether a tag's values lie beyond the file's end."""
        entry = self.entries[tag]
        return entry.inline is None and entry.offset + entry.size > self.source.size

    def data(self, tag: int, *, limit: int = _MAX_TEXT_BYTES) -> bytes | None:
        """Fetch a tag's bytes; None where it is absent, larger than *limit*, or beyond the end."""
        entry = self.entries.get(tag)
        if entry is None or entry.size > limit or self.is_beyond(tag):
            return None
        return self._bytes(entry)

    def values(self, tag: int, *, most: int | None = None) -> Values:
        """Fetch a tag's numbers, or the first *most*, rationals divided; empty if there are none.

        Raises:
            TruncatedScan: They lie beyond the end of the file.
        """
        entry = self.entries.get(tag)
        if entry is None or entry.kind in _TEXTS:
            return np.empty(0, dtype=np.int64)
        if most is not None:
            entry = replace(entry, count=min(most, entry.count))
        dtype = np.dtype(_COMPONENT[entry.kind]).newbyteorder(self.layout.order)
        found = np.frombuffer(self._bytes(entry), dtype=dtype)
        if entry.kind not in _RATIONAL:
            return found
        above, below = found[::2].astype(np.float64), found[1::2].astype(np.float64)
        return np.divide(above, below, out=np.zeros_like(above), where=below != 0)

    def numbers(self, tag: int) -> NDArray[np.float64]:
        """Fetch a tag's numbers; empty where there are none, too, or they lie beyond the end."""
        if tag in self.entries and self.is_beyond(tag):
            return np.empty(0)
        return self.values(tag).astype(np.float64)

    def integers(self, tag: int, *, most: int | None = None) -> list[int]:
        """Fetch a tag's numbers, or the first *most*, as integers, without what is no number."""
        found = self.numbers(tag)[:most]
        return [int(number) for number in found if math.isfinite(number)]

    def integer(self, tag: int, default: int) -> int:
        """Fetch a tag's first number as an integer."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind in _TEXTS or not entry.count or self.is_beyond(tag):
            return default
        if entry.inline is not None and entry.kind in {1, 3, 4, 7, 13, 16, 18}:
            return self.layout.number(entry.inline[: _SIZES[entry.kind]])
        value = float(self.values(tag, most=1)[0])
        return int(value) if math.isfinite(value) else default

    def _bytes(self, entry: Entry) -> bytes:
        if entry.inline is not None:
            return entry.inline[: entry.size]
        return self.source.read(entry.offset, entry.size)


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

    Of a tag that is there twice, the first counts. A table without its last word ends the chain.

    Raises:
        TruncatedScan: The table lies beyond the end of the file.
        UnreadableScan: The table has no, or absurdly many, entries.
    """
    head_bytes, word = (8, 8) if layout.is_big else (2, 4)
    stride = 4 + 2 * word
    block = source.read_up_to(offset, _USUAL_BYTES)
    if len(block) < head_bytes:
        block = source.read(offset, head_bytes)
    count = layout.number(block[:head_bytes])
    if not 0 < count <= _MAX_ENTRIES:
        raise UnreadableScan(
            f"the directory at byte {offset:,} announces {count:,} tags (1 to {_MAX_ENTRIES:,} are "
            "believable); rescan, or restore the file from a copy"
        )
    end = head_bytes + count * stride
    if len(block) < end + word:
        block = source.read(offset, end) + source.read_up_to(offset + end, word)
    row = f"{layout.order}HH{'Q8s' if layout.is_big else 'I4s'}"
    entries: dict[int, Entry] = {}
    tags = []
    place = offset + head_bytes + 4 + word
    for tag, kind, values, inline in struct.iter_unpack(row, block[head_bytes:end]):
        tags.append(tag)
        size = _SIZES.get(kind)
        if size is not None and tag not in entries:
            if size * values <= word:
                entries[tag] = Entry(kind, values, place, inline)
            else:
                entries[tag] = Entry(kind, values, layout.number(inline))
        place += stride
    after = block[end : end + word]  # an EXIF block may end before it
    return Directory(
        source,
        layout,
        offset,
        entries,
        layout.number(after) if len(after) == word else 0,
        is_sorted=len(set(tags)) == count and sorted(tags) == tags,
        unknown=frozenset(tags) - entries.keys(),
    )
