"""Chroma at a frame's size: within the gamut with the Y′ that is there, whatever the size."""

import cv2
import numpy as np
import pytest

from tasks.films.chroma import Coding, chroma_planes, small_luma
from tasks.films.luma import FULL, LIMITED, Codes, ends_of_codes, light_of_codes
from tests.tasks.films.filmmaking import scene

SMALL = (64, 96)


def drawn(height: int, width: int, coding: Coding) -> Codes:
    """A frame of deep blacks and burnt whites with grain, (height, width)."""
    rng = np.random.default_rng(5)
    picture = cv2.resize(scene(1, width=96, height=64, seed=2)[0], (width, height)).astype(float)
    picture = np.clip(1.6 * picture - 60 + rng.normal(0, 5, picture.shape), 0, 255)
    black, white = ends_of_codes(coding.bits, coding.code_range)
    kind = np.uint8 if coding.bits == 8 else np.uint16
    return np.rint(black + picture / 255 * (white - black)).astype(kind)


def wished() -> np.ndarray:
    """Strong colours that change over the frame, (2, h, w)."""
    y, x = np.mgrid[0 : SMALL[0], 0 : SMALL[1]].astype(np.float32)
    return np.stack([70 * np.sin(x / 15), 70 * np.cos(y / 10 + x / 30)]).astype(np.float32)


@pytest.mark.parametrize("size", [(128, 192), (256, 384), (257, 391), (520, 800)])
@pytest.mark.parametrize(
    ("bits", "code_range"), [(8, FULL), (8, LIMITED), (10, LIMITED), (16, FULL)]
)
def test_no_colour_leaves_its_range(size: tuple[int, int], bits: int, code_range: int) -> None:
    """At the frame's own size, at a half of it, at odd ones: by a code's rounding at most."""
    coding = Coding(bits, code_range, 0.2126, 0.0722)
    luma = drawn(*size, coding)
    planes = chroma_planes(luma, small_luma(luma, coding, *SMALL), wished(), coding)
    blue, red = ((one.astype(float) - coding.middle) / coding.steps for one in planes)
    assert max(np.abs(blue).max(), np.abs(red).max()) > 0.1
    light = light_of_codes(bits, code_range)[luma]
    by_blue, by_red = 1.8556 * blue, 1.5748 * red
    by_green = -(0.0722 * by_blue + 0.2126 * by_red) / 0.7152
    rgb = light + np.stack([by_red, by_green, by_blue])
    allowed = 1.2 / coding.steps
    assert rgb.min() > -allowed
    assert rgb.max() < 1 + allowed


def test_a_large_frame_has_the_colours_of_its_reduced_one() -> None:
    """Chroma that is found at a half of the size is that of the whole size, on average."""
    coding = Coding(8, FULL, 0.2126, 0.0722)
    luma = drawn(512, 768, coding)
    reduced = np.asarray(cv2.resize(luma, (384, 256), interpolation=cv2.INTER_AREA), np.uint8)
    small = small_luma(luma, coding, *SMALL)
    large, half = (chroma_planes(one, small, wished(), coding) for one in (luma, reduced))
    for one, other in zip(large, half, strict=True):
        shrunk = cv2.resize(one, (384, 256), interpolation=cv2.INTER_AREA).astype(float)
        assert np.abs(shrunk - other).mean() < 3
        assert abs((shrunk - other).mean()) < 0.5
