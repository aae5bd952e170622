"""Toned prints as archives have them: mounted, aged, stamped, written on, tinted."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from tasks.errors import AlreadyColour, Reason
from tasks.scans.findings import Findings, examine
from tasks.scans.reader import open_scan
from tests import oldprints
from tests.oldprints import AGEING, INKS, MOUNTS, TONES, Picture
from tests.scanfiles import in_colour, photograph, write_png

DATA = Path(__file__).parents[4] / "shared" / "data"

STICKERS = {
    "yellow": (230, 210, 40), "pale yellow": (250, 235, 120), "orange": (240, 150, 30),
    "brown": (120, 70, 30), "red": (190, 30, 40), "cyan": (30, 170, 190), "pink": (240, 150, 170),
}  # fmt: skip


def _print(tone: str, seed: int = 0) -> Picture:
    return oldprints.toned(photograph(480, 640, seed=seed), tone)


def _findings(picture: Picture, tmp_path: Path) -> Findings:
    """Scan it as JPEG, with the noise in its colours."""
    path = tmp_path / "p.jpg"
    codes = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(codes).save(path, "JPEG", quality=85, subsampling=2)
    return examine(open_scan(path))


@pytest.mark.parametrize("tone", TONES)
def test_a_toned_print_is_seen(tone: str, tmp_path: Path) -> None:
    """Of every process, none is colour, and none has islands."""
    found = _findings(_print(tone), tmp_path)
    assert found.reason in {Reason.TONED, None}
    assert not found.islands


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_mount_is_judged_as_a_frame_is(mount: str, tmp_path: Path) -> None:
    """Its card makes no print colour; what is neutral is card, and never the picture."""
    rng = np.random.default_rng(4)
    mounted = oldprints.mounted(_print("sepia"), mount, rng)
    found = _findings(mounted, tmp_path)
    assert found.reason is Reason.TONED
    assert found.picture.area >= 480 * 640 / mounted[..., 0].size - 0.02
    neutral = found.keep_neutral(*mounted.shape[:2])
    assert neutral.mean() == pytest.approx(1 - found.picture.area, abs=0.02)
    if mount != "brown":  # which a sepia print may go over into
        assert neutral.mean() > 0.2


@pytest.mark.parametrize("card", [(60, 90, 66), (90, 26, 34), (232, 190, 196), (28, 36, 74)])
def test_prints_of_several_processes_on_one_page_are_no_colour(
    card: tuple[int, int, int], tmp_path: Path
) -> None:
    """Each is of one tone: an album's page is not skipped unseen. One of colour photographs is."""
    page = np.ones((700, 900, 3)) * np.array(card) / 255
    page += np.random.default_rng(0).normal(0, 0.012, (700, 900, 1))
    coloured = page.copy()
    for number, tone in enumerate(("sepia", "cyanotype", "gold", "sepia")):
        top, left = 40 + 330 * (number // 2), 50 + 430 * (number % 2)
        picture = photograph(290, 370, seed=number)
        page[top : top + 290, left : left + 370] = oldprints.toned(picture, tone)
        coloured[top : top + 290, left : left + 370] = in_colour(picture) / 255
    assert _findings(page, tmp_path).reason in {Reason.NEARLY_COLOUR, Reason.OWN_COLOUR}
    with pytest.raises(AlreadyColour):
        _findings(coloured, tmp_path)


@pytest.mark.parametrize("ageing", AGEING)
def test_ageing_is_no_colour(ageing: str, tmp_path: Path) -> None:
    """Foxing, yellowing, silver and a scanner's fringes are asked about at most."""
    found = _findings(AGEING[ageing](_print("sepia"), np.random.default_rng(2)), tmp_path)
    assert found.reason in {Reason.TONED, Reason.NEARLY_COLOUR, Reason.OWN_COLOUR}


@pytest.mark.parametrize("size", [(1, 40), (2, 300), (40, 1), (2, 2)])
def test_a_strip_of_colour_is_looked_at_too(size: tuple[int, int], tmp_path: Path) -> None:
    """However thin: it is skipped, or somebody looks at it."""
    colours = np.random.default_rng(0).uniform(size=(*size, 3))
    path = write_png(tmp_path / "thin.png", np.rint(colours * 255).astype(np.uint8))
    with contextlib.suppress(AlreadyColour):
        assert examine(open_scan(path)).reason is not None


@pytest.mark.parametrize(
    ("fault", "scene"),
    [("fringed", "camera"), ("moulded", "brick"), ("moulded", "moon")],
)
def test_strong_fringes_and_stains_on_a_grey_print_are_no_colour(
    fault: str, scene: str, tmp_path: Path
) -> None:
    """Channels three pixels apart, and mould of several colours: a person looks."""
    picture = np.repeat(getattr(skimage.data, scene)()[..., None] / 255, 3, axis=2)
    rng = np.random.default_rng(3)
    spoilt = (
        oldprints.fringed(picture, 3) if fault == "fringed" else oldprints.moulded(picture, rng)
    )
    asked = {Reason.NEARLY_COLOUR, Reason.OWN_COLOUR, Reason.TONED}
    assert _findings(spoilt, tmp_path).reason in asked


@pytest.mark.parametrize("ink", INKS)
def test_a_stamp_on_a_grey_photograph_is_named(ink: str, tmp_path: Path) -> None:
    """A grey photograph is not published with the stamp's colour guessed; it is said where."""
    picture = np.repeat(0.25 + 0.7 * photograph(480, 640)[..., None], 3, axis=2)
    found = _findings(oldprints.stamped(picture, ink, np.random.default_rng(5)), tmp_path)
    assert found.reason is Reason.OWN_COLOUR
    assert "from the left" in found.notes[0]
    assert found.own_colour is not None
    assert 0.001 < found.own_colour.mean() < 0.1


@pytest.mark.parametrize("colour", STICKERS)
@pytest.mark.parametrize("size", [0.07, 0.24])
def test_a_sticker_is_named_whatever_its_colour_and_size(
    colour: str, size: float, tmp_path: Path
) -> None:
    """It may be all that there is of its lightness, and strong yellow is no stain."""
    grey = np.repeat(0.7 * photograph(480, 640)[..., None], 3, axis=2)
    stuck = oldprints.stickered(grey, STICKERS[colour], size=size, at=(0.6, 0.65))
    found = _findings(stuck, tmp_path)
    assert found.reason is Reason.OWN_COLOUR
    assert found.own_colour is not None
    height, width = found.own_colour.shape
    assert found.own_colour[round(0.6 * height), round(0.65 * width)]
    assert found.own_colour.mean() == pytest.approx(size * size, abs=0.03)


def test_what_is_too_large_for_an_island_is_asked_about(tmp_path: Path) -> None:
    """No scan with strong colour over a part of it is published unseen, nor only called toned."""
    grey = np.repeat(0.7 * photograph(480, 640)[..., None], 3, axis=2)
    stuck = oldprints.stickered(grey, STICKERS["cyan"], size=0.6, at=(0.5, 0.5))
    assert _findings(stuck, tmp_path).reason is Reason.NEARLY_COLOUR


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("tone", [None, "sepia"])
def test_a_mount_hides_no_sticker(mount: str, tone: str | None, tmp_path: Path) -> None:
    """Neither on it nor on its picture; and it is no island itself."""
    grey = np.repeat(0.05 + 0.8 * photograph(480, 640)[..., None], 3, axis=2)
    picture = _print(tone) if tone else grey
    card = oldprints.mounted(picture, mount, np.random.default_rng(4))
    assert not _findings(card, tmp_path).islands
    stuck = oldprints.stickered(card, INKS["red"], size=0.06, at=(0.96, 0.8))
    stuck = oldprints.stickered(stuck, INKS["blue"], size=0.06, at=(0.5, 0.5))
    found = _findings(stuck, tmp_path)
    assert found.reason is Reason.OWN_COLOUR
    assert len(found.islands) == 2


def test_tinted_cheeks_and_targets_are_named(tmp_path: Path) -> None:
    """On a grey print and on a toned one."""
    rng = np.random.default_rng(1)
    grey = np.repeat(0.4 + 0.4 * photograph(480, 640)[..., None], 3, axis=2)
    assert _findings(oldprints.tinted(grey, rng), tmp_path).reason is Reason.OWN_COLOUR
    beside = oldprints.beside_target(_print("sepia"), rng)
    assert _findings(beside, tmp_path).reason is Reason.OWN_COLOUR


def test_a_mostly_tinted_print_is_never_published_unseen(tmp_path: Path) -> None:
    """Colour is skipped where it is sure; paler versions of it are asked about."""
    picture = photograph(480, 640)
    colour = in_colour(picture) / 255
    grey = np.repeat(picture[..., None], 3, axis=2)
    with pytest.raises(AlreadyColour):
        _findings(colour, tmp_path)
    reasons = []
    for share in (0.5, 0.3, 0.2, 0.12):
        try:
            reasons.append(_findings(grey + share * (colour - grey), tmp_path).reason)
        except AlreadyColour:
            reasons.append(Reason.ALREADY_COLOUR)
    assert None not in reasons
    assert Reason.NEARLY_COLOUR in reasons


def test_a_grey_scan_in_three_channels_has_no_doubts(tmp_path: Path) -> None:
    """Equal channels, or a cast of one code, are grey."""
    codes = np.rint(photograph(480, 640) * 250).astype(np.uint8)
    three = np.stack([codes, codes, codes + 1], axis=2)
    assert examine(open_scan(write_png(tmp_path / "g.png", three))).reason is None


@pytest.mark.skipif(not (DATA / "toned").is_dir(), reason="../shared/data/toned is not there")
@pytest.mark.timeout(600)
def test_no_real_toned_print_is_skipped() -> None:
    """Of every fourth; `tests/bench/judgements.py` sees them all."""
    for path in sorted((DATA / "toned").glob("*.jpg"))[::4]:
        assert examine(open_scan(path)).reason is not None


TARGET = (
    (115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177),
    (103, 189, 170), (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108),
)  # fmt: skip


@pytest.mark.parametrize("tone", ["grey", "sepia"])
@pytest.mark.parametrize("share", [0.12, 0.2, 0.3])
@pytest.mark.parametrize("scene", ["moon", "brick", "camera"])
def test_a_large_colour_target_makes_no_print_colour(
    scene: str, share: float, tone: str, tmp_path: Path
) -> None:
    """Whatever of the rest is taken for a mount: most places are grey, or of the print's tone."""
    grey = getattr(skimage.data, scene)()[::2, ::2] / 255
    picture = np.stack([grey] * 3, axis=2) if tone == "grey" else oldprints.toned(grey, tone)
    width = grey.shape[1]
    strip = np.full((round(share * width), width, 3), 20 / 255)
    for number, patch in enumerate(TARGET):
        place = slice(10 + number * (width - 20) // 10, 6 + (number + 1) * (width - 20) // 10)
        strip[4:-4, place] = np.array(patch) / 255
    found = _findings(np.vstack([picture, strip]), tmp_path)
    assert found.reason in {Reason.NEARLY_COLOUR, Reason.OWN_COLOUR, Reason.TONED}
