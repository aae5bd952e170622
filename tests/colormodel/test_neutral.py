"""Borders, wedges and blanks are found; skies, snow and night are not taken for them."""

import numpy as np
import pytest
from skimage import data, transform

from colormodel.neutral import neutral_mask
from colormodel.planes import Plane


def scene(height: int = 96, width: int = 128) -> Plane:
    """A real photograph's lightness, from edge to edge."""
    photo = data.astronaut().mean(axis=2)[30:330, 60:460]
    return (transform.resize(photo, (height, width), anti_aliasing=True) / 2.55).astype(np.float32)


def wedge(height: int, width: int, steps: int) -> Plane:
    """Grey steps from black to white."""
    row = np.floor(np.linspace(0, steps, width, endpoint=False)) / (steps - 1) * 100
    return np.broadcast_to(row, (height, width)).astype(np.float32)


def grain(shape: tuple[int, int], strength: float = 0.4) -> Plane:
    """What is left of film grain at the network's size."""
    return np.random.default_rng(0).normal(0, strength, shape).astype(np.float32)


def test_a_picture_without_borders_has_colour_everywhere() -> None:
    """A scene from edge to edge is left to the network."""
    assert not neutral_mask(scene()).any()


@pytest.mark.parametrize("level", [0, 5, 50, 72, 98])
def test_a_frame_of_any_grey_is_neutral(level: float) -> None:
    """All of it and nothing else, with grain."""
    picture = np.full((128, 160), level, np.float32) + grain((128, 160))
    picture[16:112, 12:140] = scene()
    mask = neutral_mask(picture)
    assert mask[:16].all()
    assert mask[112:].all()
    assert mask[:, :12].all()
    assert mask[:, 140:].all()
    assert mask[18:110, 14:138].mean() == 0


@pytest.mark.parametrize(("level", "is_neutral"), [(3, True), (97, True), (60, False)])
def test_one_side_alone_must_be_black_or_white(level: float, is_neutral: bool) -> None:
    """A flat band of middle grey along one side may be the sky."""
    picture = np.full((128, 128), level, np.float32) + grain((128, 128))
    picture[32:] = scene()
    assert neutral_mask(picture)[:31].all() == is_neutral
    assert not neutral_mask(picture)[33:].any()


def test_sides_of_different_borders_are_found() -> None:
    """Black film base above and on the left, white paper below."""
    picture = np.concatenate([np.full((10, 128), 2), scene(), np.full((8, 128), 98)])
    picture = np.concatenate([np.full((114, 6), 3), picture], axis=1).astype(np.float32)
    mask = neutral_mask(picture)
    assert mask[:10].all()
    assert mask[-8:, 6:].all()
    assert mask[10:106, :6].all()
    assert not mask[12:104, 8:].any()


@pytest.mark.parametrize("steps", [2, 11, 21, 128])
@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("upright", [False, True])
def test_wedges_and_ramps_are_neutral(steps: int, framed: bool, upright: bool) -> None:
    """In either direction, bare or on a card, with grain."""
    picture = wedge(96, 128, steps) + grain((96, 128))
    if framed:
        picture = np.pad(picture, 12, constant_values=88) + grain((120, 152))
    assert neutral_mask(picture.T if upright else picture).all()


@pytest.mark.parametrize("level", [0, 20, 50, 80, 100])
def test_blanks_are_neutral(level: float) -> None:
    """Nothing is nowhere coloured."""
    assert neutral_mask(np.full((64, 96), level, np.float32)).all()


def test_a_sky_over_a_scene_is_not_a_border() -> None:
    """A smooth gradient above a real scene keeps its colour."""
    sky = np.broadcast_to(np.linspace(85, 70, 50)[:, None], (50, 128))
    assert not neutral_mask(np.concatenate([sky, scene()]).astype(np.float32)).any()


def test_a_bird_in_a_clear_sky_is_not_a_picture_in_a_frame() -> None:
    """The sky keeps its colour, up to the rectangle around the bird and within it."""
    sky = np.full((120, 160), 70, np.float32) + grain((120, 160))
    rows, columns = np.ogrid[:120, :160]
    sky[((rows - 60) / 30) ** 2 + ((columns - 80) / 50) ** 2 < 1] = 25
    assert not neutral_mask(sky).any()


def test_noise_is_no_border() -> None:
    """Nothing flat, nothing neutral; the network's affair."""
    noise = np.random.default_rng(0).uniform(0, 100, (64, 64)).astype(np.float32)
    assert not neutral_mask(noise).any()


@pytest.mark.parametrize("shape", [(32, 32), (32, 3200)])
def test_any_size_the_network_looks_at(shape: tuple[int, int]) -> None:
    """The smallest square and the longest panorama."""
    picture = np.random.default_rng(0).uniform(20, 80, shape).astype(np.float32)
    picture[:4] = 1
    mask = neutral_mask(picture)
    assert mask[:4].all()
    assert not mask[4:].any()
