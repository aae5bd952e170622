"""Fixture: all that a fine-tuning needs, so small that it takes seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from colormodel.checkpoint import Card, save_checkpoint
from colormodel.networks import NetworkConfig, build_network
from tasks.champion import register_file
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import Description
from tasks.references.adding import Answer, Delivery, add_references
from tasks.references.finding import find_files
from tasks.registry import promote
from tasks.settings import Settings
from tests.colormodel.photographs import write_photos
from tests.tasks.references.colours import write_both

School = Callable[..., Settings]


@pytest.fixture
def school(tmp_path: Path, sqlite_url: str) -> School:
    """Settings over a ledger with an untrained champion, references, and base photographs."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = build_network(NetworkConfig("article", network_px=64, width=8))
    parent = save_checkpoint(
        tmp_path / "parent.safetensors", network, card=Card("tiny", "1", "A tiny network.")
    )
    for split in ("train", "val"):
        write_photos(tmp_path / "photos", 60 if split == "train" else 24, split=split)
    # Fewer than are asked together whether their colours can be: the network knows nothing yet.
    write_both(tmp_path / "supplied", train=10, held_out=4)

    def make(**given: object) -> Settings:
        usual: dict[str, object] = {
            "database_url": sqlite_url,
            "output": str(tmp_path / "colour"),
            "device": "cpu",
            "threads": 1,
            "base_photos": tmp_path / "photos",
            "finetune_folder": tmp_path / "finetune",
            "finetune_min_new": 4,
            "finetune_min_held_out": 2,
            "finetune_steps": 60,
            "finetune_batch": 4,
            "finetune_learning_rate": 0.01,
            "finetune_encoder_rate": 1.0,
            "finetune_replay_photos": 12,
            "finetune_judged_photos": 20,
            "finetune_least_colourfulness": 0.0,
            "finetune_most_colourfulness": 99.0,
        }
        return Settings.model_validate(usual | given)

    settings = make()
    with open_ledger(settings) as ledger:
        row = register_file(settings, ledger, parent.path, who="engineer")
        promote(ledger, row.digest, who="engineer", why="the first")
    bring(settings, tmp_path / "supplied")
    return make


def bring(settings: Settings, place: Path | str, **delivery: object) -> list[Answer]:
    """Add references, as `autochrome references add` does."""
    with open_ledger(settings) as ledger:
        found = list(find_files(settings, str(place), Description(rights="CC0", curator="B")))
        usual: dict[str, object] = {"found": found, "collection": "references", "who": "curator"}
        return add_references(settings, ledger, Delivery(**(usual | delivery)))  # type: ignore[arg-type]
