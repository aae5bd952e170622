"""Films in runs: one item, many shots, several workers, and a kill that costs a shot."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from colormodel.correction import Correction
from colormodel.hints import Stroke
from tasks.corrections.saving import save_correction
from tasks.ledger import ItemFilter, Ledger, film_figures, films
from tasks.ledger.records import DerivativeRow, ShotRow
from tasks.schema import ItemStatus, ShotStatus
from tests.films import SHOT_FRAMES, lumas, write_reel
from tests.workers import attempts_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reels(tmp_path: Path) -> Path:
    """An archive with one film in it, of six shots."""
    folder = tmp_path / "reels"
    folder.mkdir()
    write_reel(folder / "newsreel.mkv", shots=6)
    return folder


class Command:
    """`autochrome run` in a process of its own."""

    def __init__(self, source: Path, folder: Path, url: str, checkpoint: Path) -> None:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "AUTOCHROME_CHECKPOINT": str(checkpoint),
            "AUTOCHROME_DEVICE": "cpu",
            "AUTOCHROME_THREADS": "1",
            "AUTOCHROME_LEASE_S": "5",
            "AUTOCHROME_DATABASE_URL": url,
        }
        out = folder / "colour"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run", source, "--out", out, "--json"],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def counts(self) -> dict[str, int]:
        """What it has counted at its end."""
        out, errors = self.process.communicate(timeout=240)
        assert self.process.returncode == 0, errors.decode()
        return dict(json.loads(out)["items"])


def main_in_process(*arguments: str) -> int:
    """The exit code of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
    )
    return done.returncode


def the_film(ledger: Ledger) -> int:
    """The only item's number."""
    (one,) = ledger.list_items(ItemFilter(), limit=2)
    return one.id


def wait_for(ledger: Ledger, *, done: int) -> list[ShotRow]:
    """The shots of the film, as soon as so many are done."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        for one in ledger.list_items(ItemFilter(), limit=1):
            shots = films.list_shots(ledger, one.id)
            if sum(shot.status is ShotStatus.DONE for shot in shots) >= done:
                return shots
        time.sleep(0.02)
    raise TimeoutError(f"no {done} shots were done")


def test_film_keeps_its_tone_and_has_its_files(
    reels: Path, tmp_path: Path, sqlite_url: str, quick_checkpoint: Path
) -> None:
    """Master, access copy, poster, digests and XMP; Y′ of each frame is the film's own."""
    assert Command(reels, tmp_path, sqlite_url, quick_checkpoint).counts() == {"review": 1}
    with Ledger.open(sqlite_url) as ledger:
        story = ledger.get_story((reels / "newsreel.mkv").as_uri())
        told = film_figures.frames_of_archive(ledger, None)
    assert (story.scan.frames, story.scan.width, story.scan.height) == (6 * SHOT_FRAMES, 96, 64)
    assert (told.films, told.frames, told.done) == (1, 6 * SHOT_FRAMES, 6 * SHOT_FRAMES)
    (history,) = story.items
    made = {one.kind: tmp_path / "colour" / one.key for one in history.derivatives}
    assert made.keys() == {"master", "access", "poster", "framemd5", "xmp"}
    assert {path.suffix for path in made.values()} == {
        *(".mkv", ".mp4", ".jpg", ".framemd5", ".xmp")
    }
    assert lumas(made["master"]) == lumas(reels / "newsreel.mkv")
    restored = tmp_path / "restored.mkv"
    assert main_in_process("restore", str(made["master"]), str(restored)) == 0
    assert lumas(restored) == lumas(reels / "newsreel.mkv")
    assert main_in_process("restore", str(made["master"]), str(restored)) == 2, "it exists"
    assert b"compositeWithTrainedAlgorithmicMedia" in made["xmp"].read_bytes()
    assert [shot.number for shot in history.shots] == [1, 2, 3, 4, 5, 6]
    assert all((tmp_path / "colour" / str(shot.poster_key)).is_file() for shot in history.shots)
    assert not [*(tmp_path / "colour" / "work").rglob("*.mkv")], "segments are gone"


def test_killed_run_goes_on_from_the_shots_that_are_done(
    reels: Path, tmp_path: Path, sqlite_url: str, quick_checkpoint: Path
) -> None:
    """SIGKILL amid a film: what was done is not done again, and nothing of the film is lost."""
    killed = Command(reels, tmp_path, sqlite_url, quick_checkpoint)
    until = time.monotonic() + 60
    while not Path(sqlite_url.removeprefix("sqlite:///")).exists() and time.monotonic() < until:
        time.sleep(0.05)
    with Ledger.open(sqlite_url) as ledger:
        wait_for(ledger, done=2)
        killed.process.send_signal(signal.SIGKILL)
        killed.process.communicate()
        before = {
            shot.number: shot.finished_at
            for shot in films.list_shots(ledger, the_film(ledger))
            if shot.status is ShotStatus.DONE
        }
        assert Command(reels, tmp_path, sqlite_url, quick_checkpoint).counts() == {"review": 1}
        after = {shot.number: shot for shot in films.list_shots(ledger, the_film(ledger))}
        (master,) = (
            one
            for one in ledger.get_story((reels / "newsreel.mkv").as_uri()).items[0].derivatives
            if one.kind == "master"
        )
    assert {number: after[number].finished_at for number in before} == before
    assert lumas(tmp_path / "colour" / master.key) == lumas(reels / "newsreel.mkv")


def test_two_processes_share_a_reel(
    reels: Path, tmp_path: Path, sqlite_url: str, quick_checkpoint: Path
) -> None:
    """Whoever has nothing of its own joins in, shot by shot; the film is finished once."""
    # So many that the second is there, imports and all, before the first has done them alone.
    write_reel(reels / "newsreel.mkv", shots=160)
    first = Command(reels, tmp_path, sqlite_url, quick_checkpoint)
    second = Command(reels, tmp_path, sqlite_url, quick_checkpoint)
    assert first.counts() == second.counts() == {"review": 1}
    with Ledger.open(sqlite_url) as ledger:
        shots = films.list_shots(ledger, the_film(ledger))
        (attempt,) = attempts_of(ledger)
        assert attempt.status is ItemStatus.REVIEW
    assert len({shot.worker for shot in shots}) == 2


def test_killed_amid_a_corrected_shot_goes_on(
    reels: Path, tmp_path: Path, sqlite_url: str, quick_checkpoint: Path
) -> None:
    """SIGKILL: the next run colours what was corrected, and that alone; the earlier film stays."""
    uri = (reels / "newsreel.mkv").as_uri()
    frame = 2 * SHOT_FRAMES + 1
    assert Command(reels, tmp_path, sqlite_url, quick_checkpoint).counts() == {"review": 1}
    said = Correction((Stroke(((0.5, 0.5),), (200.0, 30.0, 40.0)),))
    with Ledger.open(sqlite_url) as ledger:
        before = films.list_shots(ledger, the_film(ledger))
        earlier = master_of(ledger)
        row = save_correction(ledger, uri, said, who="Ann", frame=frame)
        killed = Command(reels, tmp_path, sqlite_url, quick_checkpoint)
        until = time.monotonic() + 120
        while films.list_shots(ledger, the_film(ledger))[2].status is not ShotStatus.CLAIMED:
            assert time.monotonic() < until
        killed.process.send_signal(signal.SIGKILL)
        killed.process.communicate()
        assert films.list_shots(ledger, the_film(ledger))[2].status is ShotStatus.CLAIMED
        assert Command(reels, tmp_path, sqlite_url, quick_checkpoint).counts() == {"review": 1}
        after = films.list_shots(ledger, the_film(ledger))
        made = master_of(ledger)
    changed = [one.number for one, old in zip(after, before, strict=True)
               if one.finished_at != old.finished_at]  # fmt: skip
    assert changed == [3]
    assert {one.correction_id for one in after} == {row.id}
    assert made.correction_id == row.id
    assert made.key != earlier.key
    for one in (earlier, made):
        assert lumas(tmp_path / "colour" / one.key) == lumas(reels / "newsreel.mkv")


def master_of(ledger: Ledger) -> DerivativeRow:
    """The master that was made last."""
    made = films.master_of(ledger, the_film(ledger))
    assert made is not None
    return made
