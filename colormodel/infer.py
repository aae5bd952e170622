"""Inference: one `Colorizer` a process and a checkpoint, from lightness to chroma maps."""

import copy
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from colormodel.checkpoint import Checkpoint, load_network
from colormodel.device import DeviceError, has_bfloat16, resolve_device
from colormodel.hints import Hint, HintError, place_hints
from colormodel.lanes import Arrival, Lanes, in_flight
from colormodel.networks import Encoding, NetworkFault, cast_convolutions, fold_batch_norm
from colormodel.neutral import neutral_mask
from colormodel.passes import PassPlan, plan_passes
from colormodel.planes import ChromaMap, Plane, network_size
from colormodel.polarity import load_weights, negativity

#: The same picture alone or in any minibatch: a*, b* differ by no more than this. Convolutions add
#: up in another order when the minibatch is of another size; in float32 that is all.
MINIBATCH_TOLERANCE = 0.01

#: The same in bfloat16, whose steps at chroma of 64 are 0.5; in either precision, maps of the same
#: picture differ by no more than this.
BFLOAT16_TOLERANCE = 2.0

Precision = Literal["auto", "float32"]

#: Pixels in one pass on a CPU that was not tried: planes of more fall out of its caches and into
#: fresh pages. Four pictures of 160 × 192 take 20 ms each on a core of an EPYC 7003, sixteen 30 ms.
CPU_PASS_PX = 4 * 160 * 192

_EVEN = 1e-3  # a*, b*: no more than this between any two places is one colour
_PLAIN = 1.0  # L*: a picture of no more contrast may be of one colour


class _Picture(NamedTuple):
    place: int  # among those that were asked for
    lightness: Plane
    hints: Sequence[Hint]
    neutral: NDArray[np.bool_] | None


class Answer(NamedTuple):
    """What the network says of one picture, and the distribution that it comes from."""

    chroma_map: ChromaMap
    logits: torch.Tensor | None  # (bins, h, w) on the host, where the network has a distribution


class Colorizer:
    """Holds one network, ready, on one device.

    `takes_hints` tells whether the network can be told colours, `tolerance` by how much a*, b* of
    the same picture may differ from one minibatch to another, `plan` how a processor that was tried
    computes fastest.

    Convolutions are in bfloat16 under autocast where the device has it: GPUs from Ampere on, and
    processors with AMX or AVX512-BF16, unless a trial showed that it does not pay there
    (`colormodel.passes`). Elsewhere, and where "float32" is asked for, all is in float32.
    `torch.backends` stays as it is: cuDNN would choose its algorithms by trial otherwise, and not
    the same ones each time.

    As many threads as `at_once` says may call at a time; on a GPU, one's minibatch is then computed
    while the other's is made ready, copied or taken apart.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        minibatch: int = 16,
        precision: Precision = "auto",
        fade: float = 0.0,
    ) -> None:
        """Load the network.

        Args:
            checkpoint: What to load.
            device: "auto" (CUDA where there is one, else CPU), "cpu", "cuda" or "cuda:N".
            minibatch: Pictures in one pass at most; on a CPU, `CPU_PASS_PX` may allow fewer.
            precision: "auto" (bfloat16 where the device has it) or "float32".
            fade: Power of a pixel's confidence by which its chroma is multiplied: 0 leaves colours
                as the network gives them, 1 fades them in proportion to its doubt.

        Raises:
            DeviceError: There is no such device.
            CheckpointError: The weights do not fit the configuration.
        """
        self.checkpoint = checkpoint
        self.device = resolve_device(device)
        self._minibatch = max(1, minibatch)
        self._fade = fade if checkpoint.tells_confidence else 0.0  # all of it would be grey
        self._float32 = fold_batch_norm(load_network(checkpoint, device=str(self.device)))
        self._network = self._float32
        self._in_bfloat16 = precision == "auto" and has_bfloat16(self.device)
        self._pass_px = CPU_PASS_PX
        self.plan: PassPlan | None = None
        if self._in_bfloat16:
            self._network = cast_convolutions(copy.deepcopy(self._float32), torch.bfloat16)
        self.tolerance = BFLOAT16_TOLERANCE if self._in_bfloat16 else MINIBATCH_TOLERANCE
        self._polarity = load_weights().to(self.device)
        self.takes_hints = self._network.takes_hints
        self.modes = self._float32.modes()
        self._lanes = Lanes(self.device)  # last: they begin after all of that
        self.at_once = self._lanes.at_once

    @torch.inference_mode()
    def suit_processor(self, folder: Path) -> None:
        """On a CPU, go on in the way that is fastest there (`colormodel.passes`).

        Args:
            folder: Where it is kept for this machine; a second's trial finds it where it is not.
        """
        if self.device.type != "cpu":
            return

        def half(lightness: torch.Tensor) -> object:
            with self._precision():
                return self._network(lightness, None)

        self.plan = plan_passes(
            lambda lightness: self._float32(lightness, None),
            half if self._in_bfloat16 else None,
            network=json.dumps(asdict(self.checkpoint.config), default=str, sort_keys=True),
            folder=folder,
        )
        if self.plan is not None:
            self._pass_px = self.plan.pass_px
        if self.plan is not None and not self.plan.in_bfloat16:
            self._in_bfloat16, self._network = False, self._float32
            self.tolerance = MINIBATCH_TOLERANCE

    def network_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the network looks at a scan; multiples of 32."""
        return network_size(height, width, network_px=self.checkpoint.network_px)

    def predict(
        self,
        lightness: Sequence[Plane],
        hints: Sequence[Sequence[Hint]] | None = None,
        *,
        neutral: Sequence[NDArray[np.bool_]] | None = None,
    ) -> list[ChromaMap | Exception]:
        """Predict the chroma of pictures of any shapes.

        Borders, step wedges and blanks stay neutral, whatever the network makes of them.
        A picture's map does not depend on the pictures beside it (but for `tolerance`).
        When memory runs out, the minibatch is halved, down to one; a picture that does not fit
        alone gets its `MemoryError` in place of its map, and one for which the network gave no
        finite numbers, or nothing, a `NetworkFault`.

        Args:
            lightness: L* in [0, 100], float32 (h, w) each, of `network_size`.
            hints: For each picture, its hints, or an empty sequence; none: no picture has hints.
            neutral: The `neutral_mask` of each picture, where it is known already; finding it takes
                milliseconds.

        Returns:
            A map, or an error, for each picture, in their order.

        Raises:
            DeviceError: The device has failed, and with it this process.
            HintError: There are hints and the network takes none.
            ValueError: The lists differ in length, or a side is not a multiple of 32.
        """
        count = len(lightness)
        results: list[ChromaMap | Exception | None] = [None] * count
        everyone = [()] * count if hints is None else hints
        masks = [None] * count if neutral is None else neutral
        parts = zip(range(count), lightness, everyone, masks, strict=True)
        pictures = [_Picture(*part) for part in parts]
        if not self.takes_hints and any(picture.hints for picture in pictures):
            raise HintError(f"{self.checkpoint.path}: this network takes no hints; use another one")
        groups = self._minibatches([plane.shape for plane in lightness])
        minibatches = ([pictures[index] for index in indices] for indices in groups)
        with self._watched():
            for together, begun in in_flight(minibatches, self._begin, most=self._lanes.at_once):
                for picture, result in zip(together, self._end(together, begun), strict=True):
                    results[picture.place] = result
        return [result for result in results if result is not None]

    @torch.inference_mode()
    def prepare(self, lightness: Plane) -> Encoding:
        """Look at one picture as far as hints have no part in it; `answer` goes on from there.

        Args:
            lightness: L* in [0, 100], float32 (h, w), of `network_size`.

        Raises:
            DeviceError: The device has failed.
        """
        with self._watched(), self._precision():
            return self._network.prepare(self._lanes.bring_in([lightness[None]]))

    @torch.inference_mode()
    def answer(
        self,
        prepared: Encoding,
        lightness: Plane,
        hints: Sequence[Sequence[Hint]],
        *,
        neutral: NDArray[np.bool_] | None = None,
    ) -> list[Answer]:
        """Say what one picture looks like under each of several lists of hints.

        Args:
            prepared: What `prepare` made of the picture.
            lightness: The same picture as there.
            hints: One list or more, each of which may be empty.
            neutral: The picture's `neutral_mask`, where it is known already.

        Returns:
            For each, the map that `predict` gives, and the distribution that it comes from.

        Raises:
            DeviceError: The device has failed.
            NetworkFault: The network gave no finite numbers, or nothing.
            HintError: There are hints and the network takes none.
        """
        if not self.takes_hints and any(hints):
            raise HintError(f"{self.checkpoint.path}: this network takes no hints; use another one")
        answers = []
        for places in self._minibatches([lightness.shape] * len(hints)):
            some = [_Picture(place, lightness, hints[place], neutral) for place in places]
            answers += self._answers(prepared, some)
        return answers

    def _answers(self, prepared: Encoding, pictures: list[_Picture]) -> list[Answer]:
        count = len(pictures)
        with self._watched(), self._precision():
            features = prepared.features
            many = Encoding(
                prepared.lightness.expand(count, -1, -1, -1),
                None if features is None else features.expand(count, -1, -1, -1),
            )
            planes = None
            if any(picture.hints for picture in pictures):
                placed = [place_hints(p.hints, *p.lightness.shape) for p in pictures]
                planes = self._lanes.bring_in(placed)
            chroma, confidence, logits = self._network.colour(many, planes)
            arrival = self._lanes.bring_out(chroma, confidence[:, 0])
            told = [None] * count if logits is None else list(logits.float().cpu())
        maps = self._maps(pictures, arrival)
        for found in maps:
            if isinstance(found, Exception):
                raise found
        return [Answer(one, of) for one, of in zip(maps, told, strict=True)]  # type: ignore[arg-type]  # see above

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._in_bfloat16)

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
            scores = self._negativity_of([lightness[index][None] for index in indices])
            for index, score in zip(indices, scores, strict=True):
                found[index] = score
        return found

    def _negativity_of(self, planes: list[Plane]) -> list[float]:
        try:
            with self._watched(), self._lanes.turn():
                scores = negativity(self._float32, self._lanes.bring_in(planes), self._polarity)
                if scores is None:
                    return [0.0] * len(planes)
                (arrived,) = self._lanes.bring_out(scores).wait()
        except torch.OutOfMemoryError as error:
            raise MemoryError(str(error).splitlines()[0]) from error
        return [float(score) for score in arrived]

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """See what the device's failure is: the process has lost it, and every later pass, too."""
        try:
            yield
        except torch.AcceleratorError as error:
            raise DeviceError(
                f"{self.device} failed: {str(error).splitlines()[0]}; look at the driver's log, "
                "then start the worker anew"
            ) from error

    def _minibatches(self, shapes: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
        """Indices of equal shape, as many together as one pass takes."""
        groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, shape in enumerate(shapes):
            groups[shape].append(index)
        for (height, width), group in groups.items():
            most = self._minibatch
            if self.device.type == "cpu":
                most = min(most, max(1, self._pass_px // (height * width)))
            for start in range(0, len(group), most):
                yield group[start : start + most]

    def _begin(self, pictures: list[_Picture]) -> Arrival | MemoryError | NetworkFault:
        try:
            return self._launch(pictures)
        except NetworkFault as fault:
            return fault
        except (torch.OutOfMemoryError, MemoryError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Outside the handler: while it ran, the failed pass and its tensors were still alive.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        height, width = pictures[0].lightness.shape
        return MemoryError(f"a map of {height} × {width} does not fit {self.device}: {reason}")

    @torch.inference_mode()
    def _launch(self, pictures: list[_Picture]) -> Arrival:
        with self._lanes.turn(), self._precision():
            lightness = self._lanes.bring_in([p.lightness[None] for p in pictures])  # (N, 1, h, w)
            hints = None
            if any(picture.hints for picture in pictures):
                planes = [place_hints(p.hints, *p.lightness.shape) for p in pictures]
                hints = self._lanes.bring_in(planes)  # (N, 3, h, w)
            chroma, confidence, _ = self._network(lightness, hints)
            return self._lanes.bring_out(chroma, confidence[:, 0])

    def _end(
        self, pictures: list[_Picture], begun: Arrival | MemoryError | NetworkFault
    ) -> list[ChromaMap | Exception]:
        """Give the maps of a minibatch, or of its halves where that as a whole did not go."""
        if isinstance(begun, Arrival):
            return self._maps(pictures, begun)
        if len(pictures) == 1:
            return [begun]
        middle = len(pictures) // 2
        parts = (pictures[:middle], pictures[middle:])
        return [result for part in parts for result in self._end(part, self._begin(part))]

    def _maps(self, pictures: list[_Picture], arrival: Arrival) -> list[ChromaMap | Exception]:
        # First: the device computes meanwhile.
        masks = [neutral_mask(p.lightness) if p.neutral is None else p.neutral for p in pictures]
        chroma, confidence = arrival.wait()  # (N, 2, h, w), (N, h, w)
        spreads = np.ptp(chroma, axis=(2, 3)).max(axis=1)
        if self._fade:
            chroma *= (confidence**self._fade)[:, None]
        for a_b, mask in zip(chroma, masks, strict=True):
            a_b[:, mask] = 0
        return [
            self._map(a_b, sure, picture, spread=float(spread))
            for a_b, sure, picture, spread in zip(
                chroma, confidence, pictures, spreads, strict=True
            )
        ]

    def _map(
        self, a_b: Plane, sure: Plane, picture: _Picture, *, spread: float
    ) -> ChromaMap | NetworkFault:
        score = float(sure.mean(dtype=np.float64))
        # Sums are finite only where every addend is, and cost a fraction of `isfinite`.
        is_finite = np.isfinite(score) and np.isfinite(a_b.sum(dtype=np.float64))
        is_told = spread > _EVEN or np.ptp(picture.lightness) < _PLAIN
        if is_finite and is_told:
            return ChromaMap(a_b, sure, score, picture.lightness)
        what = "one and the same colour everywhere" if is_finite else "no finite colours"
        return NetworkFault(
            f"{self.checkpoint.path}: the network gives {what} for this picture on {self.device}"
        )

    def is_sound(self) -> bool:
        """Whether the network colours a plain ramp: if not, it will colour nothing.

        Raises:
            DeviceError: The device has failed.
        """
        side = 32 * max(1, self.checkpoint.network_px // 32)
        ramp = np.linspace(5, 95, side, dtype=np.float32)
        plane = np.ascontiguousarray(np.broadcast_to(ramp, (side, side)))
        # No part of it counts as neutral: it would be taken for a step wedge, and set to 0.
        (found,) = self.predict([plane], neutral=[np.zeros((side, side), dtype=np.bool_)])
        return not isinstance(found, NetworkFault)
