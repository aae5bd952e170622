"""The luma splice: luminance bit for bit, and the original byte for byte."""

import contextlib
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.derivatives.jpegfile import FRAMES, JpegLayoutError, parse_jpeg
from tasks.derivatives.restore import restore_original
from tasks.derivatives.splice import coded_data, read_grey_jpeg, splice_luma
from tasks.errors import AutochromeError, FixityMismatch, UnreadableScan, UsageError
from tasks.scans.formats.markers import ADOBE, APP14, DRI
from tests.tasks.derivatives.jpegs import make_grey_jpeg, make_picture, make_spliced

SCANS = Path("../shared/data/scans")


def luma_of(data: bytes) -> np.ndarray:
    """Y′ as libjpeg decodes it, refusing whatever it would warn of."""
    return simplejpeg.decode_jpeg(data, "GRAY")[..., 0]


def assert_spliced(original: bytes, result: bytes) -> None:
    """What holds for every splice."""
    scans = len(parse_jpeg(original).scans)
    assert coded_data(result)[:scans] == coded_data(original)
    np.testing.assert_array_equal(luma_of(result), luma_of(original))
    assert restore_original(result) == original
    with Image.open(io.BytesIO(result)) as opened:
        assert opened.mode == "RGB"
        opened.load()


@st.composite
def exif_blocks(draw: st.DrawFn) -> bytes:
    """An EXIF block with an orientation and a description."""
    exif = Image.Exif()
    exif[0x0112] = draw(st.integers(1, 8))
    exif[0x010E] = draw(st.text(st.characters(codec="ascii"), max_size=40))
    return exif.tobytes()


@st.composite
def grey_files(draw: st.DrawFn) -> bytes:
    """A greyscale JPEG file of any size, process and metadata, with bytes behind its end."""
    icc = draw(st.none() | st.binary(min_size=1, max_size=70_000))
    luma = make_picture(draw(st.integers(1, 70)), draw(st.integers(1, 70)), draw(st.integers(0, 9)))
    coded = make_grey_jpeg(
        luma,
        quality=draw(st.integers(1, 100)),
        progressive=draw(st.booleans()),
        optimize=draw(st.booleans()),
        restart_marker_blocks=draw(st.integers(0, 9)),
        exif=draw(exif_blocks()),
        comment=draw(st.binary(max_size=300)),
        **({"icc_profile": icc} if icc else {}),
    )
    return coded + draw(st.binary(max_size=100))


@settings(deadline=None, max_examples=40)
@given(grey_files())
def test_any_grey_jpeg_splices(original: bytes) -> None:
    """Sizes, qualities, processes, restart intervals and metadata: luminance and restore hold."""
    assert_spliced(original, make_spliced(original, icc=b"profile" * 20_000, xmp=b"<x:xmpmeta/>"))


@pytest.mark.parametrize("factors", [0x22, 0x21, 0x12, 0x44, 0x31])
def test_sampling_factors_of_grey_mean_nothing(factors: int) -> None:
    """Grey files whose one component claims 2 × 2 or odder samples hold the same data units."""
    original = bytearray(make_grey_jpeg(make_picture(45, 61)))
    frame = original.index(b"\xff\xc0")
    original[frame + 11] = factors
    assert_spliced(bytes(original), make_spliced(bytes(original)))


def test_component_id_and_table_ids_may_be_any() -> None:
    """A component called 0, under quantization table 2 and Huffman tables 1."""
    original = bytearray(make_grey_jpeg(make_picture(45, 61)))
    frame, scan = original.index(b"\xff\xc0"), original.index(b"\xff\xda")
    original[original.index(b"\xff\xdb") + 4] = 2
    original[frame + 10], original[frame + 12] = 0, 2
    original[scan + 5], original[scan + 6] = 0, 0x11
    for table, renamed in ((0x00, 0x01), (0x10, 0x11)):
        original[original.index(b"\xff\xc4" + struct.pack(">H", 31 if table == 0 else 181)) + 4] = (
            renamed
        )
    assert_spliced(bytes(original), make_spliced(bytes(original)))


def test_grey_adobe_marker_is_made_to_say_ycbcr() -> None:
    """Photoshop writes transform 0 into grey files: in a colour file that means RGB."""
    plain = make_grey_jpeg(make_picture(40, 40))
    adobe = ADOBE + struct.pack(">HHHB", 100, 0, 0, 0)
    segment = b"\xff\xee" + struct.pack(">H", len(adobe) + 2) + adobe
    jfif_end = 2 + 18
    for original in (
        plain[:jfif_end] + segment + plain[jfif_end:],
        plain[:2] + segment + plain[jfif_end:],
        plain[:2] + plain[jfif_end:],
    ):
        result = make_spliced(original)
        assert_spliced(original, result)
        stated = [s for s in parse_jpeg(result).segments if s.marker == APP14]
        assert all(s.payload[11] == 1 for s in stated)
        assert stated or b"JFIF" in result


def test_neutral_chroma_gives_grey_pixels() -> None:
    """128 and 128 in every block: the picture looks as before, in every pixel."""
    original = make_grey_jpeg(make_picture(37, 53), quality=95)
    grey = read_grey_jpeg(original)
    flat = np.full(grey.chroma_size, 128, np.uint8)
    result = splice_luma(grey, (make_grey_jpeg(flat),) * 2, icc_profile=None)
    rgb = np.asarray(Image.open(io.BytesIO(result)))
    np.testing.assert_array_equal(rgb, np.repeat(luma_of(original)[..., None], 3, axis=2))


def test_restarts_end_before_chroma() -> None:
    """The luminance keeps its restart interval, the chroma scans have none."""
    original = make_grey_jpeg(make_picture(64, 64), restart_marker_blocks=3)
    intervals = [s.payload for s in parse_jpeg(make_spliced(original)).segments if s.marker == DRI]
    assert intervals == [b"\0\3", b"\0\0"]


def test_original_survives_edited_metadata() -> None:
    """A tool that adds a comment or drops EXIF does not take the original away."""
    original = make_grey_jpeg(
        make_picture(40, 40), comment=b"box 12", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
    )
    result = make_spliced(original)
    edited = result[:2] + b"\xff\xfe\x00\x07added" + result[2:].replace(b"box 12", b"box 13")
    assert edited != result
    assert restore_original(edited) == original


def test_fill_bytes_and_comments_between_scans_come_back() -> None:
    """Legal oddities: FF before markers, a comment between progressive scans."""
    plain = make_grey_jpeg(make_picture(50, 50), progressive=True)
    second = plain.index(b"\xff\xda", plain.index(b"\xff\xda") + 2)
    original = plain[:second] + b"\xff\xff\xff\xfe\x00\x05abc" + b"\xff\xff" + plain[second:]
    assert_spliced(original, make_spliced(original))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.replace(b"\xff\xc0", b"\xff\xc9", 1), "SOF9"),
        (lambda d: d.replace(b"\xff\xc0", b"\xff\xc3", 1), "SOF3"),
        (lambda d: d.replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c", 1), "12 bits"),
        (lambda d: d[:-2], "without EOI"),
        (lambda d: d[:-40], "without EOI"),
        (lambda d: d[:2] + b"stray" + d[2:], "stray bytes"),
        (lambda d: d[:2] + b"\xff\xe8\x00\x08SPIFF\0" + d[2:], "SPIFF"),
        (lambda d: d[:2] + b"\xff\xcc\x00\x04\x00\x00" + d[2:], "arithmetic"),
        (lambda d: d + bytes(17 << 20), "stand outside"),
        (lambda d: b"\x89PNG" + d, "SOI"),
        (lambda d: d[:2] + b"\xff\xe1\x00\x01", "impossible length"),
    ],
)
def test_what_cannot_be_spliced_is_refused(change: Callable[[bytes], bytes], why: str) -> None:
    """Each with its cause, for the item's story."""
    with pytest.raises(JpegLayoutError, match=why):
        make_spliced(change(make_grey_jpeg(make_picture(40, 40))))


def test_colour_is_refused() -> None:
    """Three components cannot be spliced, even where they hold grey."""
    coded = io.BytesIO()
    Image.new("RGB", (20, 20), (90, 90, 90)).save(coded, "JPEG")
    with pytest.raises(JpegLayoutError, match="3 components"):
        read_grey_jpeg(coded.getvalue())


def test_chroma_of_another_size_is_refused() -> None:
    """A plane that does not belong would decode as garbage: refused before anything is written."""
    grey = read_grey_jpeg(make_grey_jpeg(make_picture(40, 40)))
    wrong = make_grey_jpeg(make_picture(21, 20))
    with pytest.raises(JpegLayoutError, match="does not belong"):
        splice_luma(grey, (wrong, wrong), icc_profile=None)


def test_restore_refuses_what_it_cannot_vouch_for() -> None:
    """No record, a damaged record, changed luminance: an error that says what to do."""
    original = make_grey_jpeg(make_picture(40, 40))
    result = make_spliced(original)
    with pytest.raises(UsageError, match="no record"):
        restore_original(original)
    with pytest.raises(UnreadableScan, match="another copy"):
        restore_original(b"not a file")
    at = result.index(b"AUTOCHROME\0") + 80
    with pytest.raises((UnreadableScan, FixityMismatch)):
        restore_original(result[:at] + bytes(8) + result[at + 8 :])
    at = parse_jpeg(result).scans[0].data_at + 5
    changed = result[:at] + bytes([result[at] ^ 1 or 2]) + result[at + 1 :]
    with pytest.raises((UnreadableScan, FixityMismatch)):
        restore_original(changed)


def test_layout_of_a_baseline_splice_is_the_usual_one() -> None:
    """Tables first, one frame with Y at 2 × 2, three scans: nothing that a decoder rarely meets."""
    parsed = parse_jpeg(make_spliced(make_grey_jpeg(make_picture(40, 40))))
    assert parsed.frame.payload[5] == 3
    assert [parsed.frame.payload[at] for at in (6, 9, 12)] == [1, 2, 3]
    assert [parsed.frame.payload[at] for at in (7, 10, 13)] == [0x22, 0x11, 0x11]
    markers = [s.marker for s in parsed.segments if s.marker < 0xE0]
    assert markers[-3:] == [0xDA] * 3
    assert sum(marker in FRAMES for marker in markers) == 1


def test_real_scans_splice() -> None:
    """A third of the greyscale scans of the sample archive."""
    if not SCANS.is_dir():
        pytest.skip(f"{SCANS} is not there")
    done = 0
    for path in sorted(SCANS.glob("LC-*.jpg"))[::3]:
        original = path.read_bytes()
        assert_spliced(original, make_spliced(original))
        done += 1
    assert done == 20


_BASE = make_grey_jpeg(make_picture(40, 40), restart_marker_blocks=4, comment=b"box 12")
_SPLICED = make_spliced(_BASE)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, len(_BASE) - 1), st.binary(min_size=1, max_size=4), st.integers(0, 40))
def test_damaged_files_are_refused_or_spliced(at: int, junk: bytes, cut: int) -> None:
    """Whatever bytes are overwritten or missing: taken apart, or refused with a cause."""
    damaged = _BASE[:at] + junk + _BASE[at + len(junk) : len(_BASE) - cut]
    try:
        grey = read_grey_jpeg(damaged)
    except JpegLayoutError:
        return
    assume(grey.width * grey.height < 1_000_000)
    flat = make_grey_jpeg(np.full(grey.chroma_size, 128, np.uint8))
    result = splice_luma(grey, (flat, flat), icc_profile=None)
    assert restore_original(result) == damaged


@settings(deadline=None, max_examples=100)
@given(st.integers(0, len(_SPLICED) - 1), st.binary(min_size=1, max_size=4))
def test_restore_gives_the_original_or_says_why_not(at: int, junk: bytes) -> None:
    """Never anything else than the original, whatever happened to the spliced file."""
    damaged = _SPLICED[:at] + junk + _SPLICED[at + len(junk) :]
    with contextlib.suppress(AutochromeError):
        assert restore_original(damaged) == _BASE
