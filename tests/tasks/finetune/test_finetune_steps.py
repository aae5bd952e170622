"""The steps of a fine-tuning, run for real with a tiny network."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file

from colormodel.checkpoint import read_checkpoint
from tasks.checkpoints import fetch_checkpoint, find_checkpoint
from tasks.errors import FixityMismatch, UsageError
from tasks.finetune.judging import Rules
from tasks.finetune.records import Approval, Finetuning, NoTraining, TrainingResult
from tasks.finetune.steps import begin, conclude, judge_challenger, train
from tasks.ledger import Ledger
from tasks.ledger.checkpoints import champion_checkpoint, roll_back
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import Exposure, Split, TrainingRow, TrainingVerdict
from tasks.ledger.references import list_references, witnesses_of
from tasks.ledger.trainings import list_trainings
from tasks.settings import Settings
from tests.schools import School, bring
from tests.tasks.references.colours import write_colours

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run_finetuning(settings: Settings, approval: Approval | None = None) -> TrainingRow:
    """All of it, as `autochrome finetune` does."""
    with (
        open_ledger(settings) as ledger,
        begin(settings, ledger, run_id=None, who="finetune") as finetuning,
    ):
        assert isinstance(finetuning, Finetuning)
        return conclude(finetuning, judged_of(finetuning), approval, who="finetune")


def judged_of(finetuning: Finetuning) -> TrainingResult:
    """Trained and judged."""
    return judge_challenger(finetuning, train(finetuning))


def reason_to_skip(settings: Settings) -> str:
    """Why there is no need to train."""
    with (
        open_ledger(settings) as ledger,
        begin(settings, ledger, run_id=None, who="finetune") as finetuning,
    ):
        assert isinstance(finetuning, NoTraining)
        return finetuning.why


def champion_of(ledger: Ledger) -> str:
    """The digest of the checkpoint in service."""
    row = champion_checkpoint(ledger)
    assert row is not None
    return row.digest


def test_a_challenger_that_wins_is_promoted_and_all_of_it_is_on_record(
    school: School, tmp_path: Path
) -> None:
    """Pointer, verdict, figures, card, report, who saw what; then nothing is new, and back."""
    settings = school()
    with open_ledger(settings) as ledger:
        before = champion_of(ledger)
    ended = run_finetuning(settings)
    assert ended.verdict is TrainingVerdict.PROMOTED, ended.why
    assert "on the references held out its ΔE₀₀ is" in ended.why
    assert {row["set"] for row in ended.figures["table"]} == {"held out", "base"}  # type: ignore[attr-defined]
    report = tmp_path / "colour" / "trainings" / "00001"
    assert sorted(path.name for path in report.iterdir()) == [
        "curves.svg", "examples.jpg", "report.md"
    ]  # fmt: skip
    with open_ledger(settings) as ledger:
        assert champion_of(ledger) == ended.challenger
        challenger = find_checkpoint(settings, ledger, tmp_path)
        assert challenger.card.version == f"1+{ended.set_digest[:12]}"
        assert ("references", "CC0") in {(d.source, d.licence) for d in challenger.card.data}
        assert challenger.card.metrics
        learnt = next(row for row in list_references(ledger) if row.split is Split.TRAIN)
        (witness,) = witnesses_of(ledger, learnt.id)
        assert (witness.exposure, witness.is_champion) == (Exposure.LEARNT, True)
        # The old champion is loadable still, and one command away.
        old = roll_back(ledger, who="curator", why="green faces")
        assert old.digest == before == fetch_checkpoint(old, settings, tmp_path).digest
    assert not any(path.is_dir() for path in (tmp_path / "finetune").iterdir())
    assert "0 references for training are new, and 4 are needed" in reason_to_skip(settings)


def test_a_person_can_say_no(trained_school: School) -> None:
    """The challenger is registered all the same, and can be promoted by hand later."""
    settings = trained_school()
    ended = run_finetuning(settings, Approval(promote=False, who="Mme B", why="the greens"))
    assert ended.verdict is TrainingVerdict.KEPT
    assert ended.why.startswith("not approved by Mme B (the greens): ")
    assert ended.challenger is not None
    with open_ledger(settings) as ledger:
        assert champion_of(ledger) == ended.parent


def test_what_does_not_win_is_kept_and_explained(
    trained_school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here for want of colour: the bounds are beyond this challenger."""
    strict = partial(Rules, least_colourfulness=1.5)
    monkeypatch.setattr("tasks.finetune.steps.Rules", strict)
    ended = run_finetuning(trained_school())
    assert ended.verdict is TrainingVerdict.KEPT
    assert "outside 1.5 to 1.6" in ended.why


def test_where_nothing_is_learnt_there_is_no_challenger(school: School) -> None:
    """A learning rate of nothing."""
    ended = run_finetuning(school(finetune_learning_rate=1e-30, finetune_steps=2))
    assert (ended.verdict, ended.challenger) == (TrainingVerdict.KEPT, None)


def test_without_base_photographs_nothing_begins(school: School, tmp_path: Path) -> None:
    """A clear refusal that names the setting."""
    for given in ({"base_photos": None}, {"base_photos": tmp_path / "supplied"}):
        with pytest.raises(UsageError, match="AUTOCHROME_BASE_PHOTOS"):
            run_finetuning(school(**given))
    with open_ledger(school()) as ledger:
        assert list_trainings(ledger) == []


def test_what_is_to_outlive_a_kill_lies_in_no_run_s_folder(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker removes the folder of each run, and a training could never go on."""
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "some run")
    with pytest.raises(UsageError, match="AUTOCHROME_FINETUNE_FOLDER"):
        run_finetuning(school(finetune_folder=Path("var/finetune")))


def test_too_few_references_are_a_reason_to_wait(school: School) -> None:
    """New ones, and ones to judge on."""
    assert "99 are needed (AUTOCHROME_FINETUNE_MIN_NEW)" in reason_to_skip(
        school(finetune_min_new=99)
    )
    assert "99 are needed to judge" in reason_to_skip(school(finetune_min_held_out=99))


def test_two_at_once_do_not_train_in_one_folder(school: School) -> None:
    """The second is told what to do."""
    settings = school()
    with (
        open_ledger(settings) as ledger,
        begin(settings, ledger, run_id=None, who="a"),
        pytest.raises(UsageError, match="another process is fine-tuning"),
        begin(settings, ledger, run_id=None, who="b"),
    ):
        pytest.fail("it began")


def test_a_reference_that_changed_in_the_store_fails_the_training(
    school: School, tmp_path: Path
) -> None:
    """And names it; what failed leaves its references new."""
    settings = school()
    path = sorted((tmp_path / "colour" / "references").iterdir())[0]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FixityMismatch, match="is not what was recorded"):
        run_finetuning(settings)
    with open_ledger(settings) as ledger:
        (failed,) = list_trainings(ledger)
    assert failed.verdict is TrainingVerdict.FAILED
    assert "is not what was recorded" in failed.why


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(school: School, tmp_path: Path) -> None:
    """SIGKILL while it trains: one training on record, the challenger that one go makes."""
    settings = school(finetune_folder=tmp_path / "killed")
    program = (
        "import sys; from tasks.settings import Settings;"
        "from tests.tasks.finetune.test_finetune_steps import run_finetuning;"
        "run_finetuning(Settings.model_validate_json(sys.stdin.read()))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    given = settings.model_dump(mode="json", exclude_none=True)
    given["database_url"] = settings.database_url.get_secret_value()
    assert process.stdin is not None
    process.stdin.write(json.dumps(given).encode())
    process.stdin.close()
    deadline = time.monotonic() + 150
    try:
        while not list((tmp_path / "killed").glob("*/state.safetensors")):
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "nothing was saved"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with open_ledger(settings) as ledger:
        (open_one,) = list_trainings(ledger)
    assert open_one.verdict is None
    resumed = run_finetuning(settings, Approval(promote=False, who="B", why=""))
    assert resumed.id == open_one.id
    # The same set from the same parent, in one go.
    again = school(finetune_folder=tmp_path / "whole", finetune_min_new=1)
    with (
        open_ledger(again) as ledger,
        begin(again, ledger, run_id=None, who="f", force=True) as finetuning,
    ):
        assert isinstance(finetuning, Finetuning)
        whole = judged_of(finetuning)
        assert whole.challenger is not None
        weights = load_file(whole.challenger.path)
    kept = tmp_path / "colour" / "checkpoints" / f"{resumed.challenger}.safetensors"
    one, other = read_checkpoint(kept).card, whole.challenger.card
    assert replace(one, metrics={}) == replace(other, metrics={})
    assert one.metrics == pytest.approx(other.metrics, abs=0.01)
    for name, tensor in load_file(kept).items():
        assert (tensor.float() - weights[name].float()).abs().max() < 1e-4


def test_new_references_make_another_set(trained_school: School, tmp_path: Path) -> None:
    """Those that the last training has seen are in it, too."""
    settings = trained_school()
    first = run_finetuning(settings)
    write_colours(tmp_path / "more", 12, first=100)
    assert {answer.verdict for answer in bring(settings, tmp_path / "more")} == {None}
    second = run_finetuning(settings)
    assert second.set_digest != first.set_digest
    assert second.parent == first.challenger
