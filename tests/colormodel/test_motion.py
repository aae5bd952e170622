"""Chroma along the motion: it goes where things go, and does not flicker."""

from itertools import pairwise

import numpy as np
import pytest

from colormodel.correction import Correction
from colormodel.hints import Stroke
from colormodel.motion import MotionFinder, carried, moved_corrections, over_shot
from colormodel.planes import Plane
from tests.flicker import measure_flicker
from tests.scanfiles import photograph

STEP = (1.5, 0.75)  # pixels a frame, across and down


def pan(frames: int) -> list[Plane]:
    """L* of a pan by a known motion."""
    wide = (photograph(200, 260, seed=4) * 100).astype(np.float32)
    return [_window(wide, 20 + STEP[0] * n, 20 + STEP[1] * n) for n in range(frames)]


def _window(wide: Plane, left: float, top: float) -> Plane:
    padded = carried(wide, np.full((*wide.shape, 2), [left, top], np.float32), smoothly=True)
    return np.ascontiguousarray(padded[:96, :160])


def test_motion_is_found_and_trusted_where_it_is_known() -> None:
    """Within a third of a pixel on average, but for the border."""
    one, other = pan(2)
    motion = MotionFinder().between(one, other)
    inner = slice(12, -12), slice(12, -12)
    error = np.abs(motion.back[inner].astype(float) - STEP).mean()
    assert error < 0.35
    assert motion.trust_back[inner].mean() > 0.7
    assert np.abs(motion.ahead[inner].astype(float) + STEP).mean() < 0.35


def test_another_picture_is_not_trusted() -> None:
    """After a cut nothing is carried over."""
    one = pan(1)[0]
    other = (photograph(96, 160, seed=11) * 100).astype(np.float32)
    assert MotionFinder().between(one, other).trust_back.mean() < 0.3


def test_restless_maps_become_steady_and_stay_where_things_are() -> None:
    """Of colours that jump by 6 on average, a fifth is left; what is red stays on its thing."""
    frames = 24
    lightness = pan(frames)
    finder = MotionFinder()
    motions = [finder.between(*pair) for pair in pairwise(lightness)]
    rng = np.random.default_rng(2)
    truth = [np.stack([plane - 50, 30 - plane / 2]).astype(np.float32) for plane in lightness]
    jumps = rng.normal(0, 6, (frames, 2, 1, 1)).astype(np.float32)
    restless = [plane + jump for plane, jump in zip(truth, jumps, strict=True)]
    weight = np.ones(lightness[0].shape, np.float32)
    maps = {at: (restless[at], weight) for at in range(0, frames, 3)}
    steady = list(over_shot(maps, motions))
    before = measure_flicker(zip(lightness, restless, strict=True)).warped_error
    after = measure_flicker(zip(lightness, steady, strict=True)).warped_error
    assert after < 0.2 * before
    inner = slice(12, -12), slice(12, -12)
    shift = np.mean([one - own for one, own in zip(steady, truth, strict=True)], axis=(0, 2, 3))
    away = [
        np.abs(one - own - shift[:, None, None])[:, *inner].mean()
        for one, own in zip(steady, truth, strict=True)
    ]
    assert np.mean(away) < 3


def test_a_single_map_colours_all_that_is_seen_of_it() -> None:
    """Frames without a map of their own, before it and after it."""
    lightness = pan(7)
    finder = MotionFinder()
    motions = [finder.between(*pair) for pair in pairwise(lightness)]
    chroma = np.stack([lightness[3] - 50, 50 - lightness[3]]).astype(np.float32)
    every = list(over_shot({3: (chroma, np.ones_like(lightness[3]))}, motions))
    for number in (0, 6):
        wanted = np.stack([lightness[number] - 50, 50 - lightness[number]])
        away, unmoved = (np.abs(one - wanted)[:, 16:-16, 16:-16] for one in (every[number], chroma))
        assert away.mean() < unmoved.mean() / 2
        assert np.isfinite(every[number]).all()


def test_a_hint_moves_with_its_thing_and_ends_where_it_leaves() -> None:
    """Forwards and backwards, within a pixel of where the motion takes it."""
    lightness = pan(9)
    finder = MotionFinder()
    motions = [finder.between(*pair) for pair in pairwise(lightness)]
    hint = Stroke(((0.5, 0.5), (0.01, 0.5)), (200.0, 30.0, 40.0))
    moved = moved_corrections([(4, Correction((hint,)))], motions)
    assert sorted(moved) == list(range(9))
    for frame, correction in moved.items():
        (x, y), *others = correction.hints[0].points
        assert abs(x * 160 - (80 - STEP[0] * (frame - 4))) < 1.2
        assert abs(y * 96 - (48 - STEP[1] * (frame - 4))) < 1.2
        assert bool(others) == (frame <= 5)


def test_flicker_is_measured() -> None:
    """A picture that stands still: none, and as much as its colours jump."""
    lightness = pan(1)[0]
    chroma = np.stack([lightness - 50, 50 - lightness]).astype(np.float32)
    calm = measure_flicker([(lightness, chroma)] * 14)
    assert calm.warped_error == pytest.approx(0, abs=0.05)
    assert calm.still_variance == pytest.approx(0, abs=0.01)
    jumps = [(lightness, chroma + 2 * (-1) ** n) for n in range(14)]
    found = measure_flicker(jumps)
    assert found.warped_error == pytest.approx(4 * 2**0.5, rel=0.05)
    assert found.still_variance == pytest.approx(2 * 4, rel=0.05)
    assert np.isnan(measure_flicker(jumps[:3]).still_variance)
