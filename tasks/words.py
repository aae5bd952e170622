"""Numbers, times and sizes as people read them."""

from datetime import datetime


def count(number: int, one: str, many: str = "") -> str:
    """Say "1 scan", "1,204 scans"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def playing_time(seconds: float) -> str:
    """Say "0:42", "7:31", "1:23:45": how long a film plays."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Say "41 s", "3 min", "7 h 41 min", "3 days": no more than is worth reading."""
    if seconds < 1:
        return "under a second" if seconds > 0 else "0 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24):,} days"


def moment(when: datetime) -> str:
    """Say "22 November 2026, 22:00 UTC", in the zone that *when* is in."""
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".rstrip()


def rate(per_second: float) -> str:
    """Say "3.2 pictures/s", or "12 pictures/min" where a second is too short."""
    if per_second >= 1:
        return f"{per_second:,.1f} pictures/s"
    return f"{per_second * 60:,.0f} pictures/min"


def signed(change: float) -> str:
    """Say "+0.03" or "−0.07", with a real minus sign."""
    return f"{change:+.2f}".replace("-", "−")


def bytes_in_words(size: float) -> str:
    """A size with a unit that reads well."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
