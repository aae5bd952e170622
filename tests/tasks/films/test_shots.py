"""Shots: cuts and fades are found, and what only looks like one is not."""

from pathlib import Path

import numpy as np
import pytest

from tasks.films.header import probe
from tasks.films.shots import MARGIN_FRAMES, MOST_FRAMES, Shot, find_shots
from tests.tasks.films.filmmaking import Codes, scene, write_film


def shots_of(path: Path, pictures: list[Codes]) -> tuple[Shot, ...]:
    """The shots of a film of these pictures."""
    write_film(path, pictures, codec="ffv1", pixel_format="gray")
    return find_shots(path, probe(path))


def test_cuts_are_found_to_the_frame(tmp_path: Path) -> None:
    """Three takes that pan."""
    pictures = [*scene(14, seed=1), *scene(9, seed=2), *scene(20, seed=3)]
    shots = shots_of(tmp_path / "f", pictures)
    assert [(one.first, one.frames) for one in shots] == [(0, 14), (14, 9), (23, 20)]
    assert all((one.lead, one.tail) == (0, 0) for one in shots)


def test_flicker_flashes_grain_and_moving_things_are_no_cuts(tmp_path: Path) -> None:
    """Exposure that jumps, one white frame, a scratched one, a figure that crosses the picture."""
    rng = np.random.default_rng(5)
    pictures = []
    for number, one in enumerate(scene(40, seed=1)):
        plane = one * rng.uniform(0.75, 1.0) + rng.normal(0, 6, one.shape)
        plane[20:44, 2 * number : 2 * number + 16] = 30
        pictures.append(np.clip(plane, 0, 255).astype(np.uint8))
    pictures[12][:] = 250
    pictures[25] = rng.integers(0, 255, pictures[25].shape).astype(np.uint8)
    assert [(one.first, one.frames) for one in shots_of(tmp_path / "f", pictures)] == [(0, 40)]


def test_a_fade_parts_shots_where_it_is_darkest(tmp_path: Path) -> None:
    """Down to black and up again: one border, within the dark."""
    fall = [*[1.0] * 10, *np.linspace(1, 0, 10)]
    shares = [*fall, *reversed(fall)]
    takes = [*scene(20, seed=1), *scene(20, seed=2)]
    pictures = [(one * share).astype(np.uint8) for one, share in zip(takes, shares, strict=True)]
    shots = shots_of(tmp_path / "f", pictures)
    assert len(shots) == 2
    assert 19 <= shots[1].first <= 21


def test_a_long_take_is_parted_and_its_parts_see_beyond(tmp_path: Path) -> None:
    """So that a lease is short, and nothing shows at the border."""
    still = scene(1, width=64, height=48)[0]
    first, second = shots_of(tmp_path / "f", [still] * (MOST_FRAMES + 10))
    assert (first.first, first.frames, first.lead, first.tail) == (0, 125, 0, MARGIN_FRAMES)
    assert (second.first, second.frames, second.lead, second.tail) == (125, 125, MARGIN_FRAMES, 0)
    assert second.seek == (125 - MARGIN_FRAMES) * 40  # ms, as Matroska counts


def test_real_cuts_of_1928() -> None:
    """Steamboat Willie: the boat, the wheel, the whistles, the bridge."""
    path = Path(__file__).parents[4] / "shared" / "data" / "film" / "steamboat.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    shots = find_shots(path, probe(path))
    cuts = [one.first for one in shots if not one.lead]
    assert cuts == [0, 113, 449, 625]
