"""Pixels decide: whatever the rest of a file says, whole pixels are read and the rest is noted."""

import struct
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.errors import TruncatedScan, UnreadableScan, UnsupportedFormat
from tasks.scans.formats import tiffchain
from tasks.scans.formats.ifd import Directory, Layout
from tasks.scans.formats.source import ByteSource
from tasks.scans.header import ReadLimits, read_header
from tasks.scans.reader import open_scan
from tests import scanfiles
from tests.scanfiles import codes_of, photograph

FAR = 900_000_000
SHORT, LONG, ASCII, RATIONAL, UNDEFINED = 3, 4, 2, 5, 7
CODES = codes_of(photograph(120, 160))

Entry = tuple[int, int, int, int]  # tag, type, count, value or place


def write_entries(path: Path, entries: list[Entry], *, following: int = 0) -> Path:
    """Write an uncompressed 8-bit TIFF whose directory has just these entries."""
    data = CODES.tobytes()
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(
        head + data + struct.pack("<H", len(entries)) + table + struct.pack("<I", following)
    )
    return path


def plain_entries(changes: dict[int, Entry | None] | None = None) -> list[Entry]:
    """The entries of a plain grey picture, some changed, added or left out."""
    height, width = CODES.shape
    values = {
        256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height,
        279: CODES.size,
    }  # fmt: skip
    found: dict[int, Entry] = {tag: (tag, LONG, 1, value) for tag, value in values.items()}
    for tag, entry in (changes or {}).items():
        found.pop(tag, None)
        if entry:
            found[tag] = entry
    return [found[tag] for tag in sorted(found)]


FAULTS: dict[str, dict[int, Entry | None]] = {
    "private tag beyond the end": {40_000: (40_000, UNDEFINED, 50, FAR)},
    "absurd count of a private tag": {40_000: (40_000, LONG, 0xFFFFFFFF, 8)},
    "xmp beyond the end": {700: (700, 1, 5000, FAR)},
    "profile beyond the end": {34675: (34675, UNDEFINED, 3144, FAR)},
    "iptc beyond the end": {33723: (33723, UNDEFINED, 100, FAR)},
    "description beyond the end": {270: (270, ASCII, 100, FAR)},
    "resolution beyond the end": {282: (282, RATIONAL, 1, FAR), 283: (283, RATIONAL, 1, FAR)},
    "thumbnails beyond the end": {330: (330, LONG, 1, FAR)},
    "exif beyond the end": {34665: (34665, LONG, 1, FAR)},
    "gps beyond the end": {34853: (34853, LONG, 1, FAR)},
    "orientation 0": {274: (274, SHORT, 1, 0)},
    "orientation 9": {274: (274, SHORT, 1, 9)},
    "fill order 0": {266: (266, SHORT, 1, 0)},
    "planes 0": {284: (284, SHORT, 1, 0)},
    "predictor 0": {317: (317, SHORT, 1, 0)},
    "sample format 0": {339: (339, SHORT, 1, 0)},
    "sample format beyond the end": {339: (339, SHORT, 3, FAR)},
    "bytes of strips beyond the end": {279: (279, LONG, 2, FAR)},
    "no photometric sense": {262: None},
    "no compression": {259: (259, SHORT, 1, 0)},
    "no depth": {258: None},
    "no bytes of strips": {279: None},
    "bytes of strips 0": {279: (279, LONG, 1, 0)},
    "rows of strips 0": {278: (278, LONG, 1, 0)},
}
HARMLESS: dict[str, dict[int, Entry | None]] = {
    "resolution as text": {282: (282, ASCII, 4, 0x00323333), 283: (283, ASCII, 4, 0x00323333)},
    "resolution unit 0": {296: (296, SHORT, 1, 0)},
    "no samples a pixel, no rows": {277: None, 278: None},
    "date of 19 bytes": {306: (306, ASCII, 19, 8)},
    "text without NUL": {305: (305, ASCII, 4, 0x64636261)},
    "software of no text": {305: (305, UNDEFINED, 4, 0x64636261)},
    "orientation twice": {274: (274, SHORT, 2, 1)},
    "minimum thrice": {280: (280, SHORT, 3, 8)},
    "depth as bytes": {258: (258, 1, 1, 8)},
    "page number 1": {297: (297, SHORT, 1, 1)},
    "threshholding 0": {263: (263, SHORT, 1, 0)},
    "extra samples of none": {338: (338, SHORT, 0, 0)},
    "tag of an unknown type": {50_001: (50_001, 99, 1, 7)},
}


def pixels_of(path: Path, page: int = 0) -> np.ndarray:
    """All codes of a page."""
    return np.concatenate([strip for _, strip in open_scan(path, page=page).strips()])


@pytest.mark.parametrize("fault", sorted(FAULTS | HARMLESS))
def test_a_tag_that_pixels_do_not_need_decides_nothing(fault: str, tmp_path: Path) -> None:
    """The codes are those that were written; what was odd and mattered is noted."""
    path = write_entries(tmp_path / "odd.tif", plain_entries((FAULTS | HARMLESS)[fault]))
    assert np.array_equal(pixels_of(path), CODES)
    header = read_header(path, limits=ReadLimits())
    assert header.orientation == 1
    if fault in FAULTS:
        assert header.notes or header.unread or open_scan(path).tone_notes


@pytest.mark.parametrize("kind", ["unsorted", "twice"])
def test_the_order_of_tags_decides_nothing(kind: str, tmp_path: Path) -> None:
    """Of a tag that is there twice the first counts, and the order is noted."""
    entries = plain_entries()
    if kind == "unsorted":
        entries = entries[::-1]
    else:
        entries.append((262, SHORT, 1, 0))
    path = write_entries(tmp_path / "order.tif", entries)
    assert np.array_equal(pixels_of(path), CODES)
    assert "out of order" in " ".join(read_header(path, limits=ReadLimits()).notes)


@pytest.mark.parametrize("following", [FAR, 8, 3])
def test_a_chain_that_leads_nowhere_ends_before(following: int, tmp_path: Path) -> None:
    """Beyond the end, into pixels, into the head: the page before is read, and the end noted."""
    path = write_entries(tmp_path / "chain.tif", plain_entries(), following=following)
    assert np.array_equal(pixels_of(path), CODES)
    header = read_header(path, limits=ReadLimits())
    assert header.notes


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({273: (273, LONG, 1, FAR)}, TruncatedScan),
        ({273: (273, LONG, 9, FAR)}, TruncatedScan),
        ({258: (258, SHORT, 3, FAR)}, TruncatedScan),
        ({273: (273, LONG, 1, 0)}, UnreadableScan),
        ({257: (257, LONG, 1, 0)}, UnreadableScan),
        ({257: (257, LONG, 1, 5000)}, UnreadableScan),
        ({262: (262, SHORT, 1, 77)}, UnsupportedFormat),
    ],
)
def test_what_pixels_need_must_be_there(
    changes: dict[int, Entry | None], error: type[Exception], tmp_path: Path
) -> None:
    """Places, sizes and depths that are not there are no matter of notes."""
    with pytest.raises(error):
        open_scan(write_entries(tmp_path / "lacking.tif", plain_entries(changes)))


def test_the_smallest_page_of_many_is_found_in_time(tmp_path: Path) -> None:
    """A chain of absurdly many tags over the same bytes ends, and soon."""
    entries = 4096
    table = struct.pack("<H", entries) + bytes(12 * entries)
    body = bytearray(b"II*\0" + struct.pack("<I", 8) + table * 2)
    body += bytes(60_000)
    for number in range(20_000):
        struct.pack_into("<H", body, 8 + 2 * number, entries)
    path = tmp_path / "hostile.tif"
    path.write_bytes(body)
    start = time.process_time()
    with pytest.raises((UnreadableScan, TruncatedScan, UnsupportedFormat)):
        open_scan(path)
    assert time.process_time() - start < 20


def test_a_chain_is_followed_once_for_all_of_its_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of many pages costs its chain once; one that has changed is followed anew."""
    path, read, followed = tmp_path / "many.tif", tiffchain.read_directory, []

    def counted(source: ByteSource, layout: Layout, offset: int) -> Directory:
        followed.append(offset)
        return read(source, layout, offset)

    def write(pages: int) -> None:
        with tifffile.TiffWriter(path) as writer:
            for number in range(pages):
                writer.write(CODES + np.uint8(number), photometric="minisblack", metadata=None)

    monkeypatch.setattr(tiffchain, "read_directory", counted)
    write(40)
    for page in (0, 17, 39):
        assert read_header(path, page=page, limits=ReadLimits()).pages == 40
        assert np.array_equal(pixels_of(path, page=page), CODES + np.uint8(page))
    assert len(followed) == 40
    write(41)
    assert read_header(path, page=40, limits=ReadLimits()).pages == 41
    assert len(followed) == 81


def test_boxes_within_boxes_are_not_followed_for_ever(tmp_path: Path) -> None:
    """A JP2 whose headers nest 20,000 deep is read, or refused by name."""
    plain = imagecodecs.jpeg2k_encode(CODES, level=0, reversible=True)
    nest = b""
    for _ in range(2000):
        nest = struct.pack(">I", 8 + len(nest)) + b"jp2h" + nest
    at = plain.index(b"jp2c") - 4
    path = tmp_path / "nest.jp2"
    path.write_bytes(plain[:at] + nest + plain[at:])
    assert np.array_equal(pixels_of(path), CODES)


@pytest.mark.parametrize("tail", [b"", bytes(40), struct.pack(">I", 12) + b"xml <a/>", b"\0\0"])
def test_what_follows_an_open_tile_part_decides_nothing(tail: bytes, tmp_path: Path) -> None:
    """The last tile part may leave its length open, whatever comes behind the codestream."""
    data = bytearray(imagecodecs.jpeg2k_encode(CODES, level=0, reversible=True))
    at = data.index(b"\xff\x90") + 6
    data[at : at + 4] = bytes(4)
    path = tmp_path / "open.jp2"
    path.write_bytes(bytes(data) + tail)
    assert np.array_equal(pixels_of(path), CODES)


def test_a_png_that_ends_behind_its_picture_is_whole(tmp_path: Path) -> None:
    """A cut text behind the data, or no end at all, is noted; a cut within the data is none."""
    data = scanfiles.write_png(tmp_path / "a.png", CODES).read_bytes()
    end = data.index(b"IEND") - 4
    for tail in (b"", b"\0\0\1\0tEXtTitle\0Hou"):
        path = tmp_path / "cut.png"
        path.write_bytes(data[:end] + tail)
        assert np.array_equal(pixels_of(path), CODES)
        assert "its picture is whole" in read_header(path, limits=ReadLimits()).notes[0]
    path.write_bytes(data[: end - 9])
    with pytest.raises(TruncatedScan):
        open_scan(path)


def test_components_of_other_depths_are_read(tmp_path: Path) -> None:
    """A JPEG 2000 whose alpha has one bit, which one decoder refuses and the other reads."""
    path = tmp_path / "unequal.jp2"
    path.write_bytes(UNEQUAL_JP2)
    scan = open_scan(path)
    assert (scan.header.channels, scan.header.bits) == (1, 8)
    found = pixels_of(path)
    assert np.array_equal(found, np.add.outer(np.arange(32) * 4, np.arange(32) * 3))


#: 32 × 32 pixels of 8 bits, a ramp, and alpha of 1 bit: by OpenJPEG 2.5.4, without loss.
UNEQUAL_JP2 = bytes.fromhex(
    "ff4fff51002c0000000000200000002000000000000000000000002000000020000000000000000000020701"
    "01000101ff52000c00000001000504040001ff5c00134040484850484850484850484850484850ff5d001401"
    "4008101018101018101018101018101018ff640025000143726561746564206279204f70656e4a5045472076"
    "657273696f6e20322e352e34ff90000a00000000005e0001ff93c7d4020980c3ea028fb408017f045f80c1f3"
    "8387d4060cf6f70b3d8a80c0f90241f38400221877bf037fdd5180c07c2240f9030036a1853f3da6345b10db"
    "80c03a2407c2305fa7c7319dac2940ff7f80ffd9"
)


@pytest.mark.parametrize("tail", [0, 1])
def test_a_jpeg_that_ends_behind_its_picture_is_whole(tail: int, tmp_path: Path) -> None:
    """The decoder wants for no bit: only the end-of-image marker is missing, or half of it."""
    path = scanfiles.write_jpeg(tmp_path / "a.jpg", scanfiles.codes_of(scanfiles.photograph()))
    expected = pixels_of(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 2 + tail])
    scan = open_scan(path)
    assert "its picture is whole" in scan.header.notes[0]
    assert np.array_equal(pixels_of(path), expected)
    for cut in (path.read_bytes()[:-40], progressive(tmp_path)[:-2]):
        path.write_bytes(cut)
        with pytest.raises(TruncatedScan):
            open_scan(path)


def progressive(folder: Path) -> bytes:
    """A JPEG of several scans, of which more may come."""
    codes = scanfiles.codes_of(scanfiles.photograph())
    return scanfiles.write_jpeg(folder / "p.jpg", codes, progressive=True).read_bytes()


def test_a_progressive_jpeg_that_sends_no_last_detail_is_noted(tmp_path: Path) -> None:
    """T.81 allows that, and so ends a file that was cut off and closed again."""
    path = tmp_path / "progressive.jpg"
    Image.fromarray(codes_of(photograph())).save(path, quality=90, progressive=True)
    assert not open_scan(path).header.notes
    data = path.read_bytes()
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[: data.rindex(b"\xff\xc4", 0, last)] + b"\xff\xd9")
    scan = open_scan(path)
    assert sum(len(rows) for _, rows in scan.strips()) == scan.header.height
    assert "do not send all detail" in scan.header.notes[0]


def test_bytes_before_the_first_segment_belong_to_nothing(tmp_path: Path) -> None:
    """Behind the start of the image as between any two segments."""
    path = scanfiles.write_jpeg(tmp_path / "a.jpg", scanfiles.codes_of(scanfiles.photograph()))
    expected, data = pixels_of(path), path.read_bytes()
    path.write_bytes(data[:2] + b"no segment" + data[2:])
    assert "10 bytes between" in open_scan(path).header.notes[0]
    assert np.array_equal(pixels_of(path), expected)


def test_an_orientation_of_no_type_is_noted(tmp_path: Path) -> None:
    """It is taken for absent, and the item's story tells it."""
    path = scanfiles.write_jpeg(tmp_path / "a.jpg", scanfiles.codes_of(scanfiles.photograph()))
    data = path.read_bytes()
    tag = struct.pack("<HHHII", 1, 0x0112, 99, 1, 6)
    body = b"Exif\0\0II*\0\x08\0\0\0" + tag + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    path.write_bytes(data[:2] + segment + data[2:])
    header = open_scan(path).header
    assert header.orientation == 1
    assert "Orientation is of a type that nobody has defined" in header.notes[0]


OF_OTHERS = {
    "options of T.4": 292, "options of T.6": 293, "a colour map": 320, "inks": 332,
    "what samples more are": 338, "tables of JPEG": 347, "coefficients of YCbCr": 529,
    "subsampling of YCbCr": 530, "positions of YCbCr": 531, "reference black and white": 532,
    "parameters of LERC": 50674, "the least number": 340, "the largest number": 341,
}  # fmt: skip


@pytest.mark.parametrize("compression", [None, "lzw", "jpeg"])
@pytest.mark.parametrize("name", OF_OTHERS)
def test_what_other_kinds_of_pixels_need_decides_nothing(
    name: str, compression: str | None, tmp_path: Path
) -> None:
    """Beyond the end, or of a size that nobody means: grey of 8 bits has no need of it."""
    tag = OF_OTHERS[name]
    if (tag, compression) == (347, "jpeg"):
        pytest.skip("which JPEG needs")
    codes = codes_of(photograph(60, 80))
    path = scanfiles.write_tiff(tmp_path / "a.tif", codes, compression=compression)
    expected = pixels_of(path)
    with tifffile.TiffFile(path) as file:
        entries = [
            struct.pack("<HHII", one.code, one.dtype, one.count, one.valueoffset)
            if one.valueoffset > one.offset + 12
            else path.read_bytes()[one.offset : one.offset + 12]
            for one in file.pages[0].tags.values()
            if one.code != tag
        ]
    for kind, count, place in ((3, 100_000, 9), (4, 0xFFFF_FFFF, 8), (3, 0, 0), (5, 3, 8)):
        data = bytearray(path.read_bytes())
        table = sorted([*entries, struct.pack("<HHII", tag, kind, count, place)], key=_tag_of)
        at = len(data) + len(data) % 2
        struct.pack_into("<I", data, 4, at)
        odd = tmp_path / "odd.tif"
        rows = struct.pack("<H", len(table)) + b"".join(table) + bytes(4)
        odd.write_bytes(bytes(data).ljust(at, b"\0") + rows)
        assert np.array_equal(pixels_of(odd), expected), (kind, count)


def _tag_of(entry: bytes) -> int:
    return int.from_bytes(entry[:2], "little")
