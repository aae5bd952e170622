"""Fine-tuning: from a checkpoint and a few references to a challenger of that checkpoint.

The references alone would be learnt by heart and everything else forgotten. So each minibatch is
mixed: some squares are of references, the others of base photographs (replay). The training is
watched on references and base photographs that it does not learn from. At its end the weights are
also drawn back towards the parent's, by several shares: what is learnt fades in proportion, what is
forgotten faster (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022). Kept is what
coloured the watched references best while the base photographs were coloured no worse.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from colormodel.checkpoint import (
    Card,
    Checkpoint,
    read_checkpoint,
    save_checkpoint,
    write_tensors,
)
from colormodel.color import srgb_to_lab
from colormodel.data import DataRecipe, minibatches_ahead
from colormodel.film_stock import plain_lightness
from colormodel.metrics import ciede2000
from colormodel.networks import ColorNetwork
from colormodel.photos import DataError, Photos, Pixels
from colormodel.planes import network_size
from colormodel.recipe import TrainRecipe
from colormodel.train import Trainer

STATE = "state.safetensors"

#: Shares of the way from the parent's weights to the last ones learnt that are looked at, too.
BLENDS = (0.15, 0.3, 0.45, 0.6, 0.8)

#: The source of the photographs that are references, for the minibatches' odds.
_REFERENCES = "references"


@dataclass(frozen=True)
class FinetuneRecipe:
    """All that decides a fine-tuning, but for parent, references and base photographs.

    Attributes:
        steps: Length of the learning rate's cosine.
        check_every: Steps between two looks at the watched pictures.
        patience: Looks without an improvement after which the training ends.
        learning_rate: At its highest; small, for the parent knows most of it already.
        warmup_steps: Over which the learning rate rises.
        encoder_rate: Factor on the learning rate of the encoder; 0 leaves it as it is.
        reference_share: Share of squares that are cut from references; the others are replay.
        minibatch: Squares in a minibatch.
        crop_px: Edge of a square.
        film_share: Share of squares seen as on old stock.
        neutral_share: Share of squares with a border, a step wedge or a flat field.
        hint_share: Share of squares with hints, for networks that take them.
        weight_decay: Of AdamW.
        ema: Greatest decay of the moving average of the weights.
        base_margin: A state counts only if the watched base photographs' error has grown by no
            more than this share.
        seed: Of everything random.
    """

    steps: int = 200
    check_every: int = 20
    patience: int = 4
    learning_rate: float = 1e-4
    warmup_steps: int = 20
    encoder_rate: float = 0.3
    reference_share: float = 0.4
    minibatch: int = 12
    crop_px: int = 128
    film_share: float = 0.2
    neutral_share: float = 0.06
    hint_share: float = 0.3
    weight_decay: float = 1e-2
    ema: float = 0.98
    base_margin: float = 0.002
    seed: int = 1907


@dataclass(frozen=True)
class Material:
    """What a fine-tuning learns from, and what it is watched on.

    Attributes:
        references: Those learnt from.
        watched: References watched, none of which is learnt from.
        base: Base photographs, replayed.
        watched_base: Base photographs watched, none of which is replayed.
    """

    references: Photos
    watched: Sequence[Pixels]
    base: Photos
    watched_base: Sequence[Pixels]


class Look(NamedTuple):
    """What was seen of a training at one step; errors are mean ΔE₀₀ on the watched pictures."""

    step: int
    loss: float  # moving average; not a number before the first step
    references: float
    base: float
    share: float = 1.0  # of the way from the parent's weights to those learnt


@dataclass(frozen=True)
class FinetuneResult:
    """What came of it.

    Attributes:
        checkpoint: The state that was best; nothing where no state was better than the parent.
        looks: The whole curve, the parent at step 0 first.
        best: The look at what was kept; the first, at the parent, where nothing was better.
    """

    checkpoint: Checkpoint | None
    looks: tuple[Look, ...]
    best: Look


class ValidationPictures:
    """Pictures at the network's size, to see how far from their colours a network's are."""

    def __init__(self, pictures: Sequence[Pixels], *, network_px: int) -> None:
        self._planes = [_planes(picture, network_px) for picture in pictures]

    @torch.inference_mode()
    def error(self, network: ColorNetwork, device: torch.device) -> float:
        """Mean over the pictures of each one's mean ΔE₀₀; not a number where there are none."""
        network.eval()
        errors = []
        for lightness, lab in self._planes:
            chroma = network(lightness.to(device)).chroma.float().cpu()
            errors.append(float(ciede2000(torch.cat((lab[:, :1], chroma), 1), lab).mean()))
        return float(np.mean(errors)) if errors else math.nan


class Finetuner(Trainer):
    """A training from a parent's weights, which leaves the statistics of its layers alone.

    A few dozen references are too few to take means and variances of; the parent's stay.
    """

    def __init__(
        self, recipe: TrainRecipe, material: Material, *, margin: float, device: str
    ) -> None:
        super().__init__(recipe, _mixed(material), device=device)
        px = recipe.network.network_px
        self._watched = ValidationPictures(material.watched, network_px=px)
        self._watched_base = ValidationPictures(material.watched_base, network_px=px)
        self._margin = margin
        self._parent = {name: t.clone() for name, t in self.average.state_dict().items()}
        self.looks: list[Look] = []

    def look(self, *, share: float = 1.0) -> Look:
        """See how well the averaged network does, and note it."""
        references = self._watched.error(self.average, self.device)
        base = self._watched_base.error(self.average, self.device)
        self.looks.append(Look(self.step, self.loss, references, base, share))
        return self.looks[-1]

    @property
    def is_blended(self) -> bool:
        """Whether the last look was at weights drawn back to the parent's."""
        return bool(self.looks) and self.looks[-1].share < 1

    def blends(self) -> Iterator[Look]:
        """Look at the averaged weights drawn back to the parent's; they end as they were."""
        learnt = {name: tensor.clone() for name, tensor in self.average.state_dict().items()}
        for share in BLENDS:
            self.average.load_state_dict(
                {
                    name: torch.lerp(self._parent[name], tensor, share)
                    if tensor.is_floating_point()
                    else tensor
                    for name, tensor in learnt.items()
                }
            )
            yield self.look(share=share)
        self.average.load_state_dict(learnt)

    @property
    def best(self) -> Look:
        """The look at the best state so far: the parent's, where none was better."""
        limit = self.looks[0].base * (1 + self._margin)
        return min(
            (look for look in self.looks if not look.base > limit), key=lambda look: look.references
        )

    def load_state(self, path: Path) -> None:
        """Take up a saved training, with what was seen of it."""
        super().load_state(path)
        with safe_open(path, framework="pt") as file:
            self.looks = [Look(*look) for look in json.loads(file.metadata()["looks"])]

    def keep_best(self, out: Path, card: Card) -> None:
        """Write the checkpoint of the latest look, where that is the best.

        It comes before the state and is named by its look: whenever this is interrupted, the
        state's best has its checkpoint.
        """
        if self.best == self.looks[-1]:
            save_checkpoint(best_path(out, self.best), self.average, card=card)

    def keep_state(self, out: Path) -> None:
        """Write the state, and remove the checkpoints that are no longer the best."""
        write_tensors(out / STATE, self._tensors(), self._metadata())
        for path in out.glob("best-*.safetensors"):
            if path != best_path(out, self.best):
                path.unlink()

    def _begin_step(self) -> None:
        self.network.eval()

    def _decay(self) -> float:
        # The beginning is worth remembering: the average sets out from the parent.
        return self.recipe.ema

    def _metadata(self) -> dict[str, str]:
        return super()._metadata() | {"looks": json.dumps(self.looks)}


def finetune(  # noqa: PLR0913 - all but recipe and material are keywords with plain meanings
    recipe: FinetuneRecipe,
    material: Material,
    *,
    parent: Checkpoint,
    out: Path,
    card: Card,
    device: str = "auto",
    on_look: Callable[[Look], None] | None = None,
) -> FinetuneResult:
    """Train a challenger; called again after a kill, it goes on from its last look.

    Args:
        recipe: How.
        material: On what.
        parent: The champion, whose weights it begins with.
        out: Folder for the state and the best checkpoint so far, of this training alone.
        card: Of the challenger.
        device: As `Colorizer` takes it.
        on_look: Called after each look at the watched pictures.

    Raises:
        DataError: There is nothing to learn from, or nothing to watch.
        RecipeError: The state in *out* is of another training, or damaged.
        DeviceError: There is no such device.
    """
    _require(material)
    trainer = Finetuner(
        _train_recipe(recipe, material, parent, card),
        material,
        margin=recipe.base_margin,
        device=device,
    )
    if (out / STATE).is_file():
        trainer.load_state(out / STATE)
    else:
        trainer.look()
    tell = on_look or (lambda _: None)
    for seen in trainer.looks:
        tell(seen)
    while not _is_over(trainer, recipe):
        until = min(trainer.step + recipe.check_every, recipe.steps)
        for minibatch in minibatches_ahead(trainer.maker, trainer.step, until):
            trainer.advance(minibatch)
        tell(trainer.look())
        trainer.keep_best(out, card)
        trainer.keep_state(out)
    if not trainer.is_blended:
        for seen in trainer.blends():
            tell(seen)
            trainer.keep_best(out, card)
        trainer.keep_state(out)
    best = trainer.best
    checkpoint = read_checkpoint(best_path(out, best)) if best.step else None
    return FinetuneResult(checkpoint, tuple(trainer.looks), best)


def best_path(out: Path, look: Look) -> Path:
    """Where the checkpoint of a look is."""
    return out / f"best-{look.step:06}-{look.share:.2f}.safetensors"


def _is_over(trainer: Finetuner, recipe: FinetuneRecipe) -> bool:
    waited = trainer.step - trainer.best.step
    is_stuck = waited >= recipe.patience * recipe.check_every
    return trainer.is_blended or trainer.step >= recipe.steps or is_stuck


def _require(material: Material) -> None:
    for what, pictures in (
        ("reference to learn from", material.references.pictures),
        ("reference to watch the training on", material.watched),
        ("base photograph to replay", material.base.pictures),
        ("base photograph to watch the training on", material.watched_base),
    ):
        if not pictures:
            raise DataError(f"there is no {what}; add more")


def _mixed(material: Material) -> Photos:
    base, references = material.base, material.references
    return Photos(
        [*references.pictures, *base.pictures],
        [*[_REFERENCES] * len(references), *base.sources],
        {**base.licences, **references.licences},
    )


def _train_recipe(
    recipe: FinetuneRecipe, material: Material, parent: Checkpoint, card: Card
) -> TrainRecipe:
    replay = (1 - recipe.reference_share) / len(material.base)
    weights = dict.fromkeys(material.base.sources, replay)
    weights[_REFERENCES] = recipe.reference_share / len(material.references)
    return TrainRecipe(
        name=card.name,
        version=card.version,
        network=parent.trainable,
        data=DataRecipe(
            crop_px=recipe.crop_px,
            minibatch=recipe.minibatch,
            film_share=recipe.film_share,
            neutral_share=recipe.neutral_share,
            hint_share=recipe.hint_share if parent.trainable.name != "article" else 0.0,
            source_weights=weights,
        ),
        start_from=str(parent.path),
        steps=recipe.steps,
        warmup_steps=recipe.warmup_steps,
        learning_rate=recipe.learning_rate,
        encoder_rate=recipe.encoder_rate,
        weight_decay=recipe.weight_decay,
        ema=recipe.ema,
        seed=recipe.seed,
        # What is learnt depends on the parent, so a state must not go on under another.
        description=f"{card.description} Parent {parent.digest}.",
    )


def _planes(picture: Pixels, network_px: int) -> tuple[Tensor, Tensor]:
    """L* that the network sees, (1, 1, h, w), and the true Lab, (1, 3, h, w)."""
    height, width = network_size(*picture.shape[:2], network_px=network_px)
    small = np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
    srgb = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
    return plain_lightness(srgb), srgb_to_lab(srgb)
