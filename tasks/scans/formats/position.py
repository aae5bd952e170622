"""Where a picture was taken: EXIF's directory of GPS (EXIF 2.32, 4.6.6), in the words of XMP."""

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from tasks.errors import AutochromeError
from tasks.scans.formats.ifd import Directory, read_directory

_VERSION, _DATUM, _DATE, _TIME, _ALTITUDE_REF, _ALTITUDE = 0, 18, 29, 7, 5, 6
_DIRECTION_REF, _DIRECTION = 16, 17
#: The number, its reference, what that may be, and the most degrees.
_SIDES = {"GPSLatitude": (2, 1, "NS", 90), "GPSLongitude": (4, 3, "EW", 180)}
_CARRIED = {_VERSION, 1, 2, 3, 4, _ALTITUDE_REF, _ALTITUDE, _TIME, _DIRECTION_REF, _DIRECTION}
_CARRIED |= {_DATUM, _DATE}


def read_position(
    directory: Directory, place: int, notes: list[str], unread: list[str]
) -> Mapping[str, str]:
    """Read the directory of GPS at *place*: values by their names in XMP's namespace of EXIF.

    A place is carried whole or not at all: half of it would be another one.
    """
    try:
        gps = read_directory(directory.source, directory.layout, place)
        sides = {name: _side(gps, *side) for name, side in _SIDES.items()}
        others = _others(gps)
    except (AutochromeError, ValueError) as error:
        unread.append(f"the position (GPS) cannot be read: {str(error).partition(';')[0]}")
        return {}
    if left := sorted(gps.entries.keys() - _CARRIED):
        notes.append(
            f"of the position, EXIF's GPS tags {', '.join(map(str, left))} are not carried"
        )
    if not all(sides.values()):
        return {}  # as devices write it that knew none
    return {name: text for name, text in (sides | others).items() if text}


def _side(gps: Directory, number: int, reference: int, letters: str, most: int) -> str:
    """Degrees and minutes as XMP has them, "52,31.2N"; "" where none are known.

    Raises:
        ValueError: They are of no place on Earth.
    """
    parts = _fractions(gps, number)
    letter = _text(gps, reference)[:1].upper()
    if None in parts or not parts or (not any(parts) and not letter):
        return ""
    weighed = zip(parts[:3], (60, 1, 1 / 60), strict=False)
    minutes = round(sum(float(part or 0) * weight for part, weight in weighed), 8)
    if letter not in letters or not letter or minutes > 60 * most:
        raise ValueError(f"{minutes / 60:g} degrees {letter or 'of no side'} are nowhere")
    text = f"{minutes % 60:.8f}".rstrip("0").rstrip(".")
    return f"{int(minutes // 60)},{text if '.' in text else text + '.0'}{letter}"


def _others(gps: Directory) -> dict[str, str]:
    found = {"GPSMapDatum": _text(gps, _DATUM)}
    height, heading = _fractions(gps, _ALTITUDE), _fractions(gps, _DIRECTION)
    if height and height[0] is not None:
        below = gps.integer(_ALTITUDE_REF, 0) == 1
        found["GPSAltitude"] = _ratio(height[0])
        found["GPSAltitudeRef"] = "1" if below else "0"
    if heading and heading[0] is not None:
        found["GPSImgDirection"] = _ratio(heading[0])
        found["GPSImgDirectionRef"] = _text(gps, _DIRECTION_REF)
    day, clock = _text(gps, _DATE).replace(":", "-"), _fractions(gps, _TIME)
    if len(day) == len("1934-06-12") and len(clock) == 3 and None not in clock:
        hours, minutes, seconds = (int(part or 0) for part in clock)
        found["GPSTimeStamp"] = f"{day}T{hours:02}:{minutes:02}:{seconds:02}Z"
    return found


def _fractions(gps: Directory, tag: int) -> list[Fraction | None]:
    """A tag's rationals; None for one that is divided by zero, as what is not known is written."""
    entry = gps.entries.get(tag)
    data = gps.data(tag) if entry is not None and entry.kind == 5 else None
    if not data:
        return []
    pairs = np.frombuffer(data, np.dtype("u4").newbyteorder(gps.layout.order)).reshape(-1, 2)
    return [Fraction(int(above), int(below)) if below else None for above, below in pairs[:3]]


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _text(gps: Directory, tag: int) -> str:
    data = gps.data(tag) or b""
    return data.split(b"\0")[0].decode("ascii", "replace").strip()
