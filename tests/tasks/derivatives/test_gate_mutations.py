"""Each way of misreading a scan, put into the reader: the gate must find every one of them out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.derivatives import gate
from tasks.errors import ToneGateFailed
from tasks.scans import orient, reader
from tasks.scans.code_range import CodeRange
from tasks.scans.formats.structure import Photometric, Structure
from tasks.scans.tone import ColourTone
from tests import scanfiles
from tests.scanfiles import codes_of, photograph, write_tiff
from tests.tasks.derivatives.scanmaker import colour
from tests.tasks.scans import test_tone_rule as tones

Patch = pytest.MonkeyPatch


# Scans -------------------------------------------------------------------------------------------


def grey(bits: int, icc: bytes | None = None, **options: object) -> Callable[[Path], Path]:
    """A TIFF of a depth under a profile."""
    tags = [tones.profile_tag(icc)] if icc else []
    options["extratags"] = [*options.get("extratags", []), *tags]  # type: ignore[misc]
    return lambda folder: write_tiff(folder / "grey.tif", tones.picture(bits), **options)


def dark_linear(folder: Path) -> Path:
    """Sixteen bits, linear, with no code above 4,095."""
    codes = (tones.picture(12) * 0.99).astype(np.uint16)
    tags = [tones.profile_tag(scanfiles.gray_gamma(1.0))]
    return write_tiff(folder / "dark.tif", codes, extratags=tags)


def toned(folder: Path) -> Path:
    """A cyanotype."""
    pixels = scanfiles.toned(photograph(), "cyanotype")
    return write_tiff(folder / "toned.tif", pixels, photometric="rgb")


def two_pages(folder: Path) -> Path:
    """Two photographs of one size."""
    path = folder / "pages.tif"
    with scanfiles.tifffile.TiffWriter(path) as writer:
        for seed in range(2):
            codes = codes_of(photograph(seed=seed))
            writer.write(codes, photometric="minisblack", metadata=None)
    return path


def jpeg(**options: object) -> Callable[[Path], Path]:
    """A greyscale JPEG, which is spliced."""
    return lambda folder: scanfiles.write_jpeg(folder / "g.jpg", tones.picture(8), **options)


def turned(suffix: str) -> Callable[[Path], Path]:
    """A scan that lies on its side."""

    def make(folder: Path) -> Path:
        codes = codes_of(photograph(150, 150))  # a square, so that its size tells nothing
        if suffix == "jpg":
            return scanfiles.write_jpeg(folder / "t.jpg", codes, exif=scanfiles.exif_block(6))
        tag = [(scanfiles.ORIENTATION_TAG, "H", 1, 6, True)]
        return write_tiff(folder / "t.tif", codes, extratags=tag)

    return make


# Misreadings -------------------------------------------------------------------------------------


def structure(**changes: Any) -> Callable[[Patch], None]:  # noqa: ANN401 -- any field
    """The file's structure is taken for another."""

    def mutate(patch: Patch) -> None:
        honest = reader.read_structure

        def lying(path: Path, **named: Any) -> Structure:  # noqa: ANN401
            return replace(honest(path, **named), **changes)

        patch.setattr(reader, "read_structure", lying)

    return mutate


def orientation(turn: int) -> Callable[[Patch], None]:
    """The picture is taken to lie another way."""

    def mutate(patch: Patch) -> None:
        honest = reader.header_of

        def lying(*args: Any, **named: Any) -> Any:  # noqa: ANN401
            return replace(honest(*args, **named), orientation=turn)

        patch.setattr(reader, "header_of", lying)

    return mutate


def statements_without(name: str) -> Callable[[Patch], None]:
    """One statement is overlooked."""

    def mutate(patch: Patch) -> None:
        honest = reader.read_structure

        def lying(path: Path, **named: Any) -> Structure:  # noqa: ANN401
            found = honest(path, **named)
            kept = tuple(one for one in found.statements if not one.name.startswith(name))
            assert len(kept) < len(found.statements)
            return replace(found, statements=kept)

        patch.setattr(reader, "read_structure", lying)

    return mutate


def inverted(patch: Patch) -> None:
    """Black is taken for white."""
    honest = reader.decode_strips

    def lying(*args: object, **named: object) -> Iterator[np.ndarray]:
        for strip in honest(*args, **named):  # type: ignore[arg-type]
            yield np.iinfo(strip.dtype).max - strip

    patch.setattr(reader, "decode_strips", lying)


def ranged(black: int, white: int) -> Callable[[Patch], None]:
    """Other codes are taken for black and white."""
    return lambda patch: patch.setattr(reader, "find_range", lambda *_args: CodeRange(black, white))


def shallow(patch: Patch) -> None:
    """The lower eight bits are lost."""
    honest = reader.decode_strips

    def lying(*args: object, **named: object) -> Iterator[np.ndarray]:
        for strip in honest(*args, **named):  # type: ignore[arg-type]
            yield strip >> 8 << 8

    patch.setattr(reader, "decode_strips", lying)


def shifted(patch: Patch) -> None:
    """Each row is that above it."""
    honest = reader.decode_strips

    def lying(*args: object, **named: object) -> Iterator[np.ndarray]:
        for strip in honest(*args, **named):  # type: ignore[arg-type]
            yield np.roll(strip, 1, axis=0)

    patch.setattr(reader, "decode_strips", lying)


def evenly_weighed(patch: Patch) -> None:
    """Red, green and blue are taken for equally bright."""
    honest = reader.tone_rule

    def lying(found: Structure) -> Any:  # noqa: ANN401
        rule = honest(found)
        third = (1 / 3, 1 / 3, 1 / 3)
        return replace(rule, colour=ColourTone(third, rule.colour.channels, None))

    patch.setattr(reader, "tone_rule", lying)


def badly_turned(patch: Patch) -> None:
    """The turn itself is wrong: to the left where it should be to the right."""
    patch.setattr(orient, "_ROWS_BACKWARDS", {3, 4, 6, 5})
    patch.setattr(orient, "_COLUMNS_BACKWARDS", {2, 3, 8, 5})


@dataclass(frozen=True)
class Misreading:
    """A scan, and a way to misread it."""

    make: Callable[[Path], Path]
    mutate: Callable[[Patch], None]


LINEAR, GAMMA = scanfiles.gray_gamma(1.0), scanfiles.gray_gamma(1.8)
TAGGED_12 = {"extratags": [(scanfiles.MAX_SAMPLE_TAG, "H", 1, 4095, True)]}
MISREADINGS = {
    "sense inverted, 8 bits": Misreading(grey(8), inverted),
    "sense inverted, 16 bits": Misreading(grey(16), inverted),
    "min is white not turned": Misreading(grey(16, photometric="miniswhite"), inverted),
    "white of min-is-white from the wrong end": Misreading(
        grey(12, photometric="miniswhite", **TAGGED_12),
        structure(photometric=Photometric.MIN_IS_BLACK),
    ),
    "12 bits read as 16": Misreading(grey(12, **TAGGED_12), ranged(0, 65535)),
    "10 bits read as 12": Misreading(grey(10), ranged(0, 4095)),
    "16 bits read as 12, linear profile": Misreading(dark_linear, ranged(0, 4095)),
    "16 bits read as 12": Misreading(grey(16), ranged(0, 4095)),
    "16 bits read as 14": Misreading(grey(16), ranged(0, 16383)),
    "wrong white": Misreading(grey(16), ranged(0, 64000)),
    "wrong black": Misreading(grey(8), ranged(4, 255)),
    "lower bits lost": Misreading(grey(16), shallow),
    "profile ignored, TIFF": Misreading(grey(16, GAMMA), structure(icc=None)),
    "profile ignored, 8 bits": Misreading(grey(8, LINEAR), structure(icc=None)),
    "profile ignored, splice": Misreading(jpeg(icc_profile=GAMMA), structure(icc=None)),
    "profile invented": Misreading(grey(16), structure(icc=GAMMA)),
    "profile invented, splice": Misreading(jpeg(), structure(icc=GAMMA)),
    "gAMA ignored": Misreading(
        lambda folder: tones.chunk_file(folder, bits=16, kind="grey", name="gAMA 1.0"),
        statements_without("gAMA"),
    ),
    "gAMA ignored, 8 bits": Misreading(
        lambda folder: tones.chunk_file(folder, bits=8, kind="grey", name="gAMA 0.45455"),
        statements_without("gAMA"),
    ),
    "sRGB chunk ignored": Misreading(
        lambda folder: tones.chunk_file(folder, bits=16, kind="rgb", name="sRGB before gAMA"),
        statements_without("sRGB"),
    ),
    "cICP ignored": Misreading(
        lambda folder: tones.chunk_file(folder, bits=16, kind="grey", name="cICP before iCCP"),
        statements_without("cICP"),
    ),
    "narrow range ignored": Misreading(
        lambda folder: tones.chunk_file(folder, bits=8, kind="rgb", name="cICP of narrow range"),
        statements_without("cICP"),
    ),
    "TransferFunction ignored": Misreading(
        lambda folder: tones.table_file(
            folder, sense="minisblack", bits=16, kind="TransferFunction"
        ),
        statements_without("TransferFunction"),
    ),
    "GrayResponseCurve ignored": Misreading(
        lambda folder: tones.table_file(
            folder, sense="miniswhite", bits=8, kind="GrayResponseCurve"
        ),
        statements_without("GrayResponseCurve"),
    ),
    "EXIF Gamma ignored": Misreading(
        jpeg(exif=tones.exif_of_space(65535, 1.8)), statements_without("EXIF")
    ),
    "turn overlooked, TIFF": Misreading(turned("tif"), orientation(1)),
    "turned the wrong way, TIFF": Misreading(turned("tif"), orientation(8)),
    "mirrored, TIFF": Misreading(turned("tif"), orientation(5)),
    "the turn itself": Misreading(turned("tif"), badly_turned),
    "wrong page": Misreading(two_pages, structure(directory=1)),
    "channels weighed evenly": Misreading(toned, evenly_weighed),
    "a row lower": Misreading(grey(8), shifted),
}


def test_a_scan_that_only_one_reading_can_tell_of_is_doubted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other libraries may lack a codec: the item then waits for a person, and says why."""

    def lacking(*_args: object, **_named: object) -> None:
        raise ValueError("this codec is not here")

    monkeypatch.setattr(gate, "read_again", lacking)
    for make in (grey(16), turned("tif"), jpeg(icc_profile=GAMMA)):
        master = colour(make(tmp_path), tmp_path / "out")[0]
        assert "this codec is not here" in master.tone.doubt
        assert master.note.endswith(master.tone.doubt)
        assert master.tone.passed


@pytest.mark.parametrize("name", MISREADINGS)
def test_a_misreading_is_never_published(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as it is, the scan passes; misread, the gate refuses it, and nothing is left."""
    case = MISREADINGS[name]
    path = case.make(tmp_path)
    honest = colour(path, tmp_path / "honest")[0].tone
    assert (honest.passed, honest.doubt) == (True, "")
    case.mutate(monkeypatch)
    with pytest.raises(ToneGateFailed):
        colour(path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
