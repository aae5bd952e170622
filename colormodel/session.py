"""One picture in a person's hands: asked again and again, under one correction after another.

What no hint changes is computed once. A session answers in the network's size;
`pictures.put_colour` brings the answer to any other.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from colormodel.correction import Correction
from colormodel.hints import Hint, Stroke
from colormodel.infer import Answer, Colorizer
from colormodel.modes import Mode
from colormodel.neutral import neutral_mask
from colormodel.pictures import encode_srgb
from colormodel.planes import ChromaMap, Plane, linear_in_gamut
from colormodel.settling import settle
from colormodel.spreading import Spreader

#: Answers of the network that are kept: an undo costs nothing then.
_KEPT = 12
#: A person who asks what is likely at a hint's place wants to hear of other colours than that one.
_SAME_PLACE_PX = 4
#: Cells of the distribution, to each side, over which a place's is taken.
_AROUND = 1
#: The picture's shorter side in fields that alternatives are looked for in, and how many are tried.
_FIELDS, _TRIED = 5, 6
#: a*b* units that two pictures differ by on average, at least, to be alternatives to each other.
_APART = 1.5


@dataclass(frozen=True)
class LikelyColour:
    """A colour that the network thinks likely at a place.

    Attributes:
        rgb: sRGB at the place's own lightness, 0 to 255 each.
        probability: By the network, in (0, 1]; all of a place's together are at most 1.
    """

    rgb: tuple[int, int, int]
    probability: float


@dataclass(frozen=True)
class Alternative:
    """Another plausible colouring of the same picture.

    Attributes:
        correction: What makes it: the given one, and the hints that lead away from it.
        chroma_map: The colouring.
        difference: From the one that it is an alternative to, in a*b* units, mean over pixels.
    """

    correction: Correction
    chroma_map: ChromaMap
    difference: float


class PictureSession:
    """One picture under a network; threads may share it, and wait for one another."""

    def __init__(
        self,
        colorizer: Colorizer,
        lightness: Plane,
        *,
        neutral: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take a picture up.

        Args:
            colorizer: Whose network answers.
            lightness: L* in [0, 100], float32 (h, w), of the network's size for the picture.
            neutral: What has no colour of its own; found out where it is not given.
        """
        self._colorizer = colorizer
        self.lightness = lightness
        self._neutral = neutral_mask(lightness) if neutral is None else neutral
        self._prepared = colorizer.prepare(lightness)
        self._modes = colorizer.modes
        self._spreader: Spreader | None = None
        self._answers: OrderedDict[tuple[Hint, ...], Answer] = OrderedDict()
        self._lock = threading.RLock()

    def colours(self, correction: Correction) -> ChromaMap:
        """What the picture looks like under a correction: what `settle` gives in the pipeline.

        Raises:
            DeviceError: The device has failed.
            NetworkFault: The network has no finite colours for it.
        """
        with self._lock:
            return self._settled(correction)

    def likely(
        self, x: float, y: float, correction: Correction, *, most: int = 6
    ) -> list[LikelyColour]:
        """The colours that the network thinks likely at a place, most likely first.

        What was said of other things is nothing that this one's colour follows from; what was said
        of the whole picture is. A network without a distribution has one: its answer.

        Args:
            x: Fraction of the width, in [0, 1].
            y: Fraction of the height, in [0, 1].
            correction: What is known; hints at the very place are left out.
            most: So many colours at most.

        Raises:
            DeviceError: The device has failed.
            NetworkFault: The network has no finite colours for it.
        """
        height, width = self.lightness.shape
        hints = tuple(
            hint
            for hint in self._hints(correction, wide=True)
            if max(abs(hint.x - x) * width, abs(hint.y - y) * height) > _SAME_PLACE_PX
        )
        with self._lock:
            answer = self._answer(hints)
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        tone = float(self.lightness[row, column])
        if answer.logits is None or self._modes is None:
            modes = [Mode(tuple(answer.chroma_map.chroma[:, row, column].tolist()), 1.0)]
        else:
            h, w = answer.logits.shape[1:]
            shares = self._modes.probabilities(answer.logits.numpy())
            rows, columns = _near(row * h // height, h), _near(column * w // width, w)
            modes = self._modes.of(shares[:, rows, columns].mean((1, 2)), most=most)
        return [LikelyColour(_rgb(tone, mode.chroma), mode.probability) for mode in modes]

    def as_rgb(self, row: int, column: int, chroma: tuple[float, float]) -> tuple[int, int, int]:
        """A colour as it looks at a pixel of the network's plane: sRGB, 0 to 255 each."""
        return _rgb(float(self.lightness[row, column]), chroma)

    def alternatives(self, correction: Correction, *, most: int = 4) -> list[Alternative]:
        """Other plausible colourings, each unlike the given one and the others.

        Where the network is least sure, a colour that it thinks likely there, but has not chosen,
        is put to it as a hint, and it colours the rest to match.

        Args:
            correction: What is known; all of it holds in each alternative.
            most: So many at most; fewer, down to none, where the network sees no other way.

        Raises:
            DeviceError: The device has failed.
            NetworkFault: The network has no finite colours for it.
        """
        if self._modes is None or not self._colorizer.takes_hints:
            return []
        with self._lock:
            base = self._answer(self._hints(correction))
            first = self._explored(correction, self._doubts(base, correction))
            second = []
            for one, answer in first[: most // 2]:
                second += self._explored(one, self._doubts(answer, one)[:2])
            chosen = _unlike(base, [*first, *second], most=most)
            here = self._settled(correction)
            settled = []
            for one, answer in chosen:
                self._keep(self._hints(one), answer)
                settled.append((one, self._settled(one)))
        return [
            Alternative(one, chroma_map, _difference(chroma_map.chroma, here.chroma))
            for one, chroma_map in settled
        ]

    # --- within the lock -------------------------------------------------------------------------

    def _hints(self, correction: Correction, *, wide: bool = False) -> tuple[Hint, ...]:
        if not self._colorizer.takes_hints:
            return ()
        return correction.network_hints(*self.lightness.shape, wide=wide)

    def _answer(self, hints: tuple[Hint, ...]) -> Answer:
        if hints not in self._answers:
            self._keep(hints, self._ask([hints])[0])
        self._answers.move_to_end(hints)
        return self._answers[hints]

    def _keep(self, hints: tuple[Hint, ...], answer: Answer) -> None:
        self._answers[hints] = answer
        if len(self._answers) > _KEPT:
            self._answers.popitem(last=False)

    def _ask(self, hints: Sequence[Sequence[Hint]]) -> list[Answer]:
        return self._colorizer.answer(self._prepared, self.lightness, hints, neutral=self._neutral)

    def _settled(self, correction: Correction) -> ChromaMap:
        wide = self._hints(correction, wide=True)
        untold, told = self._answer(wide), self._answer(self._hints(correction))
        if correction.is_empty:
            return untold.chroma_map
        if self._spreader is None:
            self._spreader = Spreader(self._answer(()).chroma_map)
        return settle(
            untold.chroma_map,
            told.chroma_map,
            correction,
            spreader=self._spreader,
            neutral=self._neutral,
        )

    def _explored(
        self, correction: Correction, strokes: Sequence[Stroke]
    ) -> list[tuple[Correction, Answer]]:
        """What the network answers to each stroke, put beside what it knows already."""
        if not strokes:
            return []
        tried = [replace(correction, hints=(*correction.hints, one)) for one in strokes]
        return list(zip(tried, self._ask([self._hints(one) for one in tried]), strict=True))

    def _doubts(self, answer: Answer, correction: Correction) -> list[Stroke]:
        """Colours that might be elsewhere than the network has put them, weightiest first."""
        if answer.logits is None or self._modes is None:
            return []
        shares = self._modes.probabilities(answer.logits.numpy())  # (bins, h, w)
        h, w = shares.shape[1:]
        cell = max(1, min(h, w) // _FIELDS)
        height, width = self.lightness.shape
        told = [(hint.y * h, hint.x * w) for hint in self._hints(correction)]
        doubts: list[tuple[float, Stroke]] = []
        for top in range(0, h - cell + 1, cell):
            for left in range(0, w - cell + 1, cell):
                row, column = top + cell // 2, left + cell // 2
                if any(np.hypot(row - y, column - x) < cell for y, x in told):
                    continue
                field = slice(top, top + cell), slice(left, left + cell)
                y, x = row * height // h, column * width // w
                if self._neutral[y, x]:
                    continue
                chosen = answer.chroma_map.chroma[:, y, x]
                for mode in self._modes.of(shares[(slice(None), *field)].mean((1, 2)), most=4):
                    away = float(np.hypot(*(mode.chroma - chosen)))
                    rgb = _rgb(float(self.lightness[y, x]), mode.chroma)
                    place = ((x + 0.5) / width, (y + 0.5) / height)
                    doubts.append((mode.probability * away, Stroke((place,), rgb, wide=True)))
        doubts.sort(key=lambda doubt: -doubt[0])
        return [stroke for _, stroke in doubts[:_TRIED]]


def _near(place: int, size: int) -> slice:
    return slice(max(place - _AROUND, 0), min(place + _AROUND + 1, size))


def _rgb(tone: float, chroma: tuple[float, float]) -> tuple[int, int, int]:
    plane = np.array(chroma, np.float32).reshape(2, 1, 1)
    linear = linear_in_gamut(np.full((1, 1), tone, np.float32), plane)
    red, green, blue = encode_srgb(linear, bits=8)[0, 0].tolist()
    return red, green, blue


def _unlike(
    base: Answer, found: Sequence[tuple[Correction, Answer]], *, most: int
) -> list[tuple[Correction, Answer]]:
    """Those that differ most from what there is, and from each other: each time the farthest."""
    left = list(found)
    taken: list[tuple[Correction, Answer]] = []
    known = [base.chroma_map.chroma]
    while left and len(taken) < most:
        apart = [
            min(_difference(answer.chroma_map.chroma, other) for other in known)
            for _, answer in left
        ]
        farthest = int(np.argmax(apart))
        if apart[farthest] < _APART:
            break
        correction, answer = left.pop(farthest)
        known.append(answer.chroma_map.chroma)
        taken.append((correction, answer))
    return taken


def _difference(one: Plane, other: Plane) -> float:
    return float(np.hypot(*(one - other)).mean())
