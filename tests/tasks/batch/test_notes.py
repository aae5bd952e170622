"""Notes: what is odd about a scan is told wherever a person looks, and decides no pixel."""

import json
from pathlib import Path

import pytest

from flows.cli.status import print_story
from tasks.batch.batch import colorize_batch
from tasks.errors import Reason
from tasks.ledger import ItemStatus
from tasks.ledger.done import list_done
from tasks.provenance.premis import export_premis
from tests import metadatafiles as made
from tests.metadatafiles import RIGHTS, xmp
from tests.tasks.batch.test_batch import claim_all, run_of
from tests.workers import MakeSettings, OpenWorker, files_under, items_of

LOST, ODD = "damaged.jpg", "odd.jpg"


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """Two scans: one whose XMP ends within its rights, one with an orientation that is none."""
    folder = tmp_path / "strange"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    cut = xmp().encode()[: xmp().encode().index(RIGHTS.encode()) + 9]
    segment = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + cut)
    made.jpeg(folder / "one", segment).rename(folder / LOST)
    block = made.directory([(0x0112, 3, 1, b"\x09\0"), (0x011A, 2, 6, b"300/1\0")])
    made.jpeg(folder / "two", (0xE1, b"Exif\0\0" + block)).rename(folder / ODD)
    return folder


def test_lost_rights_wait_for_a_person_and_oddities_do_not(
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    strange: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Both are coloured; both say in story, sidecar and PREMIS what was wrong."""
    worker = worker_for(
        make_settings(
            sources=(str(strange),),
            publish_directly=True,
            write_sidecar=True,
            review_below_confidence=0.0,
        )
    )
    run_id = run_of(worker)
    colorize_batch(worker, claim_all(worker))
    items = items_of(worker.ledger)
    lost, odd = items[LOST], items[ODD]
    assert (lost.status, lost.reason) == (ItemStatus.REVIEW, Reason.METADATA_UNREADABLE)
    assert "XMP in segment APP1 is damaged" in lost.detail
    assert (odd.status, odd.reason) == (ItemStatus.PUBLISHED, None)
    assert any("Orientation is 9" in note for note in odd.notes)
    done = list_done(worker.ledger, run_id, derivatives=0, noted=12)
    assert done.noted == {item.uri: item.notes for item in (lost, odd)}
    sidecars = [
        json.loads(data)
        for path, data in files_under(tmp_path / "colour").items()
        if path.endswith(".json")
    ]
    told = {one["provenance"]["scan_uri"].rpartition("/")[2]: one["provenance"] for one in sidecars}
    for item in (lost, odd):
        name = item.uri.rpartition("/")[2]
        assert tuple(told[name]["notes"]) == item.notes
        story = worker.ledger.get_story(item.uri)
        print_story(story)
        printed = " ".join(capsys.readouterr().out.split())
        premis = export_premis([story], software="Autochrome 1").decode()
        for note in item.notes:
            assert " ".join(note.split()) in printed
            assert note.replace("&", "&amp;") in premis
    assert RIGHTS[:9] not in str(told[LOST]["descriptive"]["copyright"])
