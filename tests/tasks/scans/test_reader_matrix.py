"""Every row of the reader's matrix: a file made for it, read back to the codes that made it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.derivatives.second_reading.tiff import check_directory
from tasks.errors import AutochromeError, Reason, UnreadableScan, UnsupportedFormat
from tasks.scans.findings import examine
from tasks.scans.header import ReadLimits, read_header
from tasks.scans.reader import Scan, open_scan
from tests import scanfiles
from tests.scanfiles import Made, codes_of, photograph


def whole(scan: Scan, rows: int = 256) -> np.ndarray:
    """Put a scan's strips together, and see that they follow one another."""
    strips, below = [], 0
    for top, strip in scan.strips(rows):
        assert top == below
        below += len(strip)
        strips.append(strip)
    return np.concatenate(strips)


@pytest.fixture(params=sorted(scanfiles.READABLE))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """A file of each kind."""
    return scanfiles.READABLE[request.param](tmp_path)


def test_every_kind_is_read_to_its_codes(made: Made) -> None:
    """Geometry, depth and codes are those that were written, whatever the coding and the strips."""
    header = read_header(made.path, page=made.page, limits=ReadLimits())
    assert (header.height, header.width) == made.codes.shape
    assert header.bits == made.bits
    for rows in (256, 17):
        codes = whole(open_scan(made.path, page=made.page), rows)
        assert codes.dtype == made.codes.dtype
        assert codes.shape == made.codes.shape
        difference = np.abs(codes.astype(int) - made.codes.astype(int))
        assert difference.max() <= made.tolerance
        assert difference.mean() <= made.tolerance / 8


def test_every_kind_gives_a_thumbnail_of_the_size_asked_for(made: Made) -> None:
    """The thumbnail is upright, and its lightness is that of the codes, smaller or larger."""
    scan = open_scan(made.path, page=made.page)
    lightness = scan.tone.lightness[made.codes]
    for height, width in ((40, 64), (96, 32), (224, 320)):
        thumbnail = scan.thumbnail(height, width)
        assert thumbnail.shape == (height, width)
        assert thumbnail.dtype == np.float32
        assert abs(thumbnail.mean() - lightness.mean()) < 0.5
        quarters = [thumbnail[: height // 2].mean(), thumbnail[:, : width // 2].mean()]
        rows, columns = lightness.shape
        expected = [lightness[: rows // 2].mean(), lightness[:, : columns // 2].mean()]
        assert np.allclose(quarters, expected, atol=1.0)


def test_every_kind_is_found_fit_to_be_coloured(made: Made) -> None:
    """None is taken for colour, print or blank; none is toned."""
    assert examine(open_scan(made.path, page=made.page)).reason is None


@pytest.mark.parametrize("kind", sorted(scanfiles.REFUSED))
def test_what_must_not_be_coloured_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    """The error has the right class, and a message with a remedy after a semicolon."""
    make, expected = scanfiles.REFUSED[kind]
    path = make(tmp_path)
    with pytest.raises(AutochromeError) as caught:
        examine(open_scan(path))
    assert type(caught.value) is expected
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("page", "pages"), [(0, 3), (1, 3), (2, 3)])
def test_pages_are_counted_without_thumbnails(page: int, pages: int, tmp_path: Path) -> None:
    """A marked thumbnail after each page is no page, and every page knows how many there are."""
    made = scanfiles.READABLE[f"tiff page {page + 1}"](tmp_path)
    header = read_header(made.path, page=page, limits=ReadLimits())
    assert (header.page, header.pages) == (page, pages)


def test_a_page_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A file that lost a page since it was discovered says so."""
    made = scanfiles.READABLE["tiff page 1"](tmp_path)
    with pytest.raises(UnreadableScan, match="has 3 pages, page 4"):
        open_scan(made.path, page=3)


@pytest.mark.parametrize("kind", ["tiff pyramid", "tiff pyramid in sub-ifds"])
def test_a_pyramid_is_one_page(kind: str, tmp_path: Path) -> None:
    """The smaller levels are not pages, marked or not."""
    made = scanfiles.READABLE[kind](tmp_path)
    assert read_header(made.path, limits=ReadLimits()).pages == 1


def test_an_unmarked_pyramid_is_one_page(tmp_path: Path) -> None:
    """Tiled levels that halve each time are a pyramid even where no tag says so."""
    codes = codes_of(photograph(300, 401))
    path = tmp_path / "levels.tif"
    with scanfiles.tifffile.TiffWriter(path) as writer:
        for level in range(3):
            part = codes[:: 2**level, :: 2**level]
            writer.write(part, photometric="minisblack", tile=(32, 32), metadata=None)
    assert read_header(path, limits=ReadLimits()).pages == 1


@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_a_smaller_page_is_a_page(tile: tuple[int, int] | None, tmp_path: Path) -> None:
    """Another picture of half the size, tiled or not, is not dropped for being smaller."""
    path = tmp_path / "pages.tif"
    with scanfiles.tifffile.TiffWriter(path) as writer:
        for level in range(2):
            codes = codes_of(photograph(300 >> level, 400 >> level, seed=level))
            writer.write(codes, photometric="minisblack", metadata=None, tile=tile)
    assert read_header(path, limits=ReadLimits()).pages == 2
    assert np.array_equal(whole(open_scan(path, page=1)), codes)


def write_pages(path: Path, pages: list[np.ndarray], kinds: list[int]) -> Path:
    """Write pages with a subfile type each."""
    with scanfiles.tifffile.TiffWriter(path) as writer:
        for page, kind in zip(pages, kinds, strict=True):
            writer.write(page, photometric="minisblack", metadata=None, subfiletype=kind)
    return path


@pytest.mark.parametrize("tile", [None, (64, 64)])
@pytest.mark.parametrize("is_first", [True, False])
def test_another_picture_is_a_page_though_marked_as_reduced(
    tile: tuple[int, int] | None, is_first: bool, tmp_path: Path
) -> None:
    """A mark is a hint: what it stands at is compared; so does the gate, which reads it again."""
    marked, scan = codes_of(photograph(210, 280, seed=3)), codes_of(photograph(420, 560, seed=4))
    given = [(marked, 1), (scan, 0)] if is_first else [(scan, 0), (marked, 1)]
    path = tmp_path / "marked.tif"
    with scanfiles.tifffile.TiffWriter(path) as writer:
        for codes, kind in given:
            writer.write(
                codes, photometric="minisblack", metadata=None, tile=tile, subfiletype=kind
            )
    for number, (codes, _) in enumerate(given):
        opened = open_scan(path, page=number)
        assert opened.header.pages == 2
        assert np.array_equal(whole(opened), codes)
        with scanfiles.tifffile.TiffFile(path) as file:
            check_directory(file, number, opened.directory)


_APERIO = "Aperio Image Library v11.2.1\r\n"
#: What else lies in a slide's file, as its writers describe it: by subfile type and description.
_BESIDE = {
    "label": (1, _APERIO + "label 120x200"),
    "macro": (9, _APERIO + "macro 200x120"),
    "macro by its type": (9, ""),
    "unmarked": (0, _APERIO + "label 120x200"),
}


@pytest.mark.parametrize("kind", _BESIDE)
def test_what_a_slide_s_file_calls_its_label_or_macro_picture_is_no_page(
    kind: str, tmp_path: Path
) -> None:
    """They show something else than the slide, and are no scans; its levels are none, too."""
    subfile, description = _BESIDE[kind]
    slide, beside = codes_of(photograph(420, 560, seed=4)), codes_of(photograph(120, 200, seed=5))
    path = tmp_path / "slide.svs"
    plain = {"photometric": "minisblack", "metadata": None}
    with scanfiles.tifffile.TiffWriter(path) as writer:
        about = _APERIO + "560x420 (64x64) JPEG/RGB Q=30|AppMag = 20"
        writer.write(slide, **plain, tile=(64, 64), description=about)
        writer.write(slide[::4, ::4], **plain, description=_APERIO + "560x420 -> 140x105 - |")
        writer.write(beside, **plain, subfiletype=subfile, description=description)
    assert read_header(path, limits=ReadLimits()).pages == 1
    assert np.array_equal(whole(open_scan(path)), slide)


@pytest.mark.parametrize("subfile", [0, 1])
@pytest.mark.parametrize("description", ["", "The label on its back", "macro 9x9, no slide's"])
def test_another_picture_whose_caption_speaks_of_labels_is_a_page(
    description: str, subfile: int, tmp_path: Path
) -> None:
    """Words count only as slides' files have them."""
    front, back = codes_of(photograph(420, 560, seed=4)), codes_of(photograph(210, 280, seed=5))
    path = tmp_path / "print.tif"
    with scanfiles.tifffile.TiffWriter(path) as writer:
        writer.write(front, photometric="minisblack", metadata=None)
        writer.write(
            back,
            photometric="minisblack",
            metadata=None,
            subfiletype=subfile,
            description=description,
        )
    assert read_header(path, limits=ReadLimits()).pages == 2
    assert np.array_equal(whole(open_scan(path, page=1)), back)


def _between_bars(codes: np.ndarray) -> np.ndarray:
    return np.pad(codes, ((60, 60), (0, 0)))


@pytest.mark.parametrize(
    "view",
    [
        np.rot90,
        np.invert,
        _between_bars,
        lambda codes: codes[:, 30:-30],
        lambda codes: codes[10:, :-10],
        lambda codes: np.full_like(codes, 90),
        lambda codes: codes[:40, :44],
    ],
    ids=["turned", "negative", "between bars", "its middle", "a part", "even", "tiny piece"],
)
def test_a_marked_thumbnail_of_any_kind_is_none(
    view: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    """Programs make them as they like; and in what shows nothing, the mark is believed."""
    scan = codes_of(photograph(480, 640, seed=4))
    small = np.ascontiguousarray(view(scan[::2, ::2]))
    path = write_pages(tmp_path / "marked.tif", [scan, small], [0, 1])
    assert open_scan(path).header.pages == 1


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_mark_of_dng_alone_makes_no_raw_data(is_cut: bool, tmp_path: Path) -> None:
    """Some tools copy all tags; but where raw data may lie in what is cut off, it is believed."""
    codes = codes_of(photograph())
    path = tmp_path / "a.tif"
    tags = [(50706, 1, 4, b"\1\4\0\0", True)]
    with scanfiles.tifffile.TiffWriter(path) as writer:
        writer.write(
            codes, photometric="minisblack", metadata=None, extratags=tags, subifds=int(is_cut)
        )
        if is_cut:
            writer.write(codes, photometric="cfa", metadata=None)
    if is_cut:
        with scanfiles.tifffile.TiffFile(path) as file:
            place = file.pages[0].tags[330].value[0]
        path.write_bytes(path.read_bytes()[:place])
        with pytest.raises(UnsupportedFormat, match="raw"):
            open_scan(path)
    else:
        assert np.array_equal(whole(open_scan(path)), codes)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("kinds", [(0, 0), (1, 1)])
def test_the_same_picture_smaller_is_a_thumbnail(
    kinds: tuple[int, int], is_first: bool, tmp_path: Path
) -> None:
    """Before or after the scan, with other tone and depth, marked as nothing or both as reduced."""
    codes = codes_of(photograph(360, 480), 16)
    small = np.rint(255 * (codes[::5, ::5] / 65535) ** 0.6).astype(np.uint8)
    pages = [small, codes] if is_first else [codes, small]
    path = write_pages(tmp_path / "thumbnail.tif", pages, list(kinds))
    assert read_header(path, limits=ReadLimits()).pages == 1
    assert np.array_equal(whole(open_scan(path)), codes)


def test_pages_that_are_all_marked_as_reduced_are_pages(tmp_path: Path) -> None:
    """A mark that all of them bear says nothing."""
    pages = [codes_of(photograph(200, 300, seed=n)) for n in range(3)]
    path = write_pages(tmp_path / "marked.tif", pages, [1, 1, 1])
    for number, codes in enumerate(pages):
        assert read_header(path, page=number, limits=ReadLimits()).pages == 3
        assert np.array_equal(whole(open_scan(path, page=number)), codes)


def test_thumbnails_of_several_pages_are_told_from_them(tmp_path: Path) -> None:
    """Thumbnails behind all pages are each found to be one of them, and another page is not."""
    pages = [codes_of(photograph(240, 320, seed=n)) for n in range(3)]
    other = codes_of(photograph(60, 80, seed=7))
    path = write_pages(
        tmp_path / "many.tif", [*pages, *(page[::4, ::4] for page in pages), other], [0] * 7
    )
    assert read_header(path, limits=ReadLimits()).pages == 4
    assert np.array_equal(whole(open_scan(path, page=3)), other)


def test_grey_in_rgb_under_a_profile_keeps_its_codes_exactly(tmp_path: Path) -> None:
    """Equal channels are the code, whatever the profile says of colour."""
    codes = codes_of(photograph(), 16)
    stored = np.repeat(codes[..., None], 3, axis=2)
    profile = scanfiles.srgb()
    tag = [(scanfiles.ICC_TAG, 7, len(profile), profile, True)]
    path = scanfiles.write_tiff(tmp_path / "p.tif", stored, photometric="rgb", extratags=tag)
    assert np.array_equal(whole(open_scan(path)), codes)


def test_a_cast_of_one_code_moves_lightness_by_less_than_one_code(tmp_path: Path) -> None:
    """Where the channels differ by a code, as after JPEG, the grey code lies between them."""
    codes = codes_of(photograph()[..., None].repeat(3, axis=2))
    cast = np.clip(codes.astype(int) + np.array([1, 0, -1]), 0, 255).astype(np.uint8)
    path = scanfiles.write_tiff(tmp_path / "cast.tif", cast, photometric="rgb")
    found = whole(open_scan(path)).astype(int)
    assert (found >= cast.min(axis=2)).all()
    assert (found <= cast.max(axis=2)).all()


@pytest.mark.parametrize("kind", ["sepia", "cyanotype"])
def test_a_toned_print_is_read_by_its_lightness(kind: str, tmp_path: Path) -> None:
    """Codes mean the L* of the toned pixels, and the finding says that the print is toned."""
    pixels = scanfiles.toned(photograph(), kind)
    path = scanfiles.write_tiff(tmp_path / "t.tif", pixels, photometric="rgb")
    scan = open_scan(path)
    assert examine(scan).reason is Reason.TONED
    picture = scanfiles.pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    expected = picture.icc_import(input_profile="srgb", pcs="lab").numpy()[..., 0]
    found = scan.tone.lightness[whole(scan)]
    # Half a code of 8 bits is up to 0.25 L*; the engine's own rounding adds a little.
    assert np.abs(found - expected).max() < 0.3


def test_reading_a_tiff_never_loads_pillow(tmp_path: Path) -> None:
    """Pillow clips 16-bit grey and does not invert it: it must not even be there."""
    made = scanfiles.READABLE["tiff 16-bit"](tmp_path)
    program = (
        "import sys; from pathlib import Path; from tasks.scans.reader import open_scan; "
        "from tasks.scans.findings import examine; scan = open_scan(Path(sys.argv[1])); "
        "examine(scan); list(scan.strips()); "
        "sys.exit(any(name.split('.')[0] in {'PIL', 'torch', 'prefect'} for name in sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", program, str(made.path)], check=False)
    assert finished.returncode == 0


def test_no_module_of_the_reader_imports_pillow() -> None:
    """The package's source says the same."""
    folder = Path(sys.modules["tasks.scans.reader"].__file__ or "").parent
    for module in folder.rglob("*.py"):
        assert "PIL" not in module.read_text(), module


def test_the_file_is_told_by_its_content(tmp_path: Path) -> None:
    """A PNG that is called a TIFF, with a newline in its name, is a PNG."""
    made = scanfiles.READABLE["png 8-bit"](tmp_path)
    path = made.path.rename(tmp_path / "a [page=3]\nname,fail_on=none.tif")
    assert np.array_equal(whole(open_scan(path)), made.codes)
