"""Fine-tuning: it learns from few, forgets little, and survives being killed."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from colormodel.checkpoint import Card, Checkpoint, read_checkpoint, save_checkpoint
from colormodel.finetune import BLENDS, FinetuneRecipe, FinetuneResult, Look, Material, finetune
from colormodel.networks import NetworkConfig, build_network
from colormodel.photos import DataError, Photos
from colormodel.recipe import RecipeError
from tests.colormodel.photographs import make_scene

RECIPE = FinetuneRecipe(
    steps=12,
    check_every=3,
    patience=9,
    learning_rate=3e-3,
    warmup_steps=2,
    minibatch=4,
    crop_px=32,
    film_share=0.0,
    neutral_share=0.0,
    hint_share=0.0,
    ema=0.5,
    base_margin=9.0,
)
CARD = Card("tiny", "1+refs", description="Fine-tuned.")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks gain nothing from more, and sums stay in one order."""
    torch.set_num_threads(1)


def make_parent(folder: Path) -> Checkpoint:
    """A tiny network with random weights."""
    torch.manual_seed(1)
    network = build_network(NetworkConfig("article", network_px=32, width=8))
    return save_checkpoint(folder / "parent.safetensors", network, card=Card("tiny", "1"))


def make_material() -> Material:
    """Scenes; the references have red and blue exchanged, so that there is something to learn."""
    scenes = [make_scene(seed) for seed in range(10)]
    references = [np.ascontiguousarray(scene[..., ::-1]) for scene in scenes[:4]]
    return Material(
        references=Photos(references[:3], ["references"] * 3, {"references": "CC0"}),
        watched=references[3:],
        base=Photos(scenes[4:8], ["here"] * 4, {"here": "CC0"}),
        watched_base=scenes[8:],
    )


def run(
    folder: Path,
    *,
    recipe: FinetuneRecipe = RECIPE,
    out: str = "out",
    looks: list[Look] | None = None,
) -> FinetuneResult:
    """Fine-tune in a folder."""
    seen = looks if looks is not None else []
    return finetune(
        recipe,
        make_material(),
        parent=make_parent(folder),
        out=folder / out,
        card=CARD,
        device="cpu",
        on_look=seen.append,
    )


def test_references_are_learnt_and_watched(tmp_path: Path) -> None:
    """Nearer to references that were not learnt from; the curve begins with the parent."""
    looks: list[Look] = []
    done = run(tmp_path, looks=looks)
    assert [look.step for look in looks if look.share == 1] == [0, 3, 6, 9, 12]
    assert [(look.step, look.share) for look in looks[5:]] == [(12, share) for share in BLENDS]
    assert tuple(looks[1:]) == done.looks[1:]
    assert done.checkpoint is not None
    assert done.best == min(done.looks, key=lambda look: look.references)
    assert done.best.step > 0
    assert done.checkpoint.card == CARD
    before, after = load_file(tmp_path / "parent.safetensors"), load_file(done.checkpoint.path)
    # The statistics of the layers stay the parent's.
    statistics = [name for name in before if "running" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)


def test_a_state_that_forgets_does_not_count(tmp_path: Path) -> None:
    """However near to the references: what is kept is no worse on the base set than the parent."""
    strict = dataclasses.replace(RECIPE, base_margin=0.0, learning_rate=0.1, reference_share=0.95)
    done = run(tmp_path, recipe=strict)
    assert done.best.base <= done.looks[0].base
    assert any(look.base > done.looks[0].base for look in done.looks)
    assert (done.checkpoint is None) == (done.best.step == 0)


def test_weights_drawn_back_lie_between_the_parents_and_those_learnt(tmp_path: Path) -> None:
    """After so short a way the error follows the share of it, nearly in proportion."""
    gentle = dataclasses.replace(RECIPE, steps=3, learning_rate=1e-4)
    looks = run(tmp_path, recipe=gentle).looks
    start = looks[0].references
    errors = {look.share: look.references - start for look in looks[1:]}
    assert errors[1.0] != 0
    for share, error in errors.items():
        assert error == pytest.approx(share * errors[1.0], abs=0.3 * abs(errors[1.0]))


def test_it_ends_when_nothing_improves(tmp_path: Path) -> None:
    """After the looks that patience grants; nothing is kept where nothing was better."""
    hopeless = dataclasses.replace(RECIPE, learning_rate=1e-12, patience=2, steps=60)
    done = run(tmp_path, recipe=hopeless)
    assert done.looks[-1].step < 60


def test_the_encoder_can_stay_as_it_is(tmp_path: Path) -> None:
    """At a rate of zero, to the last bit."""
    done = run(tmp_path, recipe=dataclasses.replace(RECIPE, encoder_rate=0.0))
    assert done.checkpoint is not None
    before, after = load_file(tmp_path / "parent.safetensors"), load_file(done.checkpoint.path)
    changed = {
        name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])
    }
    assert changed == {"decoder"}


def test_called_again_it_is_done(tmp_path: Path) -> None:
    """Nothing is trained twice, and the answer is the same."""
    first = run(tmp_path)
    again = run(tmp_path)
    assert again.looks[1:] == first.looks[1:]
    assert again.checkpoint == first.checkpoint


@pytest.mark.slow
def test_a_killed_fine_tuning_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL in the middle; resumed, the best checkpoint is that of one go (float32: 1e-6)."""
    script = (
        "import sys; from pathlib import Path;"
        "from tests.colormodel.test_finetune import run, one_thread;"
        "import torch, dataclasses; torch.set_num_threads(1);"
        "run(Path(sys.argv[1]), out='killed')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    state = tmp_path / "killed" / "state.safetensors"
    deadline = time.monotonic() + 150
    try:
        while not state.is_file():
            assert process.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline, "nothing was saved"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    resumed = run(tmp_path, out="killed")
    whole = run(tmp_path, out="whole")
    assert (resumed.best.step, resumed.best.share) == (whole.best.step, whole.best.share)
    assert resumed.checkpoint is not None
    assert whole.checkpoint is not None
    one, other = load_file(resumed.checkpoint.path), load_file(whole.checkpoint.path)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor.float(), other[name].float(), atol=1e-6, rtol=1e-3)


def test_a_state_under_another_parent_is_refused(tmp_path: Path) -> None:
    """Going on would make a checkpoint that is nobody's child."""
    run(tmp_path, recipe=dataclasses.replace(RECIPE, steps=3))
    torch.manual_seed(2)
    network = build_network(NetworkConfig("article", network_px=32, width=8))
    other = save_checkpoint(tmp_path / "other.safetensors", network, card=Card("tiny", "1"))
    with pytest.raises(RecipeError, match="another recipe"):
        finetune(
            dataclasses.replace(RECIPE, steps=3),
            make_material(),
            parent=read_checkpoint(other.path),
            out=tmp_path / "out",
            card=CARD,
            device="cpu",
        )


@pytest.mark.parametrize("missing", ["watched", "watched_base"])
def test_without_something_to_watch_it_does_not_begin(tmp_path: Path, missing: str) -> None:
    """It could not tell when to stop."""
    material = dataclasses.replace(make_material(), **{missing: []})
    with pytest.raises(DataError, match="watch the training on"):
        finetune(
            RECIPE, material, parent=make_parent(tmp_path), out=tmp_path, card=CARD, device="cpu"
        )
