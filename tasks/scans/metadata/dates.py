"""Dates as XMP writes them, from EXIF's, IPTC's and its own way."""

import re
from datetime import date

_EXIF = re.compile(
    r"(\d{4})[:-](\d\d|  |)[:-](\d\d|  |)(?:[ T](?:(\d\d:\d\d:\d\d)(?:\.\d+)?|[ :]*))?\s*$"
)
_IPTC = re.compile(r"(\d{4})(\d\d)(\d\d)$")
_IPTC_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:([+-]\d\d)(\d\d))?$")
_ISO = re.compile(r"(\d{4})(-(\d\d)(-(\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?$")
_ZONE = re.compile(r"(Z|[+-]\d\d:\d\d)$")
_UNKNOWN = {"", "00", "  "}


def iso_date(text: str) -> str | None:
    """A date of any of the three; None if it is none of them, or of no day that ever was.

    Where month or day is zero or blank, as catalogues write what is not known, it is left out.
    """
    text = text.strip()
    if found := _ISO.match(text):
        return text if _is_day(found[1], found[3] or "01", found[5] or "01") else None
    found = _EXIF.match(text) or _IPTC.match(text)
    if found is None:
        return None
    year, month, day, *time = found.groups()
    is_month, is_day = month not in _UNKNOWN, day not in _UNKNOWN
    if not _is_day(year, month if is_month else "01", day if is_month and is_day else "01"):
        return None
    if not (is_month and is_day):
        return f"{year}-{month}" if is_month else year
    return f"{year}-{month}-{day}" + (f"T{time[0]}" if time and time[0] else "")


def with_time(day: str, iptc_time: str) -> str:
    """A whole day with IPTC's time of it, where it is one."""
    found = _IPTC_TIME.match(iptc_time.strip())
    if found is None or len(day) != len("1934-06-12"):
        return day
    hours, minutes, seconds, zone_hours, zone_minutes = found.groups()
    zone = f"{zone_hours}:{zone_minutes}" if zone_hours else ""
    return f"{day}T{hours}:{minutes}:{seconds}{zone}"


def with_zone(moment: str, offset: str) -> str:
    """A moment with EXIF's offset from UTC, where both are whole."""
    found = _ZONE.match(offset.strip())
    return f"{moment}{found[1]}" if found and "T" in moment else moment


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True
