"""Recipes: all that decides a training, as one TOML file each."""

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from colormodel.data import DataRecipe
from colormodel.losses import LossWeights
from colormodel.networks import NetworkConfig

RECIPES = Path(__file__).parent / "recipes"


class RecipeError(Exception):
    """A recipe cannot be read; the message says what to do."""


@dataclass(frozen=True)
class TrainRecipe:
    """All that decides a training, but for the photographs themselves.

    Attributes:
        name: Of the model, for its card.
        version: Of the model, for its card.
        network: What is trained.
        data: How photographs become minibatches.
        losses: How the heads' losses add up.
        photos: Folder of photographs; relative to the folder from which training is started.
        encoder_weights: ImageNet weights that the encoder starts from; none: random.
        start_from: Checkpoint that the whole network starts from; none: from scratch.
        steps: Length of the learning rate's cosine, in steps.
        minutes: Length of the same in minutes, where that ends sooner; 0: no limit. With a limit
            two trainings are not the same to the last bit, since machines differ in speed.
        warmup_steps: Over which the learning rate rises.
        learning_rate: At its highest.
        encoder_rate: Factor on the learning rate of the encoder; 0 leaves it as it is.
        weight_decay: Of AdamW.
        ema: Greatest decay of the moving average of the weights, which is what is kept.
        seed: Of everything random.
        save_every_s: Between two saves.
        description: For the card.
        limitations: For the card.
    """

    name: str
    version: str
    network: NetworkConfig
    data: DataRecipe = field(default_factory=DataRecipe)
    losses: LossWeights = field(default_factory=LossWeights)
    photos: str = "../shared/data/photos"
    encoder_weights: str = ""
    start_from: str = ""
    steps: int = 10_000
    minutes: float = 0.0
    warmup_steps: int = 200
    learning_rate: float = 1e-3
    encoder_rate: float = 1.0
    weight_decay: float = 1e-2
    ema: float = 0.998
    seed: int = 1907
    save_every_s: float = 180.0
    description: str = ""
    limitations: tuple[str, ...] = ()


def load_recipe(path: Path) -> TrainRecipe:
    """Read a recipe from TOML.

    Raises:
        RecipeError: It is missing, is not TOML or has a key that no recipe has.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
        return TrainRecipe(
            **{
                **fields,
                "network": NetworkConfig(**_tuples(fields["network"])),
                "data": DataRecipe(**fields.get("data", {})),
                "losses": LossWeights(**fields.get("losses", {})),
                "limitations": tuple(fields.get("limitations", ())),
            }
        )
    except OSError as error:
        known = ", ".join(sorted(str(p) for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"{path}: no such recipe; there are {known}") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise RecipeError(f"{path}: not a recipe ({error}); compare it with {RECIPES}") from error


def fingerprint(recipe: TrainRecipe) -> str:
    """Give all that decides what is learnt, without what only holds on one machine."""
    fields = dataclasses.asdict(recipe)
    for name in ("photos", "encoder_weights", "start_from", "save_every_s"):
        del fields[name]
    return json.dumps(fields, sort_keys=True, ensure_ascii=False)


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
