"""What becomes of a scan whose tone is guessed or in doubt, from the file to the ledger."""

from pathlib import Path

import numpy as np
import pytest

from tasks.batch.batch import colorize_batch
from tasks.errors import Reason
from tasks.ledger import ItemStatus
from tests.scanfiles import codes_of, photograph, write_tiff
from tests.tasks.batch.test_batch import claim_all
from tests.tasks.scans.test_tone_rule import profile_tag
from tests.workers import MakeSettings, OpenWorker, items_of


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """One of 12 bits in 16 that nothing states, and one under a profile that cannot be read."""
    folder = tmp_path / "tones"
    folder.mkdir()
    codes = codes_of(photograph(96, 128), 12)
    write_tiff(folder / "guessed.tif", (4095 - codes).astype(np.uint16), photometric="miniswhite")
    write_tiff(folder / "doubted.tif", codes * 16, extratags=[profile_tag(b"junk" * 50)])
    return folder


def test_a_guess_is_noted_and_a_doubt_waits_for_a_person(
    make_settings: MakeSettings, worker_for: OpenWorker, scans: Path
) -> None:
    """Although good results are published at once; the detail says what is in doubt."""
    worker = worker_for(
        make_settings(sources=(str(scans),), publish_directly=True, review_below_confidence=0.0)
    )
    colorize_batch(worker, claim_all(worker))
    items = items_of(worker.ledger)
    guessed, doubted = items["guessed.tif"], items["doubted.tif"]
    assert (guessed.status, guessed.reason) == (ItemStatus.PUBLISHED, None)
    assert any("White is guessed to be 4,095" in note for note in guessed.notes)
    assert (doubted.status, doubted.reason) == (ItemStatus.REVIEW, Reason.TONE_DOUBTFUL)
    assert "The ICC profile is damaged" in doubted.detail
