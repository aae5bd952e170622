"""Hints: placed where they were meant."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage import color

from colormodel.hints import REACH_PX, Hint, Stroke, place_hints

FRACTIONS = st.floats(0, 1)


@given(FRACTIONS, FRACTIONS, st.integers(32, 96), st.integers(32, 96))
def test_a_hint_is_a_small_square_at_its_place(x: float, y: float, height: int, width: int) -> None:
    """Also on the last row and column: inside the plane, around the point."""
    plane = place_hints([Hint(x, y, (200, 30, 40))], height, width)
    rows, columns = np.nonzero(plane[2])
    assert abs(rows.mean() + 0.5 - y * height) <= REACH_PX + 1
    assert abs(columns.mean() + 0.5 - x * width) <= REACH_PX + 1
    assert 9 <= rows.size <= (2 * REACH_PX + 1) ** 2
    assert (plane[:, plane[2] == 0] == 0).all()


def test_a_hint_has_the_chroma_of_its_colour() -> None:
    """The a* and b* are scikit-image's; a grey hint is a hint of no chroma."""
    plane = place_hints([Hint(0.25, 0.25, (200, 30, 40)), Hint(0.75, 0.75, (90, 90, 90))], 64, 64)
    expected = color.rgb2lab(np.array([[[200, 30, 40]]]) / 255)[0, 0]
    np.testing.assert_allclose(plane[:2, 16, 16], expected[1:], atol=0.02)
    np.testing.assert_allclose(plane[:, 48, 48], [0, 0, 1], atol=1e-4)


def test_later_hints_cover_earlier_ones() -> None:
    """A curator who corrects a point adds one; the file keeps both."""
    hints = [Hint(0.5, 0.5, (255, 0, 0)), Hint(0.5, 0.5, (0, 0, 255))]
    np.testing.assert_array_equal(place_hints(hints, 64, 64), place_hints(hints[1:], 64, 64))


@given(st.lists(st.tuples(FRACTIONS, FRACTIONS), min_size=1, max_size=5))
def test_a_stroke_leaves_no_gap(points: list[tuple[float, float]]) -> None:
    """Its squares touch along the line, and its own points are among them."""
    height, width = 64, 96
    hints = Stroke(tuple(points), (200, 30, 40)).hints(height, width)
    steps = [
        math.hypot((b.x - a.x) * width, (b.y - a.y) * height) for a, b in itertools.pairwise(hints)
    ]
    assert max(steps, default=0) <= REACH_PX + 1e-6
    assert {(round(x, 9), round(y, 9)) for x, y in points} <= {
        (round(hint.x, 9), round(hint.y, 9)) for hint in hints
    }
