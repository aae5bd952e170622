"""Fixtures: all that a fine-tuning needs, so small that it takes seconds.

The champion knows the base photographs, on which it was trained, and nothing of the references:
there, sky and ground lie in light and shade, and before them stand things that it never saw. So
there is something to learn that holds for the references held out, too, and nothing that must be
forgotten for it.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from colormodel.data import DataRecipe
from colormodel.networks import NetworkConfig
from colormodel.photos import load_photos
from colormodel.recipe import TrainRecipe
from colormodel.train import train
from tasks.batch.children import PixelPool
from tasks.checkpoints import register_file
from tasks.finetune.records import Finetuning
from tasks.finetune.steps import begin
from tasks.finetune.steps import train as train_challenger
from tasks.ledger.checkpoints import promote
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import Description
from tasks.references.adding import Answer, Delivery, add_references
from tasks.references.finding import Search, find_files
from tasks.settings import Settings
from tests.colormodel.photographs import write_photos
from tests.tasks.references.colours import write_both

School = Callable[..., Settings]


@pytest.fixture(scope="session")
def schoolroom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base photographs, a parent that was trained on them, and references."""
    room = tmp_path_factory.mktemp("school")
    write_photos(room / "photos", 60)
    write_photos(room / "photos", 40, split="val", first=60)
    # Fewer than are asked together whether their colours can be: the network knows too little.
    write_both(room / "supplied", train=10, held_out=5)
    torch.set_num_threads(1)
    recipe = TrainRecipe(
        name="tiny",
        version="1",
        network=NetworkConfig("article", network_px=64),
        data=DataRecipe(crop_px=64, minibatch=6, least_cover=0.9),
        steps=60,
        warmup_steps=5,
        learning_rate=3e-3,
        ema=0.9,
        save_every_s=1e9,
        description="A tiny network.",
    )
    train(recipe, out=room, photos=load_photos(room / "photos", least_chroma=4.0))
    return room


@pytest.fixture
def school(schoolroom: Path, tmp_path: Path, sqlite_url: str) -> School:
    """Settings over a ledger with a champion, references, and base photographs."""
    return enrol(schoolroom, tmp_path, sqlite_url)


@pytest.fixture(scope="session")
def finished_training(
    schoolroom: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What a training in a school leaves when it is killed before its challenger is judged."""
    folder, kept = tmp_path_factory.mktemp("lesson"), tmp_path_factory.mktemp("finished") / "left"
    shutil.copy(sqlite_template, folder / "ledger.db")
    settings = enrol(schoolroom, folder, f"sqlite:///{folder / 'ledger.db'}")()
    with (
        open_ledger(settings) as ledger,
        begin(settings, ledger, run_id=None, who="finetune") as finetuning,
    ):
        assert isinstance(finetuning, Finetuning)
        train_challenger(finetuning)
        shutil.copytree(settings.finetune_folder, kept)
    return kept


@pytest.fixture
def trained_school(school: School, finished_training: Path, tmp_path: Path) -> School:
    """A school where a training goes on at its end: for tests of what comes after it."""
    shutil.copytree(finished_training, tmp_path / "finetune")
    return school


def enrol(schoolroom: Path, folder: Path, url: str) -> School:
    """Fill a ledger and a folder; gives what makes settings over them."""
    torch.set_num_threads(1)
    shutil.copytree(schoolroom / "supplied", folder / "supplied")

    def make(**given: object) -> Settings:
        usual: dict[str, object] = {
            "database_url": url,
            "output": str(folder / "colour"),
            "device": "cpu",
            "threads": 1,
            "base_photos": schoolroom / "photos",
            "finetune_folder": folder / "finetune",
            "finetune_min_new": 4,
            "finetune_min_held_out": 2,
            "finetune_steps": 40,
            "finetune_minibatch": 3,
            "finetune_learning_rate": 5e-4,
            "finetune_encoder_rate": 1.0,
            "finetune_replay_photos": 12,
            "finetune_judged_photos": 20,
        }
        return Settings.model_validate(usual | given)

    settings = make()
    with open_ledger(settings) as ledger:
        row = register_file(settings, ledger, schoolroom / "checkpoint.safetensors", who="engineer")
        promote(ledger, row.digest, who="engineer", why="the first")
    bring(settings, folder / "supplied")
    return make


def bring(
    settings: Settings,
    place: Path | str,
    *,
    allowed: Sequence[str] = (),
    pixels: PixelPool | None = None,
    **delivery: object,
) -> list[Answer]:
    """Add references, as `autochrome references add` does."""
    search = Search(settings, Description(rights="CC0", curator="B"), allowed)
    with open_ledger(settings) as ledger:
        found = list(find_files(search, str(place)))
        usual: dict[str, object] = {"found": found, "collection": "references", "who": "curator"}
        brought = Delivery(**(usual | delivery))  # type: ignore[arg-type]
        return add_references(settings, ledger, brought, pixels=pixels)
