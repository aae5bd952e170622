"""Grain and flicker leave less room for colour: it keeps still."""

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from colormodel.planes import ChromaMap, Plane, fit_gamut
from tasks.films.chroma import Coding, lightness_of
from tasks.films.colouring import colour_shot
from tasks.films.header import read_header
from tasks.films.shots import Shot
from tasks.films.wear import Wear, grain_of
from tests.tasks.films.filmmaking import Codes, write_film
from tests.tasks.films.networks import RestlessNetwork

FULL = Coding(8, 2, 0.299, 0.114)


class SkyNetwork(RestlessNetwork):
    """Takes all that it sees for a blue sky."""

    def predict(self, lightness: Sequence[Plane]) -> list[ChromaMap | Exception]:
        """Maps of frames."""
        blue = np.array([-4.0, -18.0], np.float32)[:, None, None]
        return [
            ChromaMap(np.broadcast_to(blue, (2, *one.shape)).copy(), np.ones_like(one), 0.6, one)
            for one in lightness
        ]


def sky(*, flicker: float, grain: float, frames: int = 24) -> list[Codes]:
    """A bright sky that hardly changes from left to right."""
    rng = np.random.default_rng(1902)
    ramp = np.tile(np.linspace(222, 230, 96), (64, 1))
    worn = (
        ramp * (1 + rng.normal(0, flicker)) + rng.normal(0, grain, ramp.shape)
        for _ in range(frames)
    )
    return [np.rint(np.clip(one, 0, 255)).astype(np.uint8) for one in worn]


def unrest(path: Path, pictures: Sequence[Codes]) -> float:
    """Standard deviation of Cb from frame to frame, place by place, of a film that is coloured."""
    write_film(path, pictures)
    segment = path.with_suffix(".segment")
    colour_shot(path, read_header(path), Shot(0, len(pictures), 0, 0, None), SkyNetwork(), segment)
    with av.open(str(segment)) as made:
        blue = [frame.to_ndarray(channel_last=False)[1] for frame in made.decode(video=0)]
    return float(np.std(np.stack(blue).astype(float), axis=0).mean())


def test_colour_near_white_keeps_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each frame by itself would have room for another."""
    pictures = sky(flicker=0.025, grain=4)
    found = unrest(tmp_path / "a", pictures)
    monkeypatch.setattr(Wear, "steady", lambda _, __, ___, a_b: a_b)
    assert found < 0.6 * unrest(tmp_path / "b", pictures)


def test_a_film_that_is_not_worn_keeps_its_colours() -> None:
    """And so does what is neither strong nor near white or black."""
    plane, a_b = np.full((8, 8), 0.95, np.float32), np.full((2, 8, 8), 20, np.float32)
    clean = Wear.of([plane] * 12, [0.001])
    assert clean.steady(3, plane, a_b) is a_b
    worn = Wear.of([plane * share for share in (1, 0.9, 1.05) * 4], [0.01])
    assert np.abs(worn.steady(0, plane, a_b)).max() < 10
    assert np.array_equal(worn.steady(0, plane * np.float32(0.3), a_b), a_b)


def test_colours_that_surely_fit_are_passed_over_without_loss() -> None:
    """What is kept is what the gamut leaves of all of them."""
    rng = np.random.default_rng(3)
    small = rng.random((40, 60), np.float32)
    a_b = rng.normal(0, 25, (2, 40, 60)).astype(np.float32)
    wear = Wear(np.array([1.1]), flicker=0.03, grain=0.02)
    usual = cv2.GaussianBlur(small, (0, 0), 2.0) / np.float32(1.1)
    room = np.float32(2.5) * np.hypot(np.float32(0.03) * usual, 0.02)
    expected = a_b
    for light in (usual + room, usual - room):
        expected = fit_gamut(lightness_of(np.clip(light, 0, 1)), expected)
    assert np.array_equal(wear.steady(0, small, a_b), expected)
    assert not np.array_equal(expected, a_b)


def test_slow_changes_are_no_flicker() -> None:
    """A fade leaves each frame as bright as those around it."""
    plane = np.full((4, 4), 1, np.float32)
    fade = Wear.of([plane * share for share in np.linspace(0.9, 1, 40, dtype=np.float32)], [])
    assert fade.flicker < 0.003
    rng = np.random.default_rng(0)
    worn = Wear.of([plane * np.float32(share) for share in rng.normal(0.8, 0.02, 200)], [])
    assert worn.flicker == pytest.approx(0.025, rel=0.2)


@pytest.mark.parametrize("bits", [8, 12])
def test_grain_is_measured_beside_what_is_shown(bits: int) -> None:
    """Edges and shades are none."""
    most, kind = (1 << bits) - 1, np.dtype(np.uint8 if bits == 8 else np.uint16)
    down, across = np.mgrid[:256, :256] / 256
    shown = 0.3 + 0.3 * across**2 + 0.2 * ((4 * down + 3 * across) % 1 > 0.5)
    grain = np.random.default_rng(0).normal(0, 0.02, shown.shape)
    worn = np.rint((shown + grain) * most).astype(kind)
    found = grain_of(worn, Coding(bits, 2, 0.299, 0.114))
    assert found == pytest.approx(0.02, rel=0.15)
    even = np.full((64, 64), 1 << (bits - 1), kind)
    assert grain_of(even, FULL if bits == 8 else Coding(bits, 2, 0.299, 0.114)) == 0
