"""ICC profiles (ICC.1:2022): curves and colorants read from one, one written around a curve."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_HEADER_BYTES = 128
_MAX_TAGS = 256
_FIXED = 65536.0  # s15Fixed16Number
_D50_FIXED = (0xF6D6, 0x10000, 0xD32D)  # the PCS illuminant as profiles write it
_D65_XY = (0.3127, 0.3290)
_SRGB_XY = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}  # of samples; links and named colours are others
# Parameters of each `para` function type, ICC.1:2022 table 68.
_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}


@dataclass(frozen=True)
class Profile:
    """What matters here of a profile.

    Attributes:
        space: Colour space of the samples: `GRAY`, `RGB `, …
        pcs: Profile connection space: `XYZ ` or `Lab `.
        curves: The tone curve tags: one for grey, three for RGB, none where there are none.
        luminances: Y of the red, green and blue colorants; None unless RGB with a matrix.
        has_table: Whether an A2B table takes precedence over curves and matrix.
    """

    space: bytes
    pcs: bytes
    curves: tuple[bytes, ...]
    luminances: tuple[float, float, float] | None
    has_table: bool


def parse_profile(icc: bytes) -> Profile | None:
    """Read a profile; None where it is damaged beyond use."""
    if len(icc) < _HEADER_BYTES + 4 or icc[36:40] != b"acsp" or icc[12:16] not in _CLASSES:
        return None
    tags = _tags(icc)
    space, pcs = icc[16:20], icc[20:24]
    names = {b"GRAY": (b"kTRC",), b"RGB ": (b"rTRC", b"gTRC", b"bTRC")}.get(space, ())
    curves = tuple(tags[name] for name in names if name in tags)
    luminances = None
    colorants = [tags.get(name, b"") for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if space == b"RGB " and all(len(colorant) >= 20 for colorant in colorants):
        red, green, blue = (_fixed(colorant[12:16]) for colorant in colorants)
        luminances = red, green, blue
    return Profile(
        space=space,
        pcs=pcs,
        curves=curves if len(curves) == len(names) else (),
        luminances=luminances,
        has_table=any(name in tags for name in (b"A2B0", b"A2B1")),
    )


def _tags(icc: bytes) -> dict[bytes, bytes]:
    count = min(int.from_bytes(icc[128:132], "big"), _MAX_TAGS)
    tags = {}
    for i in range(count):
        row = icc[132 + 12 * i : 144 + 12 * i]
        offset, size = int.from_bytes(row[4:8], "big"), int.from_bytes(row[8:12], "big")
        if len(row) == 12 and offset + size <= len(icc):
            tags[row[:4]] = icc[offset : offset + size]
    return tags


def _fixed(data: bytes) -> float:
    return int.from_bytes(data, "big", signed=True) / _FIXED


def evaluate_curve(tag: bytes, x: Floats) -> Floats | None:
    """Apply a `curv` or `para` tag to samples in [0, 1]; None where the tag is damaged."""
    if tag[:4] == b"curv" and len(tag) >= 12:
        return _evaluate_sampled(tag, x)
    if tag[:4] == b"para" and len(tag) >= 12:
        return _evaluate_parametric(tag, x)
    return None


def _evaluate_sampled(tag: bytes, x: Floats) -> Floats | None:
    count = int.from_bytes(tag[8:12], "big")
    if len(tag) < 12 + 2 * count:
        return None
    values = np.frombuffer(tag, dtype=">u2", count=count, offset=12).astype(np.float64)
    if count == 0:
        return x
    if count == 1:
        powers: Floats = np.power(x, values[0] / 256)
        return powers
    return np.interp(x, np.linspace(0, 1, count), values / 65535)


def _evaluate_parametric(tag: bytes, x: Floats) -> Floats | None:
    kind = int.from_bytes(tag[8:10], "big")
    count = _PARAMETERS.get(kind)
    if count is None or len(tag) < 12 + 4 * count:
        return None
    given = [_fixed(tag[i : i + 4]) for i in range(12, 12 + 4 * count, 4)]
    g, a, b, c, d, e, f = (*given, *[0.0] * 6)[:7]
    if kind == 0:
        a, d = 1.0, -1.0
    if kind in {1, 2}:  # the part below -b/a is constant: 0, or the third parameter after g
        if a == 0:
            return None
        c, d, e, f = 0.0, -b / a, c, c
    power = np.power(np.maximum(a * x + b, 0.0), g) + e
    return np.clip(np.where(x >= d, power, c * x + f), 0.0, 1.0)


def sampled_curve(values: Floats) -> bytes:
    """Write values in [0, 1] at equal distances as a `curv` tag."""
    samples = np.rint(np.clip(values, 0, 1) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + len(samples).to_bytes(4, "big") + samples.tobytes()


def parametric_curve(*parameters: float) -> bytes:
    """Write a `para` tag: the number of parameters decides the function type."""
    kind = {count: kind for kind, count in _PARAMETERS.items()}[len(parameters)]
    body = b"".join(round(value * _FIXED).to_bytes(4, "big", signed=True) for value in parameters)
    return b"para\0\0\0\0" + kind.to_bytes(2, "big") + b"\0\0" + body


SRGB_CURVE = parametric_curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@lru_cache(maxsize=16)
def build_profile(space: bytes, curve: bytes, *, description: str) -> bytes:
    """Write an ICC v4 display profile around a tone curve.

    Args:
        space: `GRAY`, or `RGB ` for one with sRGB's primaries.
        curve: The tone curve, as a `curv` or `para` tag.
        description: The name that people see.

    Returns:
        A grey profile, or a matrix profile whose colorants add up to D50 exactly, so that equal
        codes are neutral and have the lightness that a grey profile of this curve gives them.
    """
    tags = {
        b"desc": _text_tag(description),
        b"cprt": _text_tag("No copyright, use freely"),
        b"wtpt": _xyz_tag(_D50_FIXED),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        red, green, blue = _colorants()
        chad = b"".join(_s15(round(value * _FIXED)) for value in _adaptation(*_D65_XY).ravel())
        tags |= {b"chad": b"sf32\0\0\0\0" + chad}
        tags |= {b"rXYZ": _xyz_tag(red), b"gXYZ": _xyz_tag(green), b"bXYZ": _xyz_tag(blue)}
        tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    return _assemble(space, tags)


def _assemble(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Lay header, table and data out; equal tags share their data."""
    table, data, places = b"", b"", dict[bytes, int]()
    start = _HEADER_BYTES + 4 + 12 * len(tags)
    for name, body in tags.items():
        if body not in places:
            places[body] = start + len(data)
            data += body + bytes(-len(body) % 4)
        table += name + places[body].to_bytes(4, "big") + len(body).to_bytes(4, "big")
    header = bytearray(_HEADER_BYTES)
    header[0:4] = (start + len(data)).to_bytes(4, "big")
    header[8:12] = b"\x04\x30\0\0"  # version 4.3
    header[12:24] = b"mntr" + space + b"XYZ "
    header[24:36] = b"".join(n.to_bytes(2, "big") for n in (2020, 1, 1, 0, 0, 0))
    header[36:40] = b"acsp"
    header[68:80] = b"".join(_s15(value) for value in _D50_FIXED)
    return bytes(header) + len(tags).to_bytes(4, "big") + table + data


def _s15(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


def _xyz_tag(xyz: tuple[int, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_s15(value) for value in xyz)


def _text_tag(text: str) -> bytes:
    """Write a `mluc` tag of one record: type, count, record size, en-US, length, offset, text."""
    body = text.encode("utf-16-be")
    record = b"enUS" + len(body).to_bytes(4, "big") + (28).to_bytes(4, "big")
    return b"mluc\0\0\0\0" + (1).to_bytes(4, "big") + (12).to_bytes(4, "big") + record + body


def luminance_shares(chromaticities: Floats) -> tuple[float, float, float]:
    """Share of red, green and blue in the light of a neutral, adapted to D50 as profiles are.

    Args:
        chromaticities: x and y of white, red, green and blue, (4, 2).
    """
    red, green, blue = (float(share) for share in _matrix(chromaticities)[1])
    return red, green, blue


def _white(x: float, y: float) -> Floats:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(x: float, y: float) -> Floats:
    """Give Bradford's adaptation from a white to D50, as ICC.1 annex E has it."""
    source = _BRADFORD @ _white(x, y)
    target = _BRADFORD @ (np.array(_D50_FIXED) / _FIXED)
    found: Floats = np.linalg.inv(_BRADFORD) @ np.diag(target / source) @ _BRADFORD
    return found


def _matrix(chromaticities: Floats) -> Floats:
    """X, Y and Z under D50 of red, green and blue, (3, 3)."""
    white, *primaries = (np.array([x, y, 1 - x - y]) for x, y in chromaticities)
    columns = np.array(primaries).T
    scale = np.linalg.solve(columns, white / white[1])
    found: Floats = _adaptation(*chromaticities[0]) @ (columns * scale)
    return found


def _colorants() -> tuple[tuple[int, ...], ...]:
    """Give sRGB's colorants under D50 in fixed point, made to add up to D50 exactly."""
    fixed = np.rint(_matrix(np.array([_D65_XY, *_SRGB_XY])) * _FIXED).astype(int)
    fixed[:, 1] += np.array(_D50_FIXED) - fixed.sum(axis=1)  # what rounding left over, to green
    red, green, blue = (tuple(int(value) for value in column) for column in fixed.T)
    return red, green, blue
