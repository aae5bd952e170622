"""Hints: read with clear errors, placed where they were meant."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import color

from colormodel.hints import REACH_PX, Hint, HintError, place_hints, read_hints

FRACTIONS = st.floats(0, 1)


def test_hints_are_read(tmp_path: Path) -> None:
    """Fractions and codes as they stand in the file, in its order."""
    path = tmp_path / "hints.json"
    path.write_text(
        '[{"x": 0.5, "y": 1, "rgb": [200, 30, 40.5]}, {"x": 0, "y": 0, "rgb": [0, 0, 0]}]'
    )
    assert read_hints(path) == (Hint(0.5, 1, (200, 30, 40.5)), Hint(0, 0, (0, 0, 0)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "not JSON"),
        ('{"x": 0.5}', "not a list"),
        ("[5]", "hint 1: expected"),
        ('[{"x": 0.5, "y": 0.5}]', "hint 1: expected"),
        ('[{"x": 0.5, "y": 0.5, "rgb": [1, 2, 3], "z": 1}]', "hint 1: expected"),
        ('[{"x": 1.5, "y": 0.5, "rgb": [1, 2, 3]}]', r'hint 1: "x" is 1.5; .* from 0 to 1'),
        ('[{"x": 0.5, "y": NaN, "rgb": [1, 2, 3]}]', 'hint 1: "y" is nan'),
        ('[{"x": true, "y": 0.5, "rgb": [1, 2, 3]}]', 'hint 1: "x" is True'),
        ('[{"x": 0.5, "y": 0.5, "rgb": [1, 2]}]', r'hint 1: "rgb" is \[1, 2\]; give three'),
        ('[{"x": 0.5, "y": 0.5, "rgb": "red"}]', "hint 1: .* give three"),
        (
            '[{"x": 0, "y": 0, "rgb": [0, 0, 0]}, {"x": 0.5, "y": 0.5, "rgb": [1, 2, 256]}]',
            "hint 2",
        ),
    ],
)
def test_malformed_hints_are_named(tmp_path: Path, text: str, message: str) -> None:
    """Which hint, what it holds and what was expected."""
    path = tmp_path / "hints.json"
    path.write_text(text)
    with pytest.raises(HintError, match=message):
        read_hints(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One line with the path."""
    with pytest.raises(HintError, match=r"hints\.json: No such file"):
        read_hints(tmp_path / "hints.json")


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


def test_the_example_in_the_message_is_valid(tmp_path: Path) -> None:
    """The remedy can be copied."""
    path = tmp_path / "hints.json"
    path.write_text("{}")
    with pytest.raises(HintError) as caught:
        read_hints(path)
    path.write_text(str(caught.value).partition("write ")[2])
    assert len(read_hints(path)) == 1
    assert json.loads(path.read_text())
