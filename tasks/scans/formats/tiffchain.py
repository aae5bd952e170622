"""The directories of a TIFF: which are there, and which of them are pages.

Geometry is no meaning, and a mark is a hint: a smaller directory is a thumbnail or a pyramid's
level where it shows the same picture, and a page where it shows another.
"""

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tasks.errors import AutochromeError, TruncatedScan, UnreadableScan
from tasks.scans.formats import tags
from tasks.scans.formats.ifd import Directory, Layout, read_directory, read_layout
from tasks.scans.formats.source import ByteSource, damaged
from tasks.scans.resample import resize

MAX_DIRECTORIES = 10_000
_MAX_TAGS = 1_000_000  # of all directories together
_MAX_BELOW, _MAX_NEIGHBOURS = 8, 64  # directories that are looked at besides a page's own
_KEPT = 4  # files whose chains are kept: each of their pages is read for itself

_THUMBNAIL_SCALE = 0.7  # of the larger one's sides, at most; pages of like sizes are not compared
_ASPECT_PX = 1.5  # by which the smaller one's sides may be off, from rounding
_ASPECT_SHARE = 0.02
_MAX_LOOKS = 64  # directories of a file whose pixels are looked at
_MAX_PARTNERS = 32  # larger ones, the nearest in the chain, that one is compared with
_SAME_PICTURE = 0.7  # correlation; archive scans, reduced: 0.79 and more, of two pictures 0.55
_FLAT = 1e-3  # deviation of a look, of its range 0 to 1, below which it shows nothing to compare
_BESIDE = re.compile(rb"(label|macro|thumbnail)( \d+x\d+)?", re.IGNORECASE)
_LEAST_PX = 48  # sides below which a mark is believed: so small a picture looks like any other

LOOK_CELLS = 64  #: Rows and columns that a picture is reduced to, to be looked at.
_ROWS = 16  # to which those are reduced in turn where two pictures are compared

Look = NDArray[np.float32]  # (LOOK_CELLS, LOOK_CELLS)
Looker = Callable[[Directory], Look | None]


@dataclass(frozen=True)
class Chain:
    """The directories that can be reached.

    Attributes:
        places: Where they lie.
        pages: The numbers of those that are pages.
        is_raw: Whether they are a camera's.
        ends: Where the data of some ends, the last ones, by their places.
        fault: Why the chain ends before it says so; None where it is whole.
    """

    layout: Layout
    places: tuple[int, ...]
    pages: tuple[int, ...]
    is_raw: bool
    ends: dict[int, int]
    fault: AutochromeError | None


def read_chain(source: ByteSource, look: Looker) -> Chain:
    """Follow the directories, as far as they go; once for each file.

    Args:
        source: The file.
        look: Gives a directory's picture, reduced, in [0, 1]; None where it cannot.

    Raises:
        TruncatedScan: The first one lies beyond the end of the file.
        UnreadableScan: There is none, or the first one is absurd.
    """
    kept = _kept(source.identity) if source.identity else []
    if not kept:
        kept.append(_read(source, look))
    return kept[0]


@lru_cache(maxsize=_KEPT)
def _kept(_identity: Hashable) -> list[Chain]:
    """Where the chain of a file is kept, once it has been followed."""
    return []


def _read(source: ByteSource, look: Looker) -> Chain:
    found: list[Directory] = []
    fault = None
    try:
        for directory in _walk(source):
            found.append(directory)  # noqa: PERF402 -- those before an error count
    except (TruncatedScan, UnreadableScan) as error:
        if not found:
            raise
        fault = error.with_traceback(None)
    is_raw = _are_raw(found, is_whole=fault is None)
    found += _scans_of_thumbnails(found)
    return Chain(
        found[0].layout,
        tuple(one.offset for one in found),
        () if is_raw else tuple(page_numbers(found, look)),
        is_raw,
        {one.offset: data_end(one) for one in found[-_MAX_NEIGHBOURS:]},
        fault,
    )


def _walk(source: ByteSource) -> Iterator[Directory]:
    layout, offset = read_layout(source)
    seen, entries = set[int](), 0
    while offset:
        if offset in seen or len(seen) >= MAX_DIRECTORIES or entries > _MAX_TAGS:
            raise damaged(
                f"the TIFF's chain of directories comes back to byte {offset:,}, or is longer than "
                f"{MAX_DIRECTORIES:,} directories of {_MAX_TAGS:,} tags"
            )
        seen.add(offset)
        directory = read_directory(source, layout, offset)
        entries += len(directory.entries)
        yield directory
        offset = directory.next_offset
    if not seen:
        raise damaged("the TIFF has no directory")


def below(directory: Directory) -> Iterator[Directory]:
    """Read the directories below one, a few of them, that can be read."""
    for place in directory.integers(tags.SUB_IFDS, most=_MAX_BELOW):
        try:
            yield read_directory(directory.source, directory.layout, place)
        except (TruncatedScan, UnreadableScan):  # it is no page's
            continue


def _scans_of_thumbnails(directories: list[Directory]) -> list[Directory]:
    """The unmarked directories that lie below a smaller one, as in DNG: it shows what they are."""
    return [
        one
        for directory in directories[:_MAX_NEIGHBOURS]
        for one in below(directory)
        if not (_is_marked(one) or _is_mask(one))
        and all(own > other for own, other in zip(_size(one), _size(directory), strict=True))
    ]


def data_end(directory: Directory) -> int:
    """Where a directory's values and pixels end, by its own account."""
    ends = [entry.offset + entry.size for entry in directory.entries.values()]
    for starts, sizes in (
        (tags.STRIP_OFFSETS, tags.STRIP_BYTES),
        (tags.TILE_OFFSETS, tags.TILE_BYTES),
    ):
        places, lengths = directory.numbers(starts), directory.numbers(sizes)
        if places.size and places.size == lengths.size:
            ends.append(int((places + lengths).max()))
    return max(ends, default=0)


def _are_raw(directories: list[Directory], *, is_whole: bool) -> bool:
    """Whether there is a camera's raw data among them, beside which all else is a thumbnail.

    A mark of DNG alone says so where raw data may lie in what cannot be read.
    """
    lower = list(below(directories[0]))
    if any(one.integer(tags.PHOTOMETRIC, -1) in tags.RAW for one in (*directories, *lower)):
        return True
    listed = directories[0].entries.get(tags.SUB_IFDS)
    are_all_read = is_whole and (listed is None or listed.count == len(lower))
    return not are_all_read and any(tags.DNG_VERSION in one for one in directories)


def page_numbers(directories: list[Directory], look: Looker) -> list[int]:
    """Tell pages from pyramid levels, masks and thumbnails.

    A mask is none, nor is what a microscope's scanner adds to a slide: a picture of its label, say.
    A picture that is marked as reduced is none, unless all are marked, or it shows another picture
    than any that is not. Of the rest a smaller one is none where it shows the same picture as a
    larger one.
    """
    of_slide = _is_slide(directories[0])
    pictures = [
        n
        for n, directory in enumerate(directories)
        if not _is_mask(directory) and not (n and _is_beside(directory, of_slide=of_slide))
    ]
    unmarked = [n for n in pictures if not _is_marked(directories[n])] or pictures or [0]
    looks: dict[int, Look | None] = {}

    def looked_at(number: int) -> Look | None:
        if number not in looks:
            looks[number] = look(directories[number]) if len(looks) < _MAX_LOOKS else None
        return looks[number]

    def is_another(number: int) -> bool:
        if min(_size(directories[number])) < _LEAST_PX:
            return False
        near = sorted(unmarked, key=lambda one: abs(one - number))[:_MAX_PARTNERS]
        return all(
            is_other_picture(
                looked_at(number),
                looked_at(one),
                aspects=(_aspect(directories[number]), _aspect(directories[one])),
            )
            for one in near
        )

    others = [n for n in pictures if n not in set(unmarked) and is_another(n)]
    candidates = np.array(sorted([*unmarked, *others]))
    sizes = [_size(directories[n]) for n in candidates]
    if len(set(sizes)) == 1:
        return [int(number) for number in candidates]
    measured = np.array(sizes)
    larger = {size: candidates[_may_be_reduced(size, measured)] for size in set(sizes)}
    pages = []
    for number, size in zip(candidates.tolist(), sizes, strict=True):
        nearest = np.argsort(abs(larger[size] - number), kind="stable")[:_MAX_PARTNERS]
        partners = larger[size][nearest].tolist()
        if not any(is_same_picture(looked_at(number), looked_at(one)) for one in partners):
            pages.append(number)
    return pages


def _is_mask(directory: Directory) -> bool:
    is_marked = directory.integer(tags.NEW_SUBFILE_TYPE, 0) & tags.MASK
    return bool(is_marked) or directory.integer(tags.PHOTOMETRIC, -1) == tags.TRANSPARENCY_MASK


def _is_slide(first: Directory) -> bool:
    """Whether a file is a slide's, by the words of those who make such files."""
    description, software = (first.data(tag) or b"" for tag in (tags.DESCRIPTION, tags.SOFTWARE))
    return description.startswith(b"Aperio") or software.startswith(b"Philips DP")


def _is_beside(directory: Directory, *, of_slide: bool) -> bool:
    """Whether the file says that a picture is its slide's label, macro picture or thumbnail.

    The last line of its description does: in Aperio's files as "macro 1280x431", in Philips' alone.
    Of another file it is believed where a mark says so, too.
    """
    if directory.integer(tags.NEW_SUBFILE_TYPE, 0) & tags.BESIDE == tags.BESIDE:
        return True
    if not of_slide and not _is_marked(directory):
        return False
    lines = (directory.data(tags.DESCRIPTION) or b"").rstrip(b"\0 \r\n").splitlines()
    return bool(lines) and _BESIDE.fullmatch(lines[-1].strip()) is not None


def _is_marked(directory: Directory) -> bool:
    kind = directory.integer(tags.NEW_SUBFILE_TYPE, 0)
    return bool(kind & tags.REDUCED) or directory.integer(tags.SUBFILE_TYPE, 0) == 2


def _size(directory: Directory) -> tuple[int, int]:
    return directory.integer(tags.WIDTH, 0), directory.integer(tags.LENGTH, 0)


def _aspect(directory: Directory) -> float:
    width, height = _size(directory)
    return max(width, 1) / max(height, 1)


def _may_be_reduced(size: tuple[int, int], of: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pictures, widths and heights (n, 2), one of this size may be a reduced copy of."""
    width, height = size
    if min(size) < 1:
        return np.zeros(len(of), dtype=np.bool_)
    expected = of[:, 1] * (width / np.maximum(of[:, 0], 1))
    found: NDArray[np.bool_] = width <= _THUMBNAIL_SCALE * of[:, 0]
    return found & (abs(height - expected) <= _ASPECT_PX + _ASPECT_SHARE * expected)


def is_same_picture(one: Look | None, other: Look | None) -> bool:
    """Whether two looks show the same, whatever their tone curves."""
    return one is not None and other is not None and _likeness(one, other) >= _SAME_PICTURE


def is_other_picture(one: Look | None, other: Look | None, *, aspects: tuple[float, float]) -> bool:
    """Whether two looks surely show different things.

    The first may be turned against the other, be its negative, stand between bars, or be a part
    out of the middle: of archive scans such thumbnails are alike by 0.73 and more, others by 0.62.

    Args:
        one: Of a picture that is marked as reduced.
        other: Of one that is not.
        aspects: Width by height of both.
    """
    if one is None or other is None or _centred(one, _ROWS).std() < _FLAT:
        return False
    for turn in range(4):
        view, aspect = np.rot90(one, turn), aspects[0] ** (1 if turn % 2 == 0 else -1)
        inner, part = (_middle(view, aspect / aspects[1]), _middle(other, aspects[1] / aspect))
        for first, second in ((view, other), (inner, other), (view, part)):
            if abs(_likeness(first, second, columns=_ROWS)) >= _SAME_PICTURE:
                return False
    return True


def _middle(look: Look, excess: float) -> Look:
    """Cut the sides off that make a picture wider, or higher, by *excess* than another."""
    cells = max(_ROWS // 2, round(LOOK_CELLS * min(excess, 1 / excess)))
    kept = slice((LOOK_CELLS - cells) // 2, (LOOK_CELLS + cells) // 2)
    return resize(look[:, kept] if excess > 1 else look[kept], LOOK_CELLS, LOOK_CELLS)


def _likeness(one: Look, other: Look, *, columns: int = LOOK_CELLS) -> float:
    """Correlation of two looks; 0 where one shows nothing to compare.

    Means of rows and columns are taken out: margins and lines of text are where they are on any
    page, and would make all pages alike.
    """
    first, second = _centred(one, columns), _centred(other, columns)
    if min(float(first.std()), float(second.std())) < _FLAT:
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _centred(look: Look, columns: int) -> Look:
    look = look.reshape(_ROWS, -1, columns, LOOK_CELLS // columns).mean(axis=(1, 3))
    rows, columns = look.mean(axis=1, keepdims=True), look.mean(axis=0, keepdims=True)
    centred: Look = look - rows - columns + look.mean()
    return centred
