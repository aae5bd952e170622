"""Films in a batch: found by content, coloured shot by shot, stopped between shots, and failing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.batch import film_files, sources
from tasks.batch import films as stage
from tasks.batch.batch import colorize_batch
from tasks.batch.reels import MadeReel, make_reel
from tasks.batch.worker import Worker
from tasks.errors import Reason, StorageUnavailable, ToneGateFailed
from tasks.films.colouring import colour_shot
from tasks.films.header import FilmHeader
from tasks.films.shots import Shot
from tasks.ledger import ItemFilter, films
from tasks.ledger.done import list_done
from tasks.orders.run import begin_run
from tasks.schema import ItemStatus, ShotStatus
from tasks.storage.folder import FolderStore
from tests.films import SHOT_FRAMES, write_reel
from tests.orders import claim_batch, work_off
from tests.s3server import S3Bucket, settings_for
from tests.tasks.batch.test_batch import claim_all, run_of
from tests.workers import MakeSettings, OpenWorker, attempts_of, enqueue_missing, items_of

NAME = "reel.jpg"  # what counts is content


@pytest.fixture
def worker(make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path) -> Worker:
    """A worker over an archive that holds one film of three shots, and nothing else."""
    folder = tmp_path / "reels"
    folder.mkdir()
    write_reel(folder / NAME, shots=3)
    return worker_for(make_settings(sources=(str(folder),)))


def shots_done(worker: Worker) -> list[int]:
    """The numbers of the film's shots that are done."""
    shots = films.list_shots(worker.ledger, items_of(worker.ledger)[NAME].id)
    return [shot.number for shot in shots if shot.status is ShotStatus.DONE]


def fails_at(
    monkeypatch: pytest.MonkeyPatch, number: int, error: Exception, *, times: int = 100
) -> None:
    """Have colouring a shot go wrong, so many times."""
    left = [times]

    def faulty(
        path: Path, header: FilmHeader, shot: Shot, *rest: object, **named: object
    ) -> object:
        if shot.first == (number - 1) * SHOT_FRAMES and left[0]:
            left[0] -= 1
            raise error
        return colour_shot(path, header, shot, *rest, **named)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(stage, "colour_shot", faulty)
    monkeypatch.setattr(stage, "AGAIN_AFTER_S", 0.02)
    monkeypatch.setattr(stage, "LEAST_WAIT_S", 0.02)


def test_film_is_told_by_its_content(worker: Worker) -> None:
    """Whatever its name; beside scans, after which it comes."""
    run_id = run_of(worker)
    summary = work_off(worker)
    assert dict(summary.statuses) == {ItemStatus.REVIEW: 1}
    done = list_done(worker.ledger, run_id, derivatives=12, noted=0)
    assert [(one.key.split("/")[1], one.is_film) for one in done.derivatives] == [("poster", True)]
    assert shots_done(worker) == [1, 2, 3]
    assert [path.name for path in worker.scratch.iterdir()] == ["owner"]


def test_film_stops_between_two_shots_and_goes_on(worker: Worker) -> None:
    """The attempt does not count, and what is done is not done again."""
    asked = iter([True, True, True, False])
    summary = colorize_batch(worker, claim_all(worker), goes_on=lambda: next(asked))
    assert (summary.items, summary.given_back) == (0, 1)
    assert shots_done(worker) == [1, 2]
    assert items_of(worker.ledger)[NAME].attempts == 0
    before = films.list_shots(worker.ledger, items_of(worker.ledger)[NAME].id)
    assert dict(work_off(worker).statuses) == {ItemStatus.REVIEW: 1}
    after = films.list_shots(worker.ledger, items_of(worker.ledger)[NAME].id)
    assert [shot.finished_at for shot in after[:2]] == [shot.finished_at for shot in before[:2]]


def add_film(worker: Worker, path: Path) -> None:
    """Put another film of one shot into the archive, to be coloured too."""
    write_reel(path, shots=1)
    with begin_run(worker.settings, kind="test", name="a test") as run:
        run.discover(worker.settings.sources[0])
    enqueue_missing(worker.settings, worker.ledger)


def test_large_film_is_fetched_once_in_its_turn(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are in a batch: their first bytes tell them."""
    add_film(worker, tmp_path / "reels" / "other.mkv")
    fetched, fetch = [], FolderStore.fetch

    def noting(store: FolderStore, key: str, into: Path, **rest: str | None) -> str:
        fetched.append(key)
        return fetch(store, key, into, **rest)

    monkeypatch.setattr(FolderStore, "fetch", noting)
    monkeypatch.setattr(sources, "LARGE_BYTES", 0)
    summary = colorize_batch(worker, claim_all(worker))
    assert dict(summary.statuses) == {ItemStatus.REVIEW: 2}
    assert sorted(key for key in fetched if "/" not in key) == ["other.mkv", NAME]


def is_held(worker: Worker, reel: Path) -> None:
    """A person says that nobody is to see the film."""
    uri = items_of(worker.ledger)[reel.name].uri
    worker.ledger.hold(ItemFilter(uri=uri), who="archivist", why="rights")


def is_replaced(worker: Worker, reel: Path) -> None:
    """Another film lies in its place, and a discovery has found it."""
    write_reel(reel, shots=2)
    with begin_run(worker.settings, kind="test", name="a test") as run:
        run.discover(worker.settings.sources[0])


@pytest.mark.parametrize("take_away", [is_held, is_replaced])
def test_film_that_is_taken_away_is_let_go_and_the_batch_goes_on(
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    take_away: Callable[[Worker, Path], None],
    tmp_path: Path,
) -> None:
    """While its first shot is coloured: no other is, and the other film of the batch is made."""
    add_film(worker, tmp_path / "reels" / "other.mkv")
    item_id, coloured = items_of(worker.ledger)[NAME].id, []

    def taken(path: Path, header: FilmHeader, shot: Shot, *rest: object, **named: object) -> object:
        if path.parent.name == str(item_id):
            coloured.append(shot.first)
            take_away(worker, tmp_path / "reels" / NAME)
        return colour_shot(path, header, shot, *rest, **named)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(stage, "colour_shot", taken)
    claim = claim_all(worker)
    assert len(claim.items) == 2
    summary = colorize_batch(worker, claim)
    assert (dict(summary.statuses), summary.lost_leases) == ({ItemStatus.REVIEW: 1}, 1)
    assert coloured == [0]
    assert shots_done(worker) == []
    assert items_of(worker.ledger)["other.mkv"].status is ItemStatus.REVIEW


def test_shot_that_fails_fails_its_film_at_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its reason, and which frames it is; other shots that were done stay so."""
    fails_at(monkeypatch, 2, ToneGateFailed("Y′ of frame 9 differs"))
    assert dict(work_off(worker).statuses) == {ItemStatus.FAILED: 1}
    item = items_of(worker.ledger)[NAME]
    assert item.reason is Reason.TONE_GATE
    assert item.detail == "shot 2, frames 8 to 15: Y′ of frame 9 differs"
    assert shots_done(worker) == [1]


@pytest.mark.parametrize(("times", "status"), [(2, ItemStatus.REVIEW), (9, ItemStatus.FAILED)])
def test_shot_is_tried_as_often_as_an_item(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, times: int, status: ItemStatus
) -> None:
    """Where the world was at fault; and its film once, however often the shot was tried."""
    fails_at(monkeypatch, 2, StorageUnavailable("no answer"), times=times)
    assert dict(work_off(worker).statuses) == {status: 1}
    assert len(attempts_of(worker.ledger)) == 1


def test_segment_that_is_gone_is_coloured_again(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swept by a bucket's lifecycle, or damaged: its shot is open again, and no other."""
    asked = iter([True, True, True, False])
    colorize_batch(worker, claim_all(worker), goes_on=lambda: next(asked))
    first, second = sorted((tmp_path / "colour" / "work").rglob("*.mkv"))
    first.unlink()
    coloured = []

    def noting(
        path: Path, header: FilmHeader, shot: Shot, *rest: object, **named: object
    ) -> object:
        coloured.append(shot.first)
        return colour_shot(path, header, shot, *rest, **named)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(stage, "colour_shot", noting)
    assert dict(work_off(worker).statuses) == {ItemStatus.REVIEW: 1}
    assert coloured == [2 * SHOT_FRAMES, 0]
    assert not second.exists()


@pytest.mark.parametrize("is_left", [True, False])
def test_output_that_goes_while_a_reel_is_made_takes_no_shot_along(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_left: bool
) -> None:
    """Whether the folder that it is mounted to is left or not: its segments are not gone."""
    output = tmp_path / "colour"

    def made_without_output(*given: object) -> MadeReel | None:
        output.rename(tmp_path / "elsewhere")
        if is_left:
            output.mkdir()
        return make_reel(*given)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(stage, "make_reel", made_without_output)
    summary = colorize_batch(worker, claim_all(worker))
    assert "mount" in summary.aborted
    assert shots_done(worker) == [1, 2, 3]
    assert items_of(worker.ledger)[NAME].attempts == 0


def test_who_has_nothing_to_claim_colours_a_shot_of_the_film(worker: Worker) -> None:
    """One at a time, of the film that another holds; the holder puts it together."""
    claim = claim_all(worker)
    asked = iter([True, True, False])
    share = stage.FilmShare(claim.order_id, lambda: True)
    assert stage.help_with_a_film(worker, share).shots == 0, "its shots are not known yet"
    colorize_batch(worker, claim, goes_on=lambda: next(asked))
    held = claim_batch(worker.ledger, worker.recipe_id, worker="another", limit=1)
    assert held is not None
    assert stage.help_with_a_film(worker, share).shots == 1
    assert shots_done(worker) == [1, 2]
    assert stage.help_with_a_film(worker, share).shots == 1
    assert films.standing(worker.ledger, held.token, held.items[0].id).is_done
    assert stage.help_with_a_film(worker, share).shots == 0
    worker.ledger.give_back(held.token)
    assert dict(work_off(worker).statuses) == {ItemStatus.REVIEW: 1}


def test_who_cannot_fetch_a_film_leaves_it_to_its_holder(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shots stay due, none has failed, and it is not tried again and again."""
    claim = claim_all(worker)
    asked = iter([True, True, False])
    colorize_batch(worker, claim, goes_on=lambda: next(asked))
    held = claim_batch(worker.ledger, worker.recipe_id, worker="another", limit=1)
    assert held is not None
    reel = tmp_path / "reels" / NAME
    away, share = reel.rename(tmp_path / "elsewhere"), stage.FilmShare(claim.order_id, lambda: True)
    summary = stage.help_with_a_film(worker, share)
    assert (summary.shots, summary.aborted) == (0, "")
    told = films.standing(worker.ledger, held.token, held.items[0].id)
    assert (told.failed, told.due_in_s) == (None, 0)
    away.rename(reel)
    assert stage.help_with_a_film(worker, share).shots == 0, "it is left out for a while"
    monkeypatch.setattr(film_files, "LEFT_OUT_S", 0.0)
    worker.films.leave_out(held.items[0])
    assert stage.help_with_a_film(worker, share).shots == 1


def test_film_in_a_bucket_is_made_over_postgresql(
    make_settings: MakeSettings,
    worker_for: OpenWorker,
    tmp_path: Path,
    s3_bucket: S3Bucket,
    postgresql_url: str,
) -> None:
    """Read from S3, its segments there until their lifecycle takes them; one of them is gone."""
    write_reel(tmp_path / NAME, shots=2)
    bucket, data = {"Bucket": s3_bucket.name}, (tmp_path / NAME).read_bytes()
    s3_bucket.client.put_object(**bucket, Key=f"films/{NAME}", Body=data)
    settings = make_settings(
        sources=(f"{s3_bucket.url}/films",),
        output=f"{s3_bucket.url}/colour",
        database_url=postgresql_url,
        **settings_for(s3_bucket.endpoint).model_dump(exclude_unset=True),
    )
    worker = worker_for(settings)
    asked = iter([True, True, False])
    colorize_batch(worker, claim_all(worker), goes_on=lambda: next(asked))
    (listed,) = s3_bucket.client.list_objects_v2(**bucket, Prefix="colour/work/")["Contents"]
    s3_bucket.client.delete_object(**bucket, Key=listed["Key"])
    assert dict(work_off(worker).statuses) == {ItemStatus.REVIEW: 1}
    item = items_of(worker.ledger)[NAME]
    made = [one.kind for one in worker.ledger.get_story(item.uri).items[0].derivatives]
    assert sorted(made) == ["access", "framemd5", "master", "poster", "xmp"]
    kept = s3_bucket.client.list_objects_v2(**bucket, Prefix="colour/work/")
    assert kept["KeyCount"] == 2, "no account of ours may delete there"


def test_damaged_film_is_quarantined(
    make_settings: MakeSettings, worker_for: OpenWorker, tmp_path: Path
) -> None:
    """With a reason of its own, like a scan."""
    folder = tmp_path / "reels"
    folder.mkdir()
    write_reel(folder / "cut.mkv", shots=3)
    whole = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    worker = worker_for(make_settings(sources=(str(folder),)))
    assert dict(work_off(worker).statuses) == {ItemStatus.QUARANTINED: 1}
    assert items_of(worker.ledger)["cut.mkv"].reason in (Reason.TRUNCATED, Reason.UNREADABLE)
