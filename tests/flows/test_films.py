"""Films in runs: one item, many shots, several workers, and a kill that costs a shot."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from colormodel.correction import Correction
from colormodel.hints import Stroke
from flows.cli.app import app
from flows.cli.running import run_here
from flows.terminal import ExitCode
from tasks.batch.children import PixelPool
from tasks.corrections.saving import save_correction
from tasks.errors import UsageError
from tasks.ledger import ItemFilter, Ledger, film_figures, films
from tasks.ledger.records import DerivativeRow, ShotRow
from tasks.schema import ItemStatus, ShotStatus
from tasks.settings import Settings
from tests.films import SHOT_FRAMES, lumas, write_reel
from tests.workers import MakeSettings, at_rest, attempts_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reels(tmp_path: Path) -> Path:
    """An archive with one film in it, of six shots."""
    folder = tmp_path / "reels"
    folder.mkdir()
    write_reel(folder / "newsreel.mkv", shots=6)
    return folder


@pytest.fixture
def settings(reels: Path, make_settings: MakeSettings) -> Settings:
    """Of runs over that archive."""
    return make_settings(sources=(str(reels),))


def start(settings: Settings) -> "subprocess.Popen[bytes]":
    """`autochrome run` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run", *settings.sources, "--json"],
        env=os.environ | settings.as_environment() | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def counts(process: "subprocess.Popen[bytes]") -> dict[str, int]:
    """What it has counted at its end."""
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()
    return dict(json.loads(out)["items"])


def finish(settings: Settings, pixels: PixelPool) -> None:
    """The same in this process: the film is done then."""
    assert run_here(settings, as_json=True, pixels=pixels) is ExitCode.CLEAN
    with Ledger.open(settings.database_url.get_secret_value()) as ledger:
        assert dict(ledger.counts().items) == {"review": 1}


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
    reels: Path, tmp_path: Path, sqlite_url: str, settings: Settings, pixels: PixelPool
) -> None:
    """Master, access copy, poster, digests and XMP; Y′ of each frame is the film's own."""
    finish(settings, pixels)
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
    restore = ["restore", str(made["master"]), str(restored)]
    assert CliRunner().invoke(app, restore).exit_code == 0
    assert lumas(restored) == lumas(reels / "newsreel.mkv")
    with pytest.raises(UsageError, match="exists"):  # exit code 2
        CliRunner().invoke(app, restore, catch_exceptions=False)
    assert b"compositeWithTrainedAlgorithmicMedia" in made["xmp"].read_bytes()
    assert [shot.number for shot in history.shots] == [1, 2, 3, 4, 5, 6]
    assert all((tmp_path / "colour" / str(shot.poster_key)).is_file() for shot in history.shots)
    assert not [*(tmp_path / "colour" / "work").rglob("*.mkv")], "segments are gone"


def test_killed_run_goes_on_from_the_shots_that_are_done(
    reels: Path, tmp_path: Path, sqlite_url: str, settings: Settings, pixels: PixelPool
) -> None:
    """SIGKILL amid a film: what was done is not done again, and nothing of the film is lost."""
    killed = start(settings)
    with Ledger.open(sqlite_url) as ledger:
        wait_for(ledger, done=2)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        before = {
            shot.number: shot.finished_at
            for shot in films.list_shots(ledger, the_film(ledger))
            if shot.status is ShotStatus.DONE
        }
        finish(settings, pixels)
        after = {shot.number: shot for shot in films.list_shots(ledger, the_film(ledger))}
        (master,) = (
            one
            for one in ledger.get_story((reels / "newsreel.mkv").as_uri()).items[0].derivatives
            if one.kind == "master"
        )
    assert {number: after[number].finished_at for number in before} == before
    assert lumas(tmp_path / "colour" / master.key) == lumas(reels / "newsreel.mkv")


def test_two_processes_share_a_reel(sqlite_url: str, settings: Settings) -> None:
    """Whoever has nothing of its own joins in, shot by shot; the film is finished once."""
    first = start(settings)
    with Ledger.open(sqlite_url) as ledger:
        wait_for(ledger, done=1)
        with at_rest(first, sqlite_url):  # or it would be done before the other has begun
            second = start(settings)
            wait_for(ledger, done=4)
    assert counts(first) == counts(second) == {"review": 1}
    with Ledger.open(sqlite_url) as ledger:
        shots = films.list_shots(ledger, the_film(ledger))
        (attempt,) = attempts_of(ledger)
        assert attempt.status is ItemStatus.REVIEW
    assert len({shot.worker for shot in shots}) == 2


def test_killed_amid_a_corrected_shot_goes_on(
    reels: Path, tmp_path: Path, sqlite_url: str, settings: Settings, pixels: PixelPool
) -> None:
    """SIGKILL: the next run colours what was corrected, and that alone; the earlier film stays."""
    uri = (reels / "newsreel.mkv").as_uri()
    frame = 2 * SHOT_FRAMES + 1
    finish(settings, pixels)
    said = Correction((Stroke(((0.5, 0.5),), (200.0, 30.0, 40.0)),))
    with Ledger.open(sqlite_url) as ledger:
        before = films.list_shots(ledger, the_film(ledger))
        earlier = master_of(ledger)
        row = save_correction(ledger, uri, said, who="Ann", frame=frame)
        killed = start(settings)
        until = time.monotonic() + 120
        while films.list_shots(ledger, the_film(ledger))[2].status is not ShotStatus.CLAIMED:
            assert time.monotonic() < until
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert films.list_shots(ledger, the_film(ledger))[2].status is ShotStatus.CLAIMED
        finish(settings, pixels)
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
