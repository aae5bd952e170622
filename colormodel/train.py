"""Training: from a recipe and photographs to a checkpoint, resumable at any moment."""

import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from colormodel.checkpoint import (
    Card,
    Checkpoint,
    TrainingData,
    load_network,
    read_checkpoint,
    save_checkpoint,
    write_tensors,
)
from colormodel.data import Minibatch, MinibatchMaker, minibatches_ahead
from colormodel.device import resolve_device
from colormodel.losses import (
    LossWeights,
    chroma_distance,
    color_prior,
    distribution_loss,
    mean_square,
    rarity_weights,
)
from colormodel.networks import ColorNetwork, Heads, Lattice, build_network
from colormodel.networks.unet import COARSE_PX, UNet
from colormodel.peers import Peers
from colormodel.photos import Photos, load_photos
from colormodel.recipe import RecipeError, TrainRecipe, fingerprint

log = logging.getLogger(__name__)

Criterion = Callable[[Heads, Tensor], Tensor]


class Progress(NamedTuple):
    """How far a training is."""

    step: int
    share: float  # of the schedule, in [0, 1]
    loss: float  # moving average
    rate: float  # learning rate
    pictures_per_s: float


def train(  # noqa: PLR0913 — all but the recipe are keywords with plain meanings
    recipe: TrainRecipe,
    *,
    out: Path,
    resume: bool = True,
    photos: Photos | None = None,
    stop_after: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    together: Peers | None = None,
) -> Checkpoint:
    """Train, saving every few minutes; a killed training goes on where it last saved.

    Args:
        recipe: What to train, and how.
        out: Folder of the two files that are written: `checkpoint.safetensors`, the averaged
            weights, usable at any time, and `state.safetensors`, all that is needed to go on.
        resume: Go on from *out*, where it has a state; otherwise begin anew.
        photos: What to train on; read from the recipe's folder where none are given.
        stop_after: Stop, saved, before this step, short of the schedule's end.
        on_progress: Called after each step.
        together: The processes that train with this one, if any.

    Returns:
        The checkpoint in *out*.

    Raises:
        DataError: There are no photographs.
        RecipeError: The state in *out* is of another recipe or damaged.
    """
    together = together or Peers()
    if photos is None:
        photos = load_photos(
            Path(recipe.photos), least_chroma=recipe.data.least_chroma, cache=out / "photos"
        )
    trainer = Trainer(recipe, photos, together=together)
    state = out / "state.safetensors"
    if resume and state.is_file():
        trainer.load_state(state)
        log.info("going on from step %d", trainer.step)
    trainer.start_clock()
    saved_at = time.monotonic()
    last = recipe.steps if stop_after is None else min(stop_after, recipe.steps)
    for minibatch in minibatches_ahead(trainer.maker, trainer.step, last, together):
        progress = trainer.advance(minibatch)
        if on_progress is not None:
            on_progress(progress)
        if not together.rank and time.monotonic() - saved_at > recipe.save_every_s:
            trainer.save(out)
            saved_at = time.monotonic()
        if progress.share >= 1 and together.meets_after(progress.step):
            break
    return trainer.save(out / f"peer-{together.rank}" if together.rank else out)


class Trainer:
    """A training in memory: network, averaged network, optimiser, and where they stand."""

    def __init__(
        self,
        recipe: TrainRecipe,
        photos: Photos,
        *,
        device: str = "auto",
        together: Peers | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.together = together or Peers()
        self.device = resolve_device(device)
        self.maker = MinibatchMaker(photos, recipe.data, seed=recipe.seed, device=self.device)
        self.network = self._prepared(build_network(recipe.network))
        self.average = self._prepared(build_network(recipe.network))
        if recipe.encoder_weights:
            self.network.load_imagenet(Path(recipe.encoder_weights))
        if recipe.start_from:
            checkpoint = read_checkpoint(Path(recipe.start_from))
            _ = checkpoint.trainable  # a clear error, where it is none of ours
            self.network.load_state_dict(load_network(checkpoint).state_dict())
        self.average.load_state_dict(self.network.state_dict())
        for module in self._still():
            module.requires_grad_(requires_grad=False)
        self.optimizer = torch.optim.AdamW(
            _groups(self.network, recipe), weight_decay=recipe.weight_decay, fused=True
        )
        self.criterion = self._criterion()
        self._averaged, self._current = _moving(self.average, self.network)
        self.step = 0
        self.elapsed_s = 0.0
        self.loss = math.nan
        self.start_clock()

    def start_clock(self) -> None:
        """From now on, time counts as time of the training."""
        self._looked_at = time.monotonic()

    def advance(self, minibatch: Minibatch) -> Progress:
        """Do one step."""
        share = self._share_done()
        rate = _rate(share, self.step, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self._begin_step()
        lightness, chroma, hints, is_hinted = minibatch
        with _fast_precision(self.device):
            heads = self.network.heads(
                lightness,
                hints if is_hinted else None,
                every=Lattice(2, self.step // 2 % 2, self.step % 2),
            )
        loss = self.criterion(heads, chroma)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        value = float(loss.detach())
        self.loss = value if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * value
        took = self._count_time()
        if self.together.meets_after(self.step):
            self._meet()
        squares = len(lightness) * self.together.count
        return Progress(self.step, self._share_done(), self.loss, rate, squares / took)

    def _count_time(self) -> float:
        """Seconds since it was last asked, which count as the training's."""
        now = time.monotonic()
        took, self._looked_at = now - self._looked_at, now
        self.elapsed_s += took
        return took

    def _meet(self) -> None:
        """Be at one with the other processes: in weights, statistics, and what o'clock it is."""
        clock = torch.tensor([self.elapsed_s], dtype=torch.float32)
        self.together.take_means([*self._current, clock])
        if self.together.count > 1:
            self.elapsed_s = float(clock)

    def save(self, out: Path) -> Checkpoint:
        """Write the state and the checkpoint, each wholly or not at all."""
        write_tensors(out / "state.safetensors", self._tensors(), self._metadata())
        return save_checkpoint(out / "checkpoint.safetensors", self.average, card=self.card())

    def load_state(self, path: Path) -> None:
        """Take up a saved training.

        Raises:
            RecipeError: It is of another recipe, or damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
            tensors = load_file(path)
        except (SafetensorError, OSError) as error:
            raise RecipeError(f"{path}: damaged ({error}); train anew with --no-resume") from error
        if metadata.get("recipe") != fingerprint(self.recipe):
            raise RecipeError(
                f"{path}: a training by another recipe; give another --out or --no-resume"
            )
        self.network.load_state_dict(_under("network.", tensors))
        self.average.load_state_dict(_under("average.", tensors))
        optimizer = self.optimizer.state_dict()
        optimizer["state"] = {}
        for name, tensor in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            optimizer["state"].setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(optimizer)
        for parameter, state in self.optimizer.state.items():
            for key, tensor in state.items():
                if tensor.shape == parameter.shape:
                    # Laid out as the weights are: the fused optimiser goes through both at once.
                    state[key] = torch.empty_like(parameter).copy_(tensor)
        self.step = int(metadata["step"])
        self.elapsed_s = float(metadata["elapsed_s"])
        self.loss = float(metadata["loss"])

    def card(self) -> Card:
        """Describe the network as it is now."""
        sources, photos = self.maker.photos.sources, self.maker.photos
        squares = self.recipe.data.minibatch * self.together.count
        return Card(
            name=self.recipe.name,
            version=self.recipe.version,
            description=self.recipe.description,
            data=tuple(
                TrainingData(source, photos.licences[source], sources.count(source))
                for source in sorted(set(sources))
            ),
            recipe=fingerprint(self.recipe),
            training=(
                f"{self.step} steps of {squares} squares of "
                f"{self.recipe.data.crop_px} px in {self.elapsed_s / 60:.0f} minutes on "
                f"{max(torch.get_num_threads(), self.together.count)} threads of a CPU"
                if self.device.type == "cpu"
                else f"{self.step} steps in {self.elapsed_s / 60:.0f} minutes on a GPU"
            ),
            limitations=self.recipe.limitations,
        )

    def _still(self) -> list[nn.Module]:
        """Give the modules that this training leaves as they are."""
        encoder = getattr(self.network, "encoder", None)
        still = self.network.frozen()
        return still if encoder is None or self.recipe.encoder_rate else [*still, encoder]

    def _begin_step(self) -> None:
        self.network.train()
        for module in self._still():
            module.eval()

    def _criterion(self) -> Criterion:
        """Choose the loss that goes with the network's heads."""
        if not isinstance(self.network, UNet):
            return mean_square
        rarity = _rarity(self.network, self.recipe, self.maker)
        if not self.network.config.confidence_bias:
            # Confidence is of the distribution as it would be had all colours counted alike. That
            # raises the rank correlation with the error, by pixel, from 0.42 to 0.49.
            bias = (-rarity.log()).tolist()
            config = replace(
                self.network.config, confidence_bias=tuple(round(value, 3) for value in bias)
            )
            self.network.config = self.average.config = config
        self.network.bins.to(self.device)
        return _both_heads(self.network, self.recipe.losses, rarity.to(self.device))

    def _prepared(self, network: ColorNetwork) -> ColorNetwork:
        return network.to(self.device).to(memory_format=torch.channels_last)

    def _share_done(self) -> float:
        recipe = self.recipe
        by_time = self.elapsed_s / 60 / recipe.minutes if recipe.minutes else 0.0
        return min(1.0, max(self.step / recipe.steps, by_time))

    def _decay(self) -> float:
        # A short memory at first, or the random beginning would stay in the average for long.
        return min(self.recipe.ema, (1 + self.step) / (10 + self.step))

    def _update_average(self) -> None:
        """Move the averaged weights and statistics a little; what is frozen is the same in both."""
        torch._foreach_lerp_(self._averaged, self._current, 1 - self._decay())

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": v for key, v in state.items()}
        return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    def _metadata(self) -> dict[str, str]:
        return {
            "recipe": fingerprint(self.recipe),
            "step": str(self.step),
            "elapsed_s": repr(self.elapsed_s),
            "loss": repr(self.loss),
        }


def _rarity(network: UNet, recipe: TrainRecipe, maker: MinibatchMaker) -> Tensor:
    """How much each bin counts, (bins,), by how often the recipe's photographs show it."""
    # Steps far away: the prior's minibatches are none that training sees.
    chroma = torch.cat([maker.minibatch(2**31 + i).chroma[:, :, ::4, ::4].cpu() for i in range(32)])
    prior = color_prior(chroma, network.bins.cpu())
    return rarity_weights(prior, mix=recipe.losses.rare_mix, power=recipe.losses.rare_power)


def _both_heads(network: UNet, weights: LossWeights, rarity: Tensor) -> Criterion:
    """The loss of a network with a distribution and a regression."""

    def loss(heads: Heads, chroma: Tensor) -> Tensor:
        assert heads.logits is not None  # noqa: S101 — narrows types; the U-Net has all heads
        coarse = heads.every.of(functional.avg_pool2d(chroma, COARSE_PX))
        return weights.distribution * distribution_loss(
            heads.logits, coarse, bins=network.bins, weights=rarity
        ) + weights.regression * chroma_distance(
            heads.regression, chroma, vivid_discount=weights.vivid_discount
        )

    return loss


def _groups(network: ColorNetwork, recipe: TrainRecipe) -> list[dict[str, Any]]:
    encoder: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            (encoder if name.startswith("encoder.") else rest).append(parameter)
    return [
        {"params": encoder, "factor": recipe.encoder_rate},
        {"params": rest, "factor": 1.0},
    ]


def _moving(average: ColorNetwork, network: ColorNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """Pair what training changes in two equal networks: weights and statistics, no counts."""
    still = {id(p) for p in network.parameters() if not p.requires_grad}
    pairs = [
        (mean.detach(), now.detach())
        for mean, now in zip(
            itertools.chain(average.parameters(), average.buffers()),
            itertools.chain(network.parameters(), network.buffers()),
            strict=True,
        )
        if now.is_floating_point() and id(now) not in still
    ]
    return [mean for mean, _ in pairs], [now for _, now in pairs]


def _rate(share: float, step: int, recipe: TrainRecipe) -> float:
    """Rise over the warm-up, then fall by a cosine to a hundredth."""
    warmup = min(1.0, (step + 1) / max(recipe.warmup_steps, 1))
    return recipe.learning_rate * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def _fast_precision(device: torch.device) -> AbstractContextManager[object]:
    """Use bfloat16 where the hardware has it; emulated, it is ten times slower than float32."""
    enabled = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
