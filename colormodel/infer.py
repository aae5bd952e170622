"""Inference: one `Colorizer` a process and a checkpoint, from lightness to chroma maps."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from colormodel.checkpoint import Checkpoint, load_network
from colormodel.hints import Hint, HintError, place_hints
from colormodel.networks import fold_batch_norm
from colormodel.neutral import neutral_mask
from colormodel.planes import ChromaMap, Plane, network_size
from colormodel.polarity import load_weights, negativity

#: The same picture alone or in any minibatch: a*, b* differ by no more than this. Convolutions add
#: up in another order when the minibatch is of another size; in float32 that is all.
MINIBATCH_TOLERANCE = 0.01

#: Pixels in one pass on a CPU: planes of more fall out of its caches and into fresh pages. Four
#: pictures of 160 × 192 take 20 ms each on a core of an EPYC 7003, sixteen at once 30 ms each.
CPU_PASS_PX = 4 * 160 * 192


class DeviceError(Exception):
    """The named compute device is not there, or failed; the message says what to do."""


class _Picture(NamedTuple):
    lightness: Plane
    hints: Sequence[Hint]


class Colorizer:
    """Holds one network, ready, on one device.

    `takes_hints` tells whether the network can be told colours.

    Precision is chosen by device. CUDA: bfloat16 under autocast. CPU: float32, because bfloat16
    without AVX512-BF16 or AMX is emulated (ten times slower on the EPYC 7003 that this was
    measured on), and because a picture is then the same on every machine.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "auto", minibatch: int = 16
    ) -> None:
        """Load the network.

        Args:
            checkpoint: What to load.
            device: "auto" (CUDA where there is one, else CPU), "cpu", "cuda" or "cuda:N".
            minibatch: Pictures in one pass at most; on a CPU, `CPU_PASS_PX` may allow fewer.

        Raises:
            DeviceError: There is no such device.
            CheckpointError: The weights do not fit the configuration.
        """
        self.checkpoint = checkpoint
        self.device = resolve_device(device)
        self._minibatch = max(1, minibatch)
        self._network = fold_batch_norm(load_network(checkpoint, device=str(self.device)))
        self._polarity = load_weights().to(self.device)
        self.takes_hints = self._network.takes_hints

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network looks at a scan; multiples of 32."""
        return network_size(height, width, network_px=self.checkpoint.network_px)

    def predict(
        self,
        lightness: Sequence[Plane],
        hints: Sequence[Sequence[Hint]] | None = None,
    ) -> list[ChromaMap | MemoryError]:
        """Predict the chroma of pictures of any shapes.

        Borders, step wedges and blanks stay neutral, whatever the network makes of them.
        A picture's map does not depend on the pictures beside it (but for `MINIBATCH_TOLERANCE`).
        When memory runs out, the minibatch is halved, down to one; a picture that does not fit
        alone gets its error in place of its map.

        Args:
            lightness: L* in [0, 100], float32 (h, w) each, of `network_size`.
            hints: For each picture, its hints, or an empty sequence; none: no picture has hints.

        Returns:
            A map, or an error, for each picture, in their order.

        Raises:
            DeviceError: The device has failed, and with it this process.
            HintError: There are hints and the network takes none.
            ValueError: The lists differ in length, or a side is not a multiple of 32.
        """
        results: list[ChromaMap | MemoryError | None] = [None] * len(lightness)
        everyone = [()] * len(lightness) if hints is None else hints
        pictures = [_Picture(*pair) for pair in zip(lightness, everyone, strict=True)]
        if not self.takes_hints and any(picture.hints for picture in pictures):
            raise HintError(f"{self.checkpoint.path}: this network takes no hints; use another one")
        for indices in self._minibatches([plane.shape for plane in lightness]):
            done = self._predict_or_halve([pictures[index] for index in indices])
            for index, result in zip(indices, done, strict=True):
                results[index] = result
        return [result for result in results if result is not None]

    def negativity(self, lightness: Sequence[Plane]) -> list[float]:
        """Tell how much pictures look like negatives that were never inverted.

        Args:
            lightness: L* in [0, 100], float32 (h, w) each, the shorter side `POLARITY_PX`, both
                multiples of 32.

        Returns:
            Log odds for each, positive for negatives; 0 from a network that cannot tell.

        Raises:
            DeviceError: The device has failed, and with it this process.
            MemoryError: There is no room for one minibatch.
        """
        found = [0.0] * len(lightness)
        for indices in self._minibatches([plane.shape for plane in lightness]):
            planes = [torch.from_numpy(lightness[index].copy()) for index in indices]
            scores = self._negativity_of(torch.stack(planes)[:, None].to(self.device))
            for index, score in zip(indices, scores, strict=True):
                found[index] = score
        return found

    def _negativity_of(self, lightness: Tensor) -> list[float]:
        try:
            scores = negativity(self._network, lightness, self._polarity)
        except torch.AcceleratorError as error:
            raise self._failed(error) from error
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error).splitlines()[0]) from error
        return [0.0] * len(lightness) if scores is None else scores.tolist()

    def _failed(self, error: torch.AcceleratorError) -> DeviceError:
        # The process has lost its device: every later pass would fail likewise.
        return DeviceError(
            f"{self.device} failed: {str(error).splitlines()[0]}; look at the driver's log, "
            "then start the worker anew"
        )

    def _minibatches(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
        """Indices of equal shape, as many together as one pass takes."""
        groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, shape in enumerate(shapes):
            groups[shape].append(index)
        for (height, width), group in groups.items():
            most = self._minibatch
            if self.device.type == "cpu":
                most = min(most, max(1, CPU_PASS_PX // (height * width)))
            for start in range(0, len(group), most):
                yield group[start : start + most]

    def _predict_or_halve(self, pictures: list[_Picture]) -> list[ChromaMap | MemoryError]:
        try:
            return [*self._predict_together(pictures)]
        except torch.AcceleratorError as error:
            raise self._failed(error) from error
        except (torch.OutOfMemoryError, MemoryError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Outside the handler: while it ran, the failed pass and its tensors were still alive.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(pictures) == 1:
            height, width = pictures[0].lightness.shape
            return [
                MemoryError(f"a map of {height} × {width} does not fit {self.device}: {reason}")
            ]
        half = len(pictures) // 2
        return self._predict_or_halve(pictures[:half]) + self._predict_or_halve(pictures[half:])

    @torch.inference_mode()
    def _predict_together(self, pictures: list[_Picture]) -> list[ChromaMap]:
        planes = [torch.from_numpy(np.ascontiguousarray(p.lightness, np.float32)) for p in pictures]
        lightness = torch.stack(planes)[:, None].to(self.device)  # (N, 1, h, w)
        hints = self._hint_planes(pictures)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            prediction = self._network(lightness, hints)
        chroma = prediction.chroma.float().cpu().numpy()  # (N, 2, h, w)
        for a_b, picture in zip(chroma, pictures, strict=True):
            a_b[:, neutral_mask(picture.lightness)] = 0
        confidence = prediction.confidence[:, 0].float().cpu().numpy()  # (N, h, w)
        return [
            ChromaMap(a_b, sure, float(sure.mean(dtype=np.float64)), picture.lightness)
            for a_b, sure, picture in zip(chroma, confidence, pictures, strict=True)
        ]

    def _hint_planes(self, pictures: list[_Picture]) -> Tensor | None:
        """Hints of a minibatch, (N, 3, h, w), or nothing when no picture has any."""
        if not any(picture.hints for picture in pictures):
            return None
        planes = [place_hints(p.hints, *p.lightness.shape) for p in pictures]
        return torch.from_numpy(np.stack(planes)).to(self.device)


def resolve_device(name: str) -> torch.device:
    """Turn the name of a device into one that is there.

    Raises:
        DeviceError: It is not there, or there is no such name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind != "cuda" or not (number.isdecimal() or name == "cuda"):
        raise DeviceError(f"no device is called {name!r}; give auto, cpu, cuda or cuda:0")
    if int(number or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{name} is not there ({torch.cuda.device_count()} CUDA devices are seen); "
            "give auto or cpu, or install a driver and a torch build with CUDA"
        )
    return torch.device(name)
