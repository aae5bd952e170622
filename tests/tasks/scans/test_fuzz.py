"""Damaged files at random, in the pool that isolates them: a picture or an error of ours."""

from pathlib import Path

import pytest

from tests.bench.fuzz import fuzz


@pytest.mark.parametrize(
    ("files", "seed"), [(20, 1), pytest.param(1500, 2, marks=pytest.mark.slow)]
)
def test_every_damaged_file_ends_well(files: int, seed: int, tmp_path: Path) -> None:
    """No crash, no hang, nothing unexpected, no half a picture; `tests.bench.fuzz` does more."""
    endings = fuzz(tmp_path, files=files, seed=seed)
    assert [ending for ending in endings if not ending.is_right] == []
    assert sum(endings.values()) == files
    assert {"picture", "truncated", "unreadable"} <= {ending.words for ending in endings}
