"""Numbers and what they number."""


def count(number: int, one: str, many: str = "") -> str:
    """Say "1 scan", "1,204 scans"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def playing_time(seconds: float) -> str:
    """Say "0:42", "7:31", "1:23:45": how long a film plays."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
