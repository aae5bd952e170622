"""Numbers and what they number."""


def count(number: int, one: str, many: str = "") -> str:
    """Say "1 scan", "1,204 scans"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
