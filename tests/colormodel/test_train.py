"""Training: it learns, it resumes to the same weights, and it survives being killed."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from colormodel.checkpoint import DEFAULT_CHECKPOINT, load_network, read_checkpoint
from colormodel.data import DataRecipe, MinibatchMaker
from colormodel.losses import LossWeights
from colormodel.networks import NetworkConfig
from colormodel.photos import DataError
from colormodel.recipe import RECIPES, RecipeError, TrainRecipe, load_recipe
from colormodel.train import Progress, train
from tests.colormodel.photographs import make_photos, write_photos


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny networks gain nothing from more, and sums stay in one order."""
    torch.set_num_threads(1)


def tiny(name: str, *, steps: int, learning_rate: float = 3e-3) -> TrainRecipe:
    """Make a recipe that takes a fraction of a second a step."""
    return TrainRecipe(
        name=f"tiny-{name}",
        version="0",
        network=NetworkConfig(name, network_px=32, width=8, freeze_shallow=False),
        data=DataRecipe(
            crop_px=32,
            minibatch=3,
            least_cover=0.9,
            hint_share=0.0 if name == "article" else 0.3,
            film_share=0.2,
        ),
        losses=LossWeights(rare_power=0.5),
        steps=steps,
        warmup_steps=5,
        learning_rate=learning_rate,
        ema=0.9,
        save_every_s=0.0,
    )


def test_the_article_learns_a_few_photographs(tmp_path: Path) -> None:
    """From random weights, some dozen steps bring its colours nearer to the truth by a third."""
    before, after = learn(
        dataclasses.replace(tiny("article", steps=40), save_every_s=1e9), tmp_path
    )
    assert after < 0.67 * before


def test_the_default_learns_a_few_photographs(tmp_path: Path) -> None:
    """From the bundled weights; from random ones its sixty layers need more than a test's time."""
    recipe = dataclasses.replace(
        tiny("unet", steps=25, learning_rate=2e-3),
        network=read_checkpoint(DEFAULT_CHECKPOINT).config,
        data=DataRecipe(crop_px=64, minibatch=4, least_cover=0.9, hint_share=0.3, film_share=0.2),
        start_from=str(DEFAULT_CHECKPOINT),
        save_every_s=1e9,
    )
    before, after = learn(recipe, tmp_path)
    assert after < 0.67 * before


def learn(recipe: TrainRecipe, out: Path) -> tuple[float, float]:
    """Train on two scenes; give the mean a*b* error on them of grey and of the network."""
    photos = make_photos(2)
    seen: list[Progress] = []
    checkpoint = train(recipe, out=out, photos=photos, on_progress=seen.append)
    assert [p.step for p in seen] == list(range(1, recipe.steps + 1))
    assert seen[-1].share == 1.0
    assert seen[-1].loss < seen[0].loss
    plain = dataclasses.replace(recipe.data, film_share=0.0, hint_share=0.0)
    minibatch = MinibatchMaker(photos, plain, seed=99).minibatch(0)
    with torch.no_grad():
        chroma = load_network(checkpoint)(minibatch.lightness).chroma
    grey = minibatch.chroma.norm(dim=1).mean()
    return float(grey), float((chroma - minibatch.chroma).norm(dim=1).mean())


def test_the_card_says_what_it_was_trained_on(tmp_path: Path) -> None:
    """Each source with its terms and how many photographs of it."""
    card = train(tiny("unet", steps=1), out=tmp_path, photos=make_photos(5)).card
    assert [(d.source, d.licence, d.photographs) for d in card.data] == [
        ("here", "CC0", 3),
        ("there", "research", 2),
    ]
    assert '"learning_rate": 0.003' in card.recipe
    assert card.training.startswith("1 steps")


def test_resumed_is_as_uninterrupted(tmp_path: Path) -> None:
    """Stopped twice and gone on, the weights are those of one go (float32 sums: 1e-6)."""
    photos, recipe = make_photos(4), tiny("unet", steps=6)
    whole = train(recipe, out=tmp_path / "whole", photos=photos)
    for stop in (2, 3, None):
        parts = train(recipe, out=tmp_path / "parts", photos=photos, stop_after=stop)
    one, other = load_file(whole.path), load_file(parts.path)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor.float(), other[name].float(), atol=1e-6, rtol=1e-3)


def test_a_killed_training_goes_on(tmp_path: Path) -> None:
    """SIGKILL in the middle leaves whole files; the next call goes on from the last save."""
    write_photos(tmp_path / "photos", 6)
    script = (
        "import sys; from pathlib import Path; from colormodel.train import train;"
        "from tests.colormodel.test_train import tiny; import dataclasses;"
        "recipe = dataclasses.replace(tiny('article', steps=2_000), photos=sys.argv[1]);"
        "train(recipe, out=Path(sys.argv[2]))"
    )
    out, photos = tmp_path / "out", str(tmp_path / "photos")
    process = subprocess.Popen(
        [sys.executable, "-c", script, photos, str(out)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    try:
        while not (out / "checkpoint.safetensors").is_file():
            assert process.poll() is None, "the training ended by itself"
            assert time.monotonic() < deadline, "nothing was saved in two minutes"
            time.sleep(0.02)
    finally:  # an interrupted test must leave no training behind
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert read_checkpoint(out / "checkpoint.safetensors").card.name == "tiny-article"
    recipe = dataclasses.replace(tiny("article", steps=2_000), photos=photos)
    steps: list[int] = []
    saved = int(_metadata(out / "state.safetensors")["step"])
    train(recipe, out=out, stop_after=saved + 2, on_progress=lambda p: steps.append(p.step))
    assert steps == [saved + 1, saved + 2]


def test_a_state_of_another_recipe_is_refused(tmp_path: Path) -> None:
    """Going on with another recipe would make a checkpoint whose card lies."""
    photos = make_photos(2)
    train(tiny("article", steps=1), out=tmp_path, photos=photos)
    other = tiny("article", steps=2)
    with pytest.raises(RecipeError, match=r"another recipe.*--no-resume"):
        train(other, out=tmp_path, photos=photos)
    assert train(other, out=tmp_path, photos=photos, resume=False).card.training.startswith("2 ")


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    """With a remedy rather than a traceback from inside safetensors."""
    photos, recipe = make_photos(2), tiny("article", steps=1)
    train(recipe, out=tmp_path, photos=photos)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-50])
    with pytest.raises(RecipeError, match=r"damaged.*--no-resume"):
        train(recipe, out=tmp_path, photos=photos)


def test_a_time_limit_ends_the_schedule(tmp_path: Path) -> None:
    """The learning rate's cosine is over when the minutes are."""
    recipe = dataclasses.replace(tiny("article", steps=10**6), minutes=0.01)
    seen: list[Progress] = []
    train(recipe, out=tmp_path, photos=make_photos(2), on_progress=seen.append)
    assert seen[-1].share == 1.0
    assert len(seen) < 1000


def test_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Fine-tuning begins with the weights of a checkpoint, not with random ones."""
    photos = make_photos(2)
    first = train(tiny("article", steps=3), out=tmp_path / "first", photos=photos)
    recipe = dataclasses.replace(
        tiny("article", steps=1, learning_rate=1e-9), start_from=str(first.path), ema=0.0
    )
    second = train(recipe, out=tmp_path / "second", photos=photos)
    before, after = load_file(first.path), load_file(second.path)
    torch.testing.assert_close(
        after["decoder.0.weight"], before["decoder.0.weight"], atol=1e-4, rtol=0
    )


def test_missing_photographs_are_a_clear_error(tmp_path: Path) -> None:
    """Before a network is built."""
    recipe = dataclasses.replace(tiny("article", steps=1), photos=str(tmp_path / "none"))
    with pytest.raises(DataError, match="no photographs"):
        train(recipe, out=tmp_path)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_recipes_can_be_read(path: Path) -> None:
    """Each says what it trains and what its network does not know."""
    recipe = load_recipe(path)
    assert recipe.network.name in {"article", "unet"}
    assert recipe.limitations
    assert recipe.data.crop_px % 32 == 0


def test_wrong_recipes_are_refused(tmp_path: Path) -> None:
    """Missing, not TOML, with an unknown key: each names the file."""
    with pytest.raises(RecipeError, match=r"no such recipe; there are .*default\.toml"):
        load_recipe(tmp_path / "missing.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("name = ", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"bad\.toml: not a recipe"):
        load_recipe(bad)
    bad.write_text('name = "x"\nversion = "1"\nepochs = 3\n[network]\nname = "unet"\n')
    with pytest.raises(RecipeError, match="epochs"):
        load_recipe(bad)


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())
