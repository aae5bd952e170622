"""A picture in a person's hands, with the bundled network: hints hold, and stay on their things."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from skimage import data
from skimage.transform import resize

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.color import srgb_to_lab
from colormodel.correction import Correction, Mask
from colormodel.hints import Stroke, chroma_of
from colormodel.infer import Colorizer
from colormodel.metrics.colour import ciede2000
from colormodel.pictures import encode_srgb, put_colour, resize_lightness
from colormodel.planes import ChromaMap, Plane, linear_in_gamut
from colormodel.session import PictureSession
from colormodel.settling import settle
from colormodel.spreading import Spreader

RED, BLUE = (190.0, 40.0, 50.0), (50.0, 80.0, 170.0)


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """The bundled network."""
    return Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu", precision="float32")


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread: None) -> Iterator[None]:
    """Tests run beside each other."""
    return iter([None])


@pytest.fixture(scope="module")
def lightness() -> Plane:
    """An astronaut, grey, of 384 × 384 pixels."""
    srgb = torch.from_numpy(resize(data.astronaut(), (384, 384), anti_aliasing=True)).float()
    plane: Plane = srgb_to_lab(srgb.permute(2, 0, 1))[0].numpy()
    return plane


@pytest.fixture
def session(colorizer: Colorizer, lightness: Plane) -> PictureSession:
    """The astronaut, just opened."""
    size = colorizer.network_size(*lightness.shape)
    return PictureSession(colorizer, resize_lightness(lightness, size))


def strokes(*said: tuple[float, float, tuple[float, float, float]]) -> tuple[Stroke, ...]:
    """Hints of one point each."""
    return tuple(Stroke(((x, y),), rgb) for x, y, rgb in said)


def distance(chroma_map: ChromaMap, lightness: Plane, stroke: Stroke) -> float:
    """Largest ΔE₀₀ at a stroke's places between a picture and the colour that was asked for."""
    codes = encode_srgb(put_colour(chroma_map, lightness), bits=16)
    height, width = lightness.shape
    worst = 0.0
    for x, y in stroke.points:
        row, column = int(y * height), int(x * width)
        tone = lightness[row : row + 1, column : column + 1]
        ab = np.array(chroma_of(stroke.rgb), np.float32).reshape(2, 1, 1)
        wanted = encode_srgb(linear_in_gamut(tone, ab), bits=16)[0, 0]
        pair = [
            srgb_to_lab(torch.from_numpy(one.astype(np.float32) / 65535).view(3, 1, 1))
            for one in (codes[row, column], wanted)
        ]
        worst = max(worst, float(ciede2000(*pair)))
    return worst


def test_hints_hold_where_lightness_varies(session: PictureSession, lightness: Plane) -> None:
    """On hair, seams and rims a pixel is lighter or darker than what the network saw around it."""
    places = np.random.default_rng(5).uniform(0.1, 0.9, (400, 2))
    rows, columns = (places.T * np.array([384, 384])[:, None]).astype(int)
    varies = [
        lightness[r - 2 : r + 3, c - 2 : c + 3].std() for r, c in zip(rows, columns, strict=True)
    ]
    rough = places[np.argsort(varies)[::-1]]
    for n in range(0, 12, 3):
        said = strokes(
            *((x, y, rgb) for (y, x), rgb in zip(rough[n : n + 3], (RED, BLUE, RED), strict=True))
        )
        shown = session.colours(Correction(said))
        assert max(distance(shown, lightness, stroke) for stroke in said) < 0.5


def test_without_a_correction_it_is_what_the_network_gives(
    session: PictureSession, colorizer: Colorizer
) -> None:
    """The session's shorter way comes to the same."""
    (plain,) = colorizer.predict([session.lightness])
    assert isinstance(plain, ChromaMap)
    np.testing.assert_allclose(session.colours(Correction()).chroma, plain.chroma, atol=0.01)


def test_hints_hold_at_full_size(session: PictureSession, lightness: Plane) -> None:
    """Each within 3 ΔE of its colour, whatever the others say, and at any strength."""
    hints = (
        *strokes((0.35, 0.85, RED), (0.1, 0.2, BLUE), (0.8, 0.5, (90.0, 140.0, 60.0))),
        Stroke(((0.4, 0.1), (0.5, 0.05)), (200.0, 170.0, 60.0)),
    )
    for strength in (1.0, 0.4, 1.6):
        chroma_map = session.colours(Correction(hints, strength))
        assert [distance(chroma_map, lightness, one) < 3 for one in hints] == [True] * 4


def test_a_hint_is_about_its_thing_alone(session: PictureSession) -> None:
    """The suit turns red; the flag behind and the shuttle stay as they were, to the last bit."""
    before = session.colours(Correction()).chroma
    after = session.colours(Correction(strokes((0.35, 0.85, RED)))).chroma
    moved = np.hypot(*(after - before))
    height, width = moved.shape
    assert moved[int(0.85 * height), int(0.35 * width)] > 20
    assert np.median(moved) < 1
    assert moved[: height // 3, : width // 4].max() < 3
    assert moved[: height // 3, -width // 4 :].max() < 3


def test_a_wide_hint_goes_on(session: PictureSession) -> None:
    """What is said of the whole picture moves more of it than what is said of one thing."""
    before = session.colours(Correction()).chroma
    narrow = session.colours(Correction(strokes((0.1, 0.2, BLUE)))).chroma
    wide = session.colours(Correction((Stroke(((0.1, 0.2),), BLUE, wide=True),))).chroma
    moved = [np.hypot(*(after - before)).mean() for after in (narrow, wide)]
    assert moved[1] > 1.5 * moved[0] > 0


def test_strength_is_of_what_the_network_chose(session: PictureSession) -> None:
    """Half of it, none of it; the hinted place keeps its colour."""
    plain = session.colours(Correction()).chroma
    np.testing.assert_allclose(
        session.colours(Correction(strength=0.5)).chroma, plain / 2, atol=1e-4
    )
    assert not session.colours(Correction(strength=0)).chroma.any()
    left = session.colours(Correction(strokes((0.35, 0.85, RED)), 0.0)).chroma
    height, width = left.shape[1:]
    place = int(0.85 * height), int(0.35 * width)
    np.testing.assert_allclose(left[:, place[0], place[1]], chroma_of(RED), atol=0.1)
    assert not left[:, : height // 4].any()


@pytest.mark.parametrize("kind", ["grey", "keep"])
def test_masks_have_no_colour(session: PictureSession, kind: str) -> None:
    """Under the brush none, hint or no hint; beyond it as before."""
    hints = strokes((0.35, 0.85, RED))
    masks = (Mask(kind, ((0.35, 0.85),), 0.1),)  # type: ignore[arg-type]  # parametrized
    painted = session.colours(Correction(hints, masks=masks)).chroma
    unpainted = session.colours(Correction(hints)).chroma
    under = Correction(masks=masks).mask(masks[0].kind, *painted.shape[1:])
    assert not painted[:, under == 1].any()
    np.testing.assert_array_equal(painted[:, under == 0], unpainted[:, under == 0])


def test_likely_colours_come_most_likely_first(session: PictureSession) -> None:
    """Several, each other than the rest, at the place's own lightness."""
    likely = session.likely(0.5, 0.1, Correction())
    shares = [one.probability for one in likely]
    assert len(likely) >= 3
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1.001
    height, width = session.lightness.shape
    tone = session.lightness[int(0.1 * height), int(0.5 * width)]
    labs = [
        srgb_to_lab(torch.tensor(one.rgb).float().view(3, 1, 1) / 255).flatten() for one in likely
    ]
    assert all(abs(lab[0] - tone) < 1 for lab in labs)
    assert min(float((a - b)[1:].norm()) for a in labs for b in labs if a is not b) > 5


def test_a_hint_does_not_speak_for_its_own_place(session: PictureSession) -> None:
    """Who looks for another colour there hears what the network thought before."""
    said = Correction((Stroke(((0.5, 0.1),), BLUE, wide=True),))
    assert session.likely(0.5, 0.1, said) == session.likely(0.5, 0.1, Correction())


def test_alternatives_differ_and_keep_what_is_known(
    session: PictureSession, lightness: Plane
) -> None:
    """Three or more, unlike each other; each says what makes it, and hints hold in it."""
    known = Correction(strokes((0.35, 0.85, RED)))
    found = session.alternatives(known, most=4)
    assert len(found) >= 3
    maps = [session.colours(known).chroma, *(one.chroma_map.chroma for one in found)]
    apart = [np.hypot(*(a - b)).mean() for i, a in enumerate(maps) for b in maps[:i]]
    assert min(apart) > 1
    for one in found:
        assert one.correction.hints[0] == known.hints[0]
        assert distance(one.chroma_map, lightness, known.hints[0]) < 3
        np.testing.assert_allclose(
            session.colours(one.correction).chroma, one.chroma_map.chroma, atol=0.01
        )


def test_a_network_that_takes_no_hints_is_corrected_all_the_same(lightness: Plane) -> None:
    """The article's: what it cannot be told is put into its answer."""
    path = DEFAULT_CHECKPOINT.with_name("article.safetensors")
    colorizer = Colorizer(read_checkpoint(path), device="cpu")
    assert not colorizer.takes_hints
    size = colorizer.network_size(*lightness.shape)
    session = PictureSession(colorizer, resize_lightness(lightness, size))
    hints = strokes((0.35, 0.85, RED), (0.1, 0.2, BLUE))
    chroma_map = session.colours(Correction(hints))
    assert [distance(chroma_map, lightness, one) < 3 for one in hints] == [True] * 2
    assert len(session.likely(0.5, 0.1, Correction())) == 1
    assert session.alternatives(Correction()) == []


def test_borders_stay_neutral_unless_a_person_speaks_of_them() -> None:
    """A black frame: a hint within the picture leaves it, one on it does not."""
    tone = np.full((96, 128), 60, np.float32)
    tone[:8] = 2
    neutral = tone < 10
    plane = ChromaMap(np.zeros((2, 96, 128), np.float32), np.ones_like(tone), 1.0, tone)
    for y, is_left in ((0.5, True), (0.02, False)):
        said = Correction(strokes((0.5, y, RED)))
        settled = settle(plane, plane, said, spreader=Spreader(plane), neutral=neutral)
        assert (not settled.chroma[:, neutral].any()) == is_left
