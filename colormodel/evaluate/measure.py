"""Photographs colourized by each contestant from each input, and how far that is from the truth."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from colormodel.color import lightness_to_grey, linear_to_srgb, srgb_to_lab
from colormodel.evaluate.photographs import Photograph
from colormodel.film_stock import film_lightness
from colormodel.hints import Hint
from colormodel.infer import Colorizer
from colormodel.metrics import (
    Lpips,
    Recognizer,
    blotches,
    chroma_ms_ssim,
    ciede2000,
    colourfulness,
    dark_warmth,
    edge_band_error,
    green_ground,
    psnr,
)
from colormodel.pictures import put_colour, resize_lightness
from colormodel.planes import ChromaMap, Plane

Key = tuple[str, str]  # row and input

GREY = "left grey"
PLAIN, FILM = "plain", "film"
TRUE_FEATURES: Key = ("truth", PLAIN)
#: Of each confidence map, every eighth row and column is compared with the true error.
SAMPLED_EVERY_PX = 8


@dataclass(frozen=True)
class Contestant:
    """A row of the table: a network, with or without hints."""

    label: str
    colorizer: Colorizer
    hints: int = 0


@dataclass(frozen=True)
class Measurement:
    """One photograph, colourized by one contestant from one input.

    Attributes:
        name: Of the photograph.
        source: Of the photograph.
        row: The contestant's label, or that of the row left grey.
        input: "plain" or "film".
        figures: By metric; not a number where a metric does not apply.
        score: The scan's confidence; nothing for the row left grey.
    """

    name: str
    source: str
    row: str
    input: str
    figures: dict[str, float]
    score: float | None


@dataclass
class Evidence:
    """All that is kept of the photographs measured.

    Attributes:
        measurements: Of each photograph, row and input.
        features: MobileNetV2's, by row and input; the true photographs' are at `TRUE_FEATURES`.
        pixels: Confidence and true a*b* error of sampled pixels, by row and input, (n, 2) each.
    """

    measurements: list[Measurement] = field(default_factory=list)
    features: dict[Key, list[Tensor]] = field(default_factory=dict)
    pixels: dict[Key, list[NDArray[np.float32]]] = field(default_factory=dict)

    def add(
        self, key: Key, photograph: Photograph, figures: dict[str, float], score: float | None
    ) -> None:
        """Keep one measurement."""
        row, name = key
        self.measurements.append(
            Measurement(photograph.name, photograph.source, row, name, figures, score)
        )


class Measurer:
    """Measures photographs, a few at a time, and keeps the figures."""

    def __init__(
        self, contestants: Sequence[Contestant], *, weights: Path | None, film: bool
    ) -> None:
        """Prepare.

        Args:
            contestants: The rows beside the one left grey.
            weights: Folder of LPIPS's and MobileNetV2's weights; none: those metrics are left out.
            film: Also measure what is made from inputs degraded as on old film.

        Raises:
            WeightsError: A file of weights is not there.
        """
        self.evidence = Evidence()
        self._contestants = contestants
        self._inputs = (PLAIN, FILM) if film else (PLAIN,)
        self._lpips = Lpips(weights) if weights else None
        self._recognizer = Recognizer(weights) if weights else None

    @torch.inference_mode()
    def add(self, photographs: Sequence[Photograph]) -> None:
        """Measure some photographs; the networks see them together, in minibatches."""
        truths = [_Truth.of(photograph) for photograph in photographs]
        seen = {name: [truth.seen_as(name) for truth in truths] for name in self._inputs}
        maps = {
            (contestant.label, name): _predict(contestant, truths, planes)
            for name, planes in seen.items()
            for contestant in self._contestants
        }
        for index, truth in enumerate(truths):
            self._measure(
                truth,
                {
                    (row, name): (of_all[index], seen[name][index])
                    for (row, name), of_all in maps.items()
                },
            )

    def _measure(self, truth: "_Truth", guesses: dict[Key, tuple[ChromaMap, Plane]]) -> None:
        """Compare all guesses at one photograph, each with the L* that it was made from."""
        pictures = [lightness_to_grey(torch.from_numpy(truth.lightness)).expand(3, -1, -1)]
        for chroma_map, plane in guesses.values():
            linear = put_colour(chroma_map, plane, under=truth.lightness)
            pictures.append(linear_to_srgb(torch.from_numpy(linear)))
        figures, features = self._figures(torch.stack(pictures), truth)
        # Left grey is the same picture from whatever input.
        places = {(GREY, name): 0 for name in self._inputs}
        places |= {key: place for place, key in enumerate(guesses, 1)}
        for key, place in places.items():
            score = guesses[key][0].score if key in guesses else None
            self.evidence.add(key, truth.photograph, figures[place], score)
        for key, place in {TRUE_FEATURES: -1, **places}.items():
            if features is not None:
                self.evidence.features.setdefault(key, []).append(features[place + 1])
        for key, (chroma_map, _) in guesses.items():
            self.evidence.pixels.setdefault(key, []).append(_sampled(chroma_map, truth))

    def _figures(
        self, srgb: Tensor, truth: "_Truth"
    ) -> tuple[list[dict[str, float]], Tensor | None]:
        """All metrics of pictures (R, 3, H, W); features of truth and pictures, (1 + R, d)."""
        lab, true_lab = srgb_to_lab(srgb), truth.lab[None]
        chroma, true_chroma = lab[:, 1:], true_lab[:, 1:]
        vivid = colourfulness(srgb)
        columns = {
            "ciede2000": ciede2000(lab, true_lab).mean(dim=(-2, -1)),
            "psnr": psnr(srgb, truth.srgb[None]),
            "colourfulness": vivid,
            "true_colourfulness": colourfulness(truth.srgb).expand_as(vivid),
            "edge_band": edge_band_error(chroma, true_chroma),
            "ms_ssim": chroma_ms_ssim(chroma, true_chroma.expand_as(chroma)),
            "green_ground": green_ground(chroma, true_lab),
            "blotches": blotches(chroma, true_lab),
            "true_blotches": blotches(true_chroma, true_lab).expand_as(vivid),
            "dark_warmth": dark_warmth(chroma, true_lab),
        }
        both = torch.cat((truth.srgb[None], srgb)).contiguous(memory_format=torch.channels_last)
        if self._lpips:
            described = self._lpips.describe(both)
            columns["lpips"] = self._lpips.compare(
                [slice_[:1] for slice_ in described], [slice_[1:] for slice_ in described]
            )
        recognition = self._recognizer(both) if self._recognizer else None
        if recognition:
            columns["recognised"] = (recognition.label[1:] == recognition.label[0]).float()
        values = torch.stack(list(columns.values()), dim=1).tolist()  # (R, metrics)
        figures = [dict(zip(columns, row, strict=True)) for row in values]
        return figures, recognition.features if recognition else None


@dataclass(frozen=True)
class _Truth:
    """A photograph as tensors: sRGB in [0, 1] and Lab, (3, H, W), and L* alone, (H, W)."""

    photograph: Photograph
    srgb: Tensor
    lab: Tensor
    lightness: Plane

    @classmethod
    def of(cls, photograph: Photograph) -> "_Truth":
        srgb = torch.from_numpy(photograph.srgb.astype(np.float32)).permute(2, 0, 1) / 255
        lab = srgb_to_lab(srgb)
        return cls(photograph, srgb, lab, lab[0].clamp(0, 100).numpy())

    @property
    def seed(self) -> int:
        """Of all that is drawn for this photograph, the same on every machine."""
        return zlib.crc32(self.photograph.name.encode())

    def seen_as(self, name: str) -> Plane:
        """L* of the input *name*, (H, W): as it is, or as scanned from old stock."""
        if name == PLAIN:
            return self.lightness
        generator = torch.Generator().manual_seed(self.seed)
        plane: Plane = film_lightness(self.srgb[None], generator)[0, 0].clamp(0, 100).numpy()
        return plane

    def hints(self, count: int) -> list[Hint]:
        """True colours of *count* random points."""
        draw = np.random.default_rng(self.seed)
        height, width = self.lightness.shape
        hints = []
        for y, x in draw.random((count, 2)):
            row, column = int(y * height), int(x * width)
            around = self.photograph.srgb[
                max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2
            ]
            red, green, blue = around.reshape(-1, 3).mean(axis=0).tolist()
            hints.append(Hint(x, y, (red, green, blue)))
        return hints


def _predict(
    contestant: Contestant, truths: Sequence[_Truth], seen: Sequence[Plane]
) -> list[ChromaMap]:
    """Chroma maps of all photographs.

    Raises:
        MemoryError: One does not fit into memory.
    """
    colorizer = contestant.colorizer
    small = [resize_lightness(plane, colorizer.network_size(*plane.shape)) for plane in seen]
    hints = [truth.hints(contestant.hints) for truth in truths]
    maps = []
    for result in colorizer.predict(small, hints):
        if isinstance(result, Exception):
            raise result
        maps.append(result)
    return maps


def _sampled(chroma_map: ChromaMap, truth: _Truth) -> NDArray[np.float32]:
    """Confidence and true a*b* error of some pixels, (n, 2), at the network's size."""
    size = chroma_map.lightness.shape
    chroma = functional.interpolate(truth.lab[None, 1:], size, mode="bilinear", antialias=True)
    error = np.hypot(*(chroma_map.chroma - chroma[0].numpy()))
    step = SAMPLED_EVERY_PX
    both = np.stack([chroma_map.confidence, error], axis=-1)
    sample: NDArray[np.float32] = both[step // 2 :: step, step // 2 :: step].reshape(-1, 2)
    return sample
