"""Corrections: read with clear errors, kept without loss, masks where they were painted."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colormodel.correction import MASK_KINDS, Correction, Mask, read_correction
from colormodel.hints import HintError, Stroke

FRACTIONS = st.floats(0, 1)
POINTS = st.lists(st.tuples(FRACTIONS, FRACTIONS), min_size=1, max_size=4).map(tuple)
CODES = st.floats(0, 255)
CORRECTIONS = st.builds(
    Correction,
    st.lists(
        st.builds(Stroke, POINTS, st.tuples(CODES, CODES, CODES), st.booleans()), max_size=3
    ).map(tuple),
    st.floats(0, 2),
    st.lists(st.builds(Mask, st.sampled_from(MASK_KINDS), POINTS, FRACTIONS), max_size=3).map(
        tuple
    ),
)


@given(CORRECTIONS)
def test_what_is_kept_is_what_was_said(correction: Correction) -> None:
    """Through JSON text and back."""
    assert Correction.from_json(json.loads(json.dumps(correction.as_json()))) == correction


@given(CORRECTIONS)
def test_masks_are_shares(correction: Correction) -> None:
    """Wherever they are painted, and however thick the brush."""
    for kind in MASK_KINDS:
        painted = correction.mask(kind, 40, 56)
        assert painted.shape == (40, 56)
        assert ((painted >= 0) & (painted <= 1)).all()
        if not any(mask.kind == kind for mask in correction.masks):
            assert not painted.any()


def test_a_mask_is_round_and_where_it_was_painted() -> None:
    """A brush of a tenth of the shorter side, in the middle."""
    painted = Correction(masks=(Mask("grey", ((0.5, 0.5),), 0.1),)).mask("grey", 100, 200)
    rows, columns = np.nonzero(painted > 0.5)
    assert abs(rows.mean() - 49.5) < 1
    assert abs(columns.mean() - 99.5) < 1
    assert painted.sum() == pytest.approx(np.pi * 100, rel=0.1)


def test_hints_are_read(tmp_path: Path) -> None:
    """Fractions and codes as they stand in the file, in its order."""
    path = tmp_path / "hints.json"
    path.write_text(
        '[{"x": 0.5, "y": 1, "rgb": [200, 30, 40.5]}, {"x": 0, "y": 0, "rgb": [0, 0, 0]}]'
    )
    assert read_correction(path) == Correction(
        (Stroke(((0.5, 1),), (200, 30, 40.5)), Stroke(((0, 0),), (0, 0, 0)))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "not JSON"),
        ('{"x": 0.5}', '"x" is no part of a correction'),
        ('{"hints": [], "masks": [], "strenght": 1}', '"strenght" is no part of a correction'),
        ("5", "not a list"),
        ('{"hints": 5}', "not a list"),
        ("[5]", "hint 1: expected"),
        ('[{"x": 0.5, "y": 0.5}]', "hint 1: expected"),
        ('[{"x": 0.5, "y": 0.5, "rgb": [1, 2, 3], "z": 1}]', "hint 1: expected"),
        ('[{"x": 1.5, "y": 0.5, "rgb": [1, 2, 3]}]', r'hint 1: "x" is 1.5; .* from 0 to 1'),
        ('[{"x": 0.5, "y": NaN, "rgb": [1, 2, 3]}]', 'hint 1: "y" is nan'),
        ('[{"x": true, "y": 0.5, "rgb": [1, 2, 3]}]', 'hint 1: "x" is True'),
        ('[{"x": 0.5, "y": 0.5, "rgb": [1, 2]}]', r'hint 1: "rgb" is \[1, 2\]; give three'),
        ('[{"x": 0.5, "y": 0.5, "rgb": "red"}]', "hint 1: .* give three"),
        ('[{"points": [], "rgb": [1, 2, 3]}]', r'hint 1: "points": give 1 to 2000'),
        ('[{"points": [[0.5]], "rgb": [1, 2, 3]}]', r"hint 1: .*\[0.5\] is no \[x, y\]"),
        ('[{"x": 0, "y": 0, "rgb": [1, 2, 3], "wide": 1}]', r'hint 1: "wide" is 1; give true'),
        (
            json.dumps([{"points": [[0, 0], [1, 1]] * 60, "rgb": [1, 2, 3]}]),
            "lines of 100 times",
        ),
        ('{"strength": 3}', r'"strength" is 3; give a number from 0 to 2'),
        ('{"masks": [{"kind": "red", "radius": 0, "points": [[0, 0]]}]}', 'mask 1: "kind"'),
        ('{"masks": [{"kind": "grey", "points": [[0, 0]]}]}', "mask 1: expected"),
        ("[" * 5000, "not JSON"),
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
        read_correction(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One line with the path."""
    with pytest.raises(HintError, match=r"hints\.json: No such file"):
        read_correction(tmp_path / "hints.json")


def test_the_example_in_the_message_is_valid(tmp_path: Path) -> None:
    """The remedy can be copied."""
    path = tmp_path / "hints.json"
    path.write_text("5")
    with pytest.raises(HintError) as caught:
        read_correction(path)
    path.write_text(str(caught.value).partition("write ")[2])
    assert len(read_correction(path).hints) == 1
    assert json.loads(path.read_text())
