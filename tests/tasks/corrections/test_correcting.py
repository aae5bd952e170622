"""Corrections from what a person says to the files: the real pipeline, with the bundled network."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pyvips
from typer.testing import CliRunner

from colormodel.checkpoint import DEFAULT_CHECKPOINT
from colormodel.correction import Correction, Mask
from colormodel.hints import Stroke
from flows.cli.app import app
from flows.cli.running import run_here
from tasks.batch.children import PixelPool
from tasks.batch.worker import take_over_leases
from tasks.corrections.saving import (
    list_waiting,
    order_corrected,
    save_correction,
    withdraw_correction,
)
from tasks.corrections.teaching import teach
from tasks.errors import UsageError
from tasks.ledger import Claim, ItemStatus, Ledger, orders
from tasks.ledger.corrections import CorrectedMeanwhile
from tasks.ledger.opening import open_ledger
from tasks.ledger.orders import Order, OrderMode, Scope
from tasks.ledger.records import ItemHistory
from tasks.ledger.reference_records import ReferenceKind, Split
from tasks.ledger.references import list_references
from tasks.orders.dispatch import OpenFanout
from tasks.orders.planning import make_order, plan_order
from tasks.orders.working import work_here
from tasks.provenance import this_program
from tasks.provenance.premis import export_premis
from tasks.schema import AttemptEnding
from tasks.settings import Settings
from tests.corrections import HINTS, RED, SAID, distances, in_use, path_of
from tests.orders import claim_of
from tests.packets import read_xmp
from tests.templates import Template
from tests.workers import settings_in


@pytest.fixture
def archive(correctable_template: Template) -> Path:
    """Two scans, after a run over them."""
    return correctable_template.restore() / "archive"


@pytest.fixture
def settings(archive: Path) -> Settings:
    """With the bundled network."""
    return settings_in(archive.parent, checkpoint=DEFAULT_CHECKPOINT, publish_directly=True)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """Of that archive."""
    with open_ledger(settings) as opened:
        yield opened


@pytest.fixture
def deep(archive: Path) -> str:
    """The TIFF's URI."""
    return (archive / "deep.tif").as_uri()


Colour = Callable[[str], int]


@pytest.fixture
def colour(settings: Settings, ledger: Ledger, fanout: OpenFanout) -> Colour:
    """Works an order for a corrected scan off; says how many items it had."""

    def work_off(uri: str) -> int:
        order = order_corrected(settings, ledger, [uri], who="Ann")
        stop = threading.Event()
        assert work_here(settings, ledger, order.id, stop=stop, open_fanout=fanout) == ""
        return order.items

    return work_off


def latest(ledger: Ledger, uri: str) -> ItemHistory:
    """The scan's last item."""
    return ledger.get_story(uri).items[-1]


def test_hints_hold_in_the_files_and_the_tone_is_kept(
    settings: Settings, ledger: Ledger, deep: str, colour: Colour
) -> None:
    """Within 3 ΔE at each place; the gate as for any item; the first result stays where it was."""
    first = in_use(latest(ledger, deep))
    before = path_of(first).read_bytes()
    assert max(distances(path_of(first))) > 10
    row = save_correction(ledger, deep, SAID, who="Ann", note="as the catalogue has it", seen=0)
    assert list_waiting(settings, ledger) == [deep]
    assert colour(deep) == 1
    assert list_waiting(settings, ledger) == []
    history = latest(ledger, deep)
    assert history.item.status is ItemStatus.PUBLISHED
    assert history.item.correction_id == row.id
    made = in_use(history)
    assert max(distances(path_of(made))) < 3
    assert made.max_delta_l is not None
    assert made.max_delta_l <= 0.05
    assert made.key.endswith(f"deep.tif.correction-{row.id:04}.tif")
    assert path_of(first).read_bytes() == before
    assert {one.key for one in history.derivatives} >= {first.key, made.key}


def test_a_spliced_jpeg_is_corrected_too(ledger: Ledger, archive: Path, colour: Colour) -> None:
    """Its luminance stays the scan's, bit for bit; chroma is coded, so within 5 ΔE."""
    uri = (archive / "plain.jpg").as_uri()
    strokes = (Stroke(((0.3, 0.85),), RED),)
    save_correction(ledger, uri, Correction(strokes), who="Ann")
    colour(uri)
    made = in_use(latest(ledger, uri))
    assert made.luma_identical
    assert max(distances(path_of(made), strokes)) < 5


def test_provenance_says_who_gave_how_many_hints(ledger: Ledger, deep: str, colour: Colour) -> None:
    """In the file, in PREMIS, and in the story; hostile names are text."""
    who = "Ann <b>O'Brien</b> & Söhne"
    masks = (Mask("grey", ((0.1, 0.1),), 0.05),)
    save_correction(ledger, deep, Correction(HINTS, 0.8, masks), who=who, note="from a <letter>")
    colour(deep)
    made = in_use(latest(ledger, deep))
    fields = ("xmp-data",)
    xmp = pyvips.Image.new_from_file(str(path_of(made))).get(*fields)
    told = read_xmp(bytes(xmp))
    assert told["autochrome:CorrectedBy"] == (who,)
    assert told["autochrome:Hints"] == ("3",)
    assert told["autochrome:Masks"] == ("1",)
    assert told["autochrome:CorrectionNote"] == ("from a <letter>",)
    words = "3 hints, 1 mask and strength 0.8 by"
    assert words in told["photoshop:Instructions"][0]
    assert words in " ".join(latest(ledger, deep).item.notes)
    story = ledger.get_story(deep)
    assert [(one.who, one.note) for one in story.corrections] == [(who, "from a <letter>")]
    premis = export_premis([story], software=this_program()).decode()
    assert "modification" in premis
    assert "person:Ann &lt;b&gt;O'Brien&lt;/b&gt; &amp; Söhne" in premis


def test_a_later_recipe_takes_the_hints_along(
    settings: Settings, ledger: Ledger, deep: str, colour: Colour, fanout: OpenFanout
) -> None:
    """Another network is in service: what a person said holds under it, and is said of it."""
    row = save_correction(ledger, deep, SAID, who="Ann")
    colour(deep)
    article = DEFAULT_CHECKPOINT.with_name("article.safetensors")
    later = settings.model_copy(update={"checkpoint": article})
    order = Order(OrderMode.CHANGED_RECIPE, Scope(uris=(deep,)), who="the archive")
    made = plan_order(ledger, make_order(later, ledger, order, name="changed").id)
    assert work_here(later, ledger, made.id, stop=threading.Event(), open_fanout=fanout) == ""
    old, new = ledger.get_story(deep).items
    assert (old.item.status, new.item.status) == (ItemStatus.SUPERSEDED, ItemStatus.PUBLISHED)
    assert new.item.correction_id == row.id
    assert max(distances(path_of(in_use(new)))) < 3


def test_a_night_takes_up_what_nobody_ordered(
    settings: Settings, ledger: Ledger, deep: str, pixels: PixelPool
) -> None:
    """Whoever saved was killed before the order: the next run does it, and only that one."""
    row = save_correction(ledger, deep, SAID, who="Ann")
    run_here(settings, as_json=True, pixels=pixels)
    assert latest(ledger, deep).item.correction_id == row.id
    attempts = len(latest(ledger, deep).attempts)
    run_here(settings, as_json=True, pixels=pixels)
    assert len(latest(ledger, deep).attempts) == attempts


def test_a_correction_counts_for_the_same_bytes_elsewhere(
    settings: Settings, ledger: Ledger, deep: str, archive: Path, pixels: PixelPool
) -> None:
    """A copy that turns up later is coloured by it at once."""
    row = save_correction(ledger, deep, SAID, who="Ann")
    copy = archive / "copy.tif"
    copy.write_bytes((archive / "deep.tif").read_bytes())
    run_here(settings, as_json=True, pixels=pixels)
    history = latest(ledger, copy.as_uri())
    assert history.item.correction_id == row.id
    assert max(distances(path_of(in_use(history)))) < 3


def test_what_is_withdrawn_counts_no_more(
    settings: Settings, ledger: Ledger, deep: str, colour: Colour
) -> None:
    """The one before counts again, then the network's own; all stays on record and sound."""
    network = in_use(latest(ledger, deep))
    first = save_correction(ledger, deep, SAID, who="Ann")
    colour(deep)
    second = save_correction(ledger, deep, Correction(HINTS[:1]), who="Ben", seen=first.id)
    colour(deep)
    assert second.parent_id == first.id
    for counts in (first.id, 0):
        withdraw_correction(ledger, deep, who="Ann", why="a mistake")
        assert colour(deep) == 1
        assert latest(ledger, deep).item.correction_id == counts
    assert in_use(latest(ledger, deep)).key == network.key
    with pytest.raises(UsageError, match="nobody has corrected it"):
        withdraw_correction(ledger, deep, who="Ann", why="")
    keys = {one.key for one in latest(ledger, deep).derivatives if one.kind == "master"}
    assert len(keys) == 3
    output = path_of(network).parents[len(Path(network.key).parents) - 1]
    assert all((output / key).is_file() for key in keys)
    audited = CliRunner().invoke(
        app,
        ["audit", "--db", settings.database_url.get_secret_value(), "--out", settings.output],
    )
    assert audited.exit_code == 0, audited.output


def test_two_people_at_one_scan(ledger: Ledger, deep: str) -> None:
    """The second is told who was faster; both words are on record once he insists."""
    ann = save_correction(ledger, deep, SAID, who="Ann", seen=0)
    with pytest.raises(CorrectedMeanwhile, match="Ann has corrected it") as told:
        save_correction(ledger, deep, Correction(HINTS[:1]), who="Ben", seen=0)
    assert told.value.last == ann
    ben = save_correction(ledger, deep, Correction(HINTS[:1]), who="Ben", seen=ann.id)
    assert [one.id for one in ledger.get_story(deep).corrections] == [ann.id, ben.id]


def test_whoever_colours_it_just_now_begins_again(
    settings: Settings, ledger: Ledger, deep: str
) -> None:
    """A correction that comes while a worker has the item is not lost to the worker's result."""
    first = save_correction(ledger, deep, Correction(HINTS[:1]), who="Ben")
    order = order_corrected(settings, ledger, [deep], who="Ben")

    def claim() -> Claim:
        held = claim_of(ledger, order.id)
        assert held is not None
        return held

    assert [one.correction and one.correction.id for one in claim().items] == [first.id]
    row = save_correction(ledger, deep, SAID, who="Ann")
    assert latest(ledger, deep).attempts[-1].ending is AttemptEnding.REVOKED
    (again,) = claim().items
    assert again.correction is not None
    assert (again.attempt, again.correction.id) == (1, row.id)


def test_what_says_nothing_or_was_never_read_is_refused(
    ledger: Ledger, deep: str, archive: Path, settings: Settings
) -> None:
    """Each with what to do instead."""
    with pytest.raises(UsageError, match="this says nothing"):
        save_correction(ledger, deep, Correction(), who="Ann")
    with pytest.raises(UsageError, match="no scans are known"):
        save_correction(ledger, "file:///nowhere.tif", SAID, who="Ann")
    (archive / "new.tif").write_bytes((archive / "deep.tif").read_bytes())
    listed = CliRunner().invoke(
        app, ["discover", str(archive), "--db", settings.database_url.get_secret_value()]
    )
    assert listed.exit_code == 0, listed.output
    with pytest.raises(UsageError, match="was not read yet"):
        save_correction(ledger, (archive / "new.tif").as_uri(), SAID, who="Ann")


def test_a_corrected_picture_is_taught_for_training_alone(
    settings: Settings, ledger: Ledger, deep: str, colour: Colour
) -> None:
    """Marked as corrected; taught anew, it takes the place of the one before; else refused."""
    with pytest.raises(UsageError, match="no derivative in use was made with a correction"):
        teach(settings, ledger, deep, who="Ann")
    save_correction(ledger, deep, SAID, who="Ann")
    colour(deep)
    answer = teach(settings, ledger, deep, who="Ann", note="her dress is in the museum")
    assert answer.verdict is None
    (row,) = list_references(ledger)
    assert (row.id, row.split) == (answer.reference_id, Split.TRAIN)
    assert row.described.kind is ReferenceKind.CORRECTION
    assert not row.described.kind.is_evidence
    assert "3 hints by Ann" in row.described.note
    save_correction(ledger, deep, Correction(HINTS[:2], 1.2), who="Ben")
    colour(deep)
    again = teach(settings, ledger, deep, who="Ben")
    assert again.verdict is None
    assert [one.id for one in list_references(ledger)] == [again.reference_id]


def _cli(settings: Settings, *arguments: str) -> list[str]:
    database = settings.database_url.get_secret_value()
    return ["correct", *arguments, "--db", database, "--out", settings.output, "--here"]


def test_the_command_line_does_the_same(
    settings: Settings, ledger: Ledger, deep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hints from a file, a strength beside them, withdrawing; wrong files are one line."""
    monkeypatch.setenv("AUTOCHROME_CHECKPOINT", str(DEFAULT_CHECKPOINT))
    monkeypatch.setenv("AUTOCHROME_PUBLISH_DIRECTLY", "true")
    hints = tmp_path / "hints.json"
    hints.write_text('[{"x": 0.35, "y": 0.85, "rgb": [190, 40, 50]}]')
    made = CliRunner().invoke(
        app, _cli(settings, deep, "--hints", str(hints), "--strength", "0.5", "--who", "Ann")
    )
    assert made.exit_code == 0, made.output
    said = ledger.get_story(deep).corrections[-1]
    assert (said.who, said.said["strength"]) == ("Ann", 0.5)
    assert max(distances(path_of(in_use(latest(ledger, deep))), HINTS[:1])) < 3
    taken_back = CliRunner().invoke(app, _cli(settings, deep, "--withdraw"))
    assert taken_back.exit_code == 0, taken_back.output
    assert latest(ledger, deep).item.correction_id == 0
    hints.write_text('[{"x": 2}]')
    wrong = CliRunner().invoke(app, _cli(settings, deep, "--hints", str(hints)))
    assert isinstance(wrong.exception, UsageError)
    assert "hint 1: expected" in str(wrong.exception)


def test_killed_in_the_middle_it_is_done_once_and_by_the_hints(
    settings: Settings, ledger: Ledger, deep: str, tmp_path: Path, fanout: OpenFanout
) -> None:
    """SIGKILL while a worker has the corrected item; whoever comes next finishes it."""
    hints = tmp_path / "hints.json"
    hints.write_text('[{"x": 0.35, "y": 0.85, "rgb": [190, 40, 50]}]')
    environment = {
        **os.environ,
        "AUTOCHROME_CHECKPOINT": str(DEFAULT_CHECKPOINT),
        "AUTOCHROME_PUBLISH_DIRECTLY": "true",
        "AUTOCHROME_DEVICE": "cpu",
    }
    command = [sys.executable, "-m", "flows.cli", *_cli(settings, deep, "--hints", str(hints))]
    running = subprocess.Popen(command, env=environment, start_new_session=True)
    _wait_for(lambda: latest(ledger, deep).item.status is ItemStatus.CLAIMED)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    order = orders.list_open(ledger)[0]
    take_over_leases(ledger)  # as every worker does when it starts
    assert work_here(settings, ledger, order.id, stop=threading.Event(), open_fanout=fanout) == ""
    history = latest(ledger, deep)
    said = ledger.get_story(deep).corrections[-1]
    assert (history.item.status, history.item.correction_id) == (ItemStatus.PUBLISHED, said.id)
    assert max(distances(path_of(in_use(history)), HINTS[:1])) < 3
    assert sum(one.correction_id == said.id for one in history.derivatives) == 2


def _wait_for(holds: Any, *, within_s: float = 120) -> None:  # noqa: ANN401 - a question
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)


def test_only_what_was_corrected_since_is_due(ledger: Ledger, deep: str, colour: Colour) -> None:
    """And only until it is done: by the mode for it, and by that of every night."""
    recipe = ledger.current_recipe()
    assert recipe is not None

    def due(mode: OrderMode) -> int:
        return orders.plan(ledger, Order(mode), recipe.id).items

    modes = (OrderMode.CORRECTED, OrderMode.MISSING)
    assert [due(mode) for mode in modes] == [0, 0]
    save_correction(ledger, deep, SAID, who="Ann")
    assert [due(mode) for mode in modes] == [1, 1]
    colour(deep)
    assert [due(mode) for mode in modes] == [0, 0]
