"""A correction: what a person says of one picture's colours, as it is kept and read again."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from colormodel.hints import Hint, HintError, Stroke, along

MaskKind = Literal["grey", "keep"]
MASK_KINDS: tuple[MaskKind, ...] = get_args(MaskKind)

#: More than a person sets; each costs time with every answer.
MAX_STROKES = 200
MAX_POINTS = 2_000  # of one stroke
#: Of all strokes and masks together: points, and lengths of the picture's sides that they go along.
MAX_ALL_POINTS, MAX_LENGTH = 20_000, 100.0
#: How much stronger than the network's own the colours may be.
MAX_STRENGTH = 2.0

_POINT = '{"x": 0.5, "y": 0.25, "rgb": [200, 30, 40]}'
_LINE = '{"points": [[0.5, 0.25], [0.6, 0.3]], "rgb": [200, 30, 40]}'
_EXAMPLE = f"[{_POINT}]"
_PARTS = {"hints", "strength", "masks"}
_MASK = '{"kind": "grey" or "keep", "radius": 0.02, "points": [[0.5, 0.25]]}'


@dataclass(frozen=True)
class Mask:
    """Where no colour is put, painted with a round brush.

    Attributes:
        kind: "grey": it stays grey; "keep": it keeps whatever colour the scan itself has there.
        points: The line that the brush went along; x and y as a `Hint` has them.
        radius: Of the brush, as a fraction of the picture's shorter side.
    """

    kind: MaskKind
    points: tuple[tuple[float, float], ...]
    radius: float


@dataclass(frozen=True)
class Correction:
    """All that a person says of one picture.

    Attributes:
        hints: Colours at places; where two meet, the later one counts.
        strength: Factor on the chroma that the network chooses by itself, 0 to `MAX_STRENGTH`;
            what hints say is not changed by it.
        masks: Where no colour is put, whatever hints say.
    """

    hints: tuple[Stroke, ...] = ()
    strength: float = 1.0
    masks: tuple[Mask, ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether it leaves everything as the network has it."""
        return not self.hints and not self.masks and self.strength == 1

    def network_hints(self, height: int, width: int, *, wide: bool = False) -> tuple[Hint, ...]:
        """What a network is told that looks at the picture in that size.

        Args:
            height: Of its plane.
            width: Of its plane.
            wide: Only the hints that are meant for the whole picture.
        """
        strokes = [stroke for stroke in self.hints if stroke.wide or not wide]
        return tuple(hint for stroke in strokes for hint in stroke.hints(height, width))

    def mask(self, kind: MaskKind, height: int, width: int) -> NDArray[np.float32]:
        """How much of each pixel is painted, float32 (height, width) in [0, 1]; soft by a pixel."""
        painted = np.zeros((height, width), np.float32)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
        for mask in self.masks:
            if mask.kind != kind:
                continue
            radius = max(mask.radius * min(height, width), 0.5)
            reach = int(radius) + 2
            for x, y in along(mask.points, height, width, step_px=max(radius / 2, 1.0)):
                row, column = y * height, x * width
                near = (
                    slice(max(int(row) - reach, 0), int(row) + reach + 1),
                    slice(max(int(column) - reach, 0), int(column) + reach + 1),
                )
                distance = np.hypot(rows[near] - row, columns[near] - column)
                np.maximum(painted[near], np.clip(radius + 0.5 - distance, 0, 1), out=painted[near])
        return painted

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, the same for the same correction; `from_json` reads it."""
        return {
            "hints": [
                {
                    "points": [list(point) for point in stroke.points],
                    "rgb": list(stroke.rgb),
                    **({"wide": True} if stroke.wide else {}),
                }
                for stroke in self.hints
            ],
            "strength": self.strength,
            "masks": [
                {
                    "kind": mask.kind,
                    "radius": mask.radius,
                    "points": [list(point) for point in mask.points],
                }
                for mask in self.masks
            ],
        }

    @classmethod
    def from_json(cls, given: object, where: str = "correction") -> "Correction":
        """Read what a person or a program wrote: a list of hints, or all three parts by name.

        Args:
            given: Parsed JSON, of whatever shape.
            where: Where it stands, for messages.

        Raises:
            HintError: It is no correction; the message says which part, and what is expected.
        """
        if isinstance(given, list):
            given = {"hints": given}
        if not isinstance(given, Mapping):
            raise HintError(f"{where}: not a list; write {_EXAMPLE}")
        if unknown := sorted(set(given) - _PARTS):
            raise HintError(
                f'{where}: "{unknown[0]}" is no part of a correction; write "hints", "strength" '
                f'and "masks", or a list of hints: {_EXAMPLE}'
            )
        strokes = _list(given.get("hints", []), f"{where}: hints")
        masks = _list(given.get("masks", []), f"{where}: masks")
        made = cls(
            tuple(_stroke(one, f"{where}: hint {n}") for n, one in enumerate(strokes, 1)),
            _number(given.get("strength", 1.0), MAX_STRENGTH, f'{where}: "strength"'),
            tuple(_mask(one, f"{where}: mask {n}") for n, one in enumerate(masks, 1)),
        )
        lines = [*(one.points for one in made.hints), *(one.points for one in made.masks)]
        length = sum(math.dist(*ends) for line in lines for ends in itertools.pairwise(line))
        if sum(map(len, lines)) > MAX_ALL_POINTS or length > MAX_LENGTH:
            raise HintError(
                f"{where}: more than {MAX_ALL_POINTS:,} points, or lines of {MAX_LENGTH:g} times "
                "the picture's side, together; draw less, a hint reaches over its thing"
            )
        return made


def parse_correction(text: str, where: str) -> Correction:
    """Read JSON: hints as a list, or hints, strength and masks by name.

    Args:
        text: JSON.
        where: Where it stands, for messages.

    Raises:
        HintError: It is no JSON, or no correction.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HintError(f"{where}: not JSON ({error})") from error
    return Correction.from_json(given, where)


def read_correction(path: Path) -> Correction:
    """Read a file of it.

    Raises:
        HintError: The file cannot be read, or is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HintError(f"{path}: {error.strerror}; name a file of hints") from error
    except UnicodeDecodeError as error:
        raise HintError(f"{path}: not JSON ({error})") from error
    return parse_correction(text, str(path))


def _list(given: object, where: str) -> list[object]:
    if not isinstance(given, list):
        raise HintError(f"{where}: not a list; write {_EXAMPLE}")
    if len(given) > MAX_STROKES:
        raise HintError(f"{where}: {len(given)} of them; give at most {MAX_STROKES}")
    return given


def _stroke(entry: object, where: str) -> Stroke:
    named = set(entry) - {"wide"} if isinstance(entry, dict) else set()
    if not isinstance(entry, dict) or named not in ({"x", "y", "rgb"}, {"points", "rgb"}):
        raise HintError(f"{where}: expected {_POINT} or {_LINE}, got {_shown(entry)}")
    rgb = entry["rgb"]
    if not isinstance(rgb, list) or len(rgb) != 3:
        raise HintError(f'{where}: "rgb" is {_shown(rgb)}; give three numbers from 0 to 255')
    red, green, blue = (_number(value, 255, f'{where}: "rgb"') for value in rgb)
    if not isinstance(wide := entry.get("wide", False), bool):
        raise HintError(f'{where}: "wide" is {_shown(wide)}; give true or false')
    if "points" in entry:
        return Stroke(_points(entry["points"], where), (red, green, blue), wide)
    x, y = (_number(entry[key], 1, f'{where}: "{key}"') for key in ("x", "y"))
    return Stroke(((x, y),), (red, green, blue), wide)


def _mask(entry: object, where: str) -> Mask:
    if not isinstance(entry, dict) or set(entry) != {"kind", "radius", "points"}:
        raise HintError(f"{where}: expected {_MASK}, got {_shown(entry)}")
    kind = entry["kind"]
    if kind not in MASK_KINDS:
        raise HintError(f'{where}: "kind" is {_shown(kind)}; give "grey" or "keep"')
    radius = _number(entry["radius"], 1, f'{where}: "radius"')
    return Mask(kind, _points(entry["points"], where), radius)


def _points(given: object, where: str) -> tuple[tuple[float, float], ...]:
    where = f'{where}: "points"'
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_POINTS:
        raise HintError(f"{where}: give 1 to {MAX_POINTS} of them, as [[x, y], …]")
    points = []
    for point in given:
        if not isinstance(point, list) or len(point) != 2:
            raise HintError(f"{where}: {_shown(point)} is no [x, y]")
        x, y = (_number(value, 1, where) for value in point)
        points.append((x, y))
    return tuple(points)


def _number(value: object, largest: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise HintError(f"{where} is {_shown(value)}; give a number from 0 to {largest:g}")
    return float(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
