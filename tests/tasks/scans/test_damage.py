"""Damaged and hostile files: an error with a name, never half a picture, never another kind."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.errors import (
    AlreadyColour,
    AutochromeError,
    BlankScan,
    ScanTooLarge,
    TruncatedScan,
    UnreadableScan,
    UnsupportedFormat,
)
from tasks.scans.findings import examine
from tasks.scans.header import ReadLimits, read_header, read_structure
from tasks.scans.reader import open_scan
from tests import scanfiles
from tests.scanfiles import codes_of, photograph

LIMITS = ReadLimits()
ODD_INPUTS = Path(__file__).parents[4] / "shared" / "data" / "odd_inputs"
CODINGS = [
    "tiff 16-bit",
    "tiff lzw",
    "tiff zip",
    "tiff jpeg",
    "tiff pyramid in sub-ifds",
    "tiff page 2",
    "jpeg baseline",
    "jpeg progressive",
    "png 16-bit",
    "jp2 16-bit",
]


def read_whole(path: Path) -> int:
    """Read all that there is to read; give the number of rows."""
    scan = open_scan(path)
    examine(scan)
    return sum(len(strip) for _, strip in scan.strips())


@pytest.mark.parametrize("kind", CODINGS)
def test_a_file_cut_anywhere_is_truncated(kind: str, tmp_path: Path) -> None:
    """At every kilobyte and within its last bytes, the header alone tells.

    Or else its pixels are all there, and what is missing is noted.
    """
    made = scanfiles.READABLE[kind](tmp_path)
    data = made.path.read_bytes()
    expected = pixels_of(made.path, page=made.page)
    step, truncated = max(1024, len(data) // 48), 0
    sizes = [64, *range(1024, len(data), step), len(data) - 9, len(data) - 1]
    for size in sizes:
        path = tmp_path / "cut"
        path.write_bytes(data[:size])
        try:
            notes = read_structure(path, page=made.page, limits=LIMITS).notes
        except TruncatedScan:
            truncated += 1
            continue
        assert notes
        assert np.array_equal(pixels_of(path, page=made.page), expected)
    assert truncated >= len(sizes) // 4


def pixels_of(path: Path, *, page: int = 0) -> np.ndarray:
    """All codes of a page."""
    return np.concatenate([strip for _, strip in open_scan(path, page=page).strips()])


@pytest.mark.parametrize("kind", [*CODINGS, "tiff packbits", "tiff orientation 6", "png palette"])
def test_flipped_bits_end_in_a_picture_or_a_named_error(kind: str, tmp_path: Path) -> None:
    """Whatever bits are wrong, what comes out is a whole picture or an error of ours."""
    data = scanfiles.READABLE[kind](tmp_path).path.read_bytes()
    rng = random.Random(kind)  # noqa: S311 -- the same damage each time
    for attempt in range(12):
        damaged = bytearray(data)
        ends = (len(data), min(len(data), 400))
        for _ in range(rng.choice([1, 3, 9])):
            damaged[rng.randrange(ends[attempt % 2])] ^= 1 << rng.randrange(8)
        path = tmp_path / "flipped"
        path.write_bytes(damaged)
        try:
            rows = read_whole(path)
        except AutochromeError:
            continue
        assert rows == read_header(path, limits=LIMITS).height


@pytest.mark.parametrize("kind", ["tiff zip", "png 8-bit", "jpeg restart markers", "jp2 8-bit"])
def test_damaged_data_is_unreadable_not_half_a_picture(kind: str, tmp_path: Path) -> None:
    """Foreign bytes amid the data are noticed, though the file's structure is whole."""
    path = scanfiles.READABLE[kind](tmp_path).path
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(32) + b"\xff\xa5" * 16
    path.write_bytes(data)
    with pytest.raises(UnreadableScan, match=r"; restore the file from a copy$"):
        read_whole(path)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("height", [96, 97, 103])
def test_data_that_lacks_its_last_rows_is_unreadable(
    mode: str, height: int, tmp_path: Path
) -> None:
    """Only the last row of blocks is gone, and the end of the image was put behind it."""
    path = tmp_path / "short.jpg"
    picture = Image.fromarray(codes_of(photograph(height, 640))).convert(mode)
    picture.save(path, quality=90)
    whole = path.read_bytes()
    assert read_whole(path) == height
    for lost in (40, 200):
        path.write_bytes(whole[: -2 - lost] + b"\xff\xd9")
        with pytest.raises(UnreadableScan, match="the JPEG is damaged"):
            read_whole(path)


def test_a_decoder_that_fails_late_voids_the_strips_before(tmp_path: Path) -> None:
    """The generator raises; a caller that collected strips has no whole picture."""
    path = scanfiles.READABLE["tiff zip"](tmp_path).path
    data = bytearray(path.read_bytes())
    data[-2000:-1900] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(UnreadableScan, match="restore the file from a copy"):
        list(open_scan(path).strips(16))


def bomb_png(side: int) -> bytes:
    """A PNG of a few kilobytes that announces side × side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10000))), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    """A hundred kilobytes that announce a terapixel are not decoded."""
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb_png(1_000_000))
    with pytest.raises(ScanTooLarge, match="1,000,000,000,000 pixels, over the limit of"):
        read_header(path, limits=LIMITS)


@pytest.mark.parametrize("kind", ["tiff 8-bit", "jpeg baseline", "png 8-bit", "jp2 8-bit"])
def test_the_limit_holds_for_every_format(kind: str, tmp_path: Path) -> None:
    """One pixel over the limit is refused, with the setting that raises it; at it, all is well."""
    made = scanfiles.READABLE[kind](tmp_path)
    read_header(made.path, limits=ReadLimits(max_pixels=made.codes.size))
    with pytest.raises(ScanTooLarge, match="AUTOCHROME_MAX_PIXELS"):
        read_header(made.path, limits=ReadLimits(max_pixels=made.codes.size - 1))


@pytest.mark.parametrize("kind", ["jpeg progressive", "png interlaced", "jp2 16-bit"])
def test_what_cannot_be_streamed_has_a_limit_of_its_own(kind: str, tmp_path: Path) -> None:
    """A coding that a decoder must hold whole is bounded by memory, not by pixels alone."""
    made = scanfiles.READABLE[kind](tmp_path)
    with pytest.raises(ScanTooLarge, match="AUTOCHROME_MAX_BUFFER_MB"):
        read_header(made.path, limits=ReadLimits(max_buffer_bytes=made.codes.size))


def test_a_header_that_lies_about_its_size_is_unreadable(tmp_path: Path) -> None:
    """A PNG whose data is for fewer rows than announced gives no picture."""
    path = tmp_path / "lie.png"
    path.write_bytes(bomb_png(3000))
    with pytest.raises(UnreadableScan):
        read_whole(path)


def test_a_jp2_whose_boxes_lie_is_believed_in_its_codestream(tmp_path: Path) -> None:
    """The size is taken from where the pixels are."""
    made = scanfiles.READABLE["jp2 8-bit"](tmp_path)
    data = bytearray(made.path.read_bytes())
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">II", 7, 7)
    made.path.write_bytes(data)
    header = read_header(made.path, limits=LIMITS)
    assert (header.height, header.width) == made.codes.shape


def test_a_chain_of_directories_that_bites_its_tail_ends(tmp_path: Path) -> None:
    """A TIFF whose next directory is itself has the pages before: not damaged, not endless."""
    codes = codes_of(photograph())
    path = scanfiles.write_tiff(tmp_path / "loop.tif", codes)
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    end = first + 2 + 12 * count
    data[end : end + 4] = first.to_bytes(4, "little")
    path.write_bytes(data)
    found = read_structure(path, page=0, limits=LIMITS)
    assert found.pages == 1
    assert "comes back to byte" in found.notes[0]
    assert np.array_equal(pixels_of(path), codes)


def test_a_strip_that_holds_nothing_is_unreadable(tmp_path: Path) -> None:
    """Sparse files leave holes; a hole is no picture."""
    codes = codes_of(photograph())
    path = scanfiles.write_tiff(tmp_path / "hole.tif", codes, rowsperstrip=45)
    data = path.read_bytes()
    with scanfiles.tifffile.TiffFile(path) as tiff:
        offsets = tiff.pages[0].dataoffsets
    listed = b"".join(offset.to_bytes(4, "little") for offset in offsets)
    assert listed in data
    path.write_bytes(data.replace(listed, listed[:4] + bytes(4) + listed[8:]))
    with pytest.raises(UnreadableScan, match="1 of the TIFF's 4 strips hold nothing"):
        read_header(path, limits=LIMITS)


def test_a_directory_with_a_huge_count_asks_for_no_memory(tmp_path: Path) -> None:
    """A count of 4 billion strip offsets is measured against the file, not allocated."""
    path = scanfiles.write_tiff(tmp_path / "count.tif", codes_of(photograph()), rowsperstrip=45)
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 273, 4, 4))
    data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(TruncatedScan):
        read_header(path, limits=LIMITS)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("zero bytes", b"", TruncatedScan),
        ("a few bytes", b"\xff\xd8", UnsupportedFormat),
        ("zeros", bytes(5000), UnsupportedFormat),
        ("text", b"Kasten 14, Mappe 3: fehlt.\n" * 50, UnsupportedFormat),
        ("signature alone", b"II*\0", TruncatedScan),
        ("no directory", b"II*\0\0\0\0\0", UnreadableScan),
        ("jpeg without a frame", b"\xff\xd8\xff\xd9", UnreadableScan),
        ("jpeg of noise", b"\xff\xd8\xff\xe0" + b"\x55" * 4000, TruncatedScan),
        ("png without a header", b"\x89PNG\r\n\x1a\n" + bytes(40), TruncatedScan),
        ("codestream alone", b"\xff\x4f\xff\x51", TruncatedScan),
    ],
)
def test_what_is_no_picture_has_a_name(
    name: str, data: bytes, expected: type[AutochromeError], tmp_path: Path
) -> None:
    """The shortest wrong files there are."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(AutochromeError) as caught:
        read_whole(path)
    assert type(caught.value) in {expected, UnreadableScan}
    assert "; " in str(caught.value)


def test_a_folder_or_nothing_is_an_error_of_the_store(tmp_path: Path) -> None:
    """What cannot be opened is not the scan's fault."""
    for path in (tmp_path, tmp_path / "absent.tif"):
        with pytest.raises(OSError, match=r"directory|No such file"):
            read_header(path, limits=LIMITS)


def test_an_arithmetic_of_colours_under_a_lying_profile(tmp_path: Path) -> None:
    """A grey JPEG with an RGB profile, and the reverse: what it says of neutrals counts."""
    codes = codes_of(photograph())
    grey = scanfiles.write_jpeg(tmp_path / "g.jpg", codes, icc_profile=scanfiles.srgb())
    rgb = np.repeat(codes[..., None], 3, axis=2)
    colour = scanfiles.write_jpeg(tmp_path / "c.jpg", rgb, icc_profile=scanfiles.gray_gamma())
    assert open_scan(grey).tone.source == open_scan(colour).tone.source == "profile"
    assert read_whole(grey) == read_whole(colour) == codes.shape[0]


def test_the_message_of_a_decoder_is_one_printable_line(tmp_path: Path) -> None:
    """Nothing that a file holds reaches a log as a control character."""
    path = scanfiles.READABLE["jpeg restart markers"](tmp_path).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = b"\x1b[2J" * 100
    path.write_bytes(data)
    with pytest.raises(AutochromeError) as caught:
        read_whole(path)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(not ODD_INPUTS.is_dir(), reason="../shared/data/odd_inputs is not there")
def test_every_odd_input_ends_well() -> None:
    """Files from other projects' test suites: a picture, or an error of ours."""
    files = [path for path in sorted(ODD_INPUTS.rglob("*")) if path.is_file()]
    assert files
    outcomes = {}
    for path in files:
        try:
            outcomes[path.name] = type(read_whole(path))
        except AutochromeError as error:
            outcomes[path.name] = type(error)
    assert outcomes["truncated.jpg"] is TruncatedScan
    assert outcomes["astronaut.png"] is AlreadyColour
    assert outcomes["blankpage.svg.png"] is BlankScan
    assert outcomes["cramps.gif"] is UnsupportedFormat
    assert outcomes["camera.png"] is int
