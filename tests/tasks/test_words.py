"""Numbers and times as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tasks import words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.2, "under a second"),
        (41.4, "41 s"),
        (150, "2 min"),
        (3600, "60 min"),
        (27_660, "7 h 41 min"),
        (28_800, "8 h"),
        (30 * 86_400, "30 days"),
    ],
)
def test_duration(seconds: float, said: str) -> None:
    """No more precise than is worth reading."""
    assert words.duration(seconds) == said


def test_the_rest() -> None:
    """Counts with their plural, moments in their zone, rates, signs."""
    assert words.count(1, "scan") == "1 scan"
    assert words.count(1204, "scan") == "1,204 scans"
    assert words.count(2, "matter needs", "matters need") == "2 matters need"
    assert words.moment(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2 January 2026, 03:04 UTC"
    paris = timezone(timedelta(hours=1), "CET")
    assert words.moment(datetime(2026, 1, 2, 3, 4, tzinfo=paris)) == "2 January 2026, 03:04 CET"
    assert words.rate(3.21) == "3.2 pictures/s"
    assert words.rate(0.2) == "12 pictures/min"
    assert words.signed(-0.07) == "−0.07"
    assert words.signed(0.031) == "+0.03"
