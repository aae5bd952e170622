"""How a processor computes the network fastest: tried in a second, and kept for this machine.

Whether bfloat16 pays, and how many pictures one pass takes best, depends on the processor: on a
Xeon with AMX bfloat16 is nearly twice as fast, emulated on an EPYC 7003 ten times slower; four
pictures at once suit one's caches and one alone the other's.
"""

import contextlib
import hashlib
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor

#: Pixels of the pictures that are tried: those of a scan of 640 × 500 at 160 px.
TRIED_SHAPE = (160, 192)

#: Pictures in one pass that are tried. More fall out of every cache there is.
TRIED_AT_ONCE = (1, 2, 4, 8)

#: What bfloat16 must gain: less is noise, and float32 is exact.
WORTHWHILE = 1.15

_ROUNDS = 3
_FILE = "passes.json"

Pass = Callable[[Tensor], object]


class PassPlan(NamedTuple):
    """How passes of the network are made on a processor.

    Attributes:
        in_bfloat16: Whether convolutions are in bfloat16.
        pass_px: Pixels in one pass at most.
        milliseconds: A picture of `TRIED_SHAPE` takes; in the other precision where it was tried.
        tried_on: The day.
    """

    in_bfloat16: bool
    pass_px: int
    milliseconds: float
    other_milliseconds: float | None
    tried_on: str

    def in_words(self) -> str:
        """Say it in a line."""
        names = ("bfloat16", "float32") if self.in_bfloat16 else ("float32", "bfloat16")
        height, width = TRIED_SHAPE
        other = self.other_milliseconds
        beside = "" if other is None else f", {names[1]} {other:.1f}"
        return (
            f"{names[0]}, {self.pass_px // (height * width)} at once: {self.milliseconds:.1f} ms a "
            f"picture of {height} × {width}{beside} (tried {self.tried_on})"
        )


def plan_passes(
    float32: Pass, bfloat16: Pass | None, *, network: str, folder: Path
) -> PassPlan | None:
    """Give the fastest way on this machine: as it was found before, or tried now.

    Args:
        float32: Computes a minibatch, lightness (N, 1, h, w).
        bfloat16: The same in bfloat16; None where the processor would only emulate it.
        network: What tells this architecture from others.
        folder: Where what was found is kept; made if need be.
    """
    file = folder / _FILE
    key = _key(network)
    kept = _read(file)
    with contextlib.suppress(KeyError, TypeError):
        plan = PassPlan(**kept[key])
        if bfloat16 is not None or not plan.in_bfloat16:
            return plan
    if _is_busy():
        return None
    part = file.with_name(f"{_FILE}.{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.touch()
        plan = _try(float32, bfloat16)
        part.write_text(json.dumps({**_read(file), key: plan._asdict()}, indent=1))
        part.replace(file)
    except OSError:
        return None
    return plan


def _is_busy() -> bool:
    """Whether more processes want the cores than there are, over the last minute."""
    return psutil.getloadavg()[0] > (psutil.cpu_count() or 1)


def _key(network: str) -> str:
    """Name all that the fastest way depends on."""
    parts = (_processor(), torch.__version__, str(torch.get_num_threads()), network)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line
    return f"{platform.machine()} {platform.processor()}"


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _try(float32: Pass, bfloat16: Pass | None) -> PassPlan:
    exact_ms, exact_at_once = _fastest(float32)
    half_ms, half_at_once = (None, 1) if bfloat16 is None else _fastest(bfloat16)
    in_bfloat16 = half_ms is not None and half_ms * WORTHWHILE < exact_ms
    height, width = TRIED_SHAPE
    return PassPlan(
        in_bfloat16=in_bfloat16,
        pass_px=(half_at_once if in_bfloat16 else exact_at_once) * height * width,
        milliseconds=half_ms if in_bfloat16 and half_ms is not None else exact_ms,
        other_milliseconds=exact_ms if in_bfloat16 else half_ms,
        tried_on=datetime.now(UTC).date().isoformat(),
    )


def _fastest(compute: Pass) -> tuple[float, int]:
    """Milliseconds a picture, and how many at once; passes of all sizes take turns."""
    pictures = torch.rand(max(TRIED_AT_ONCE), 1, *TRIED_SHAPE) * 100
    compute(pictures[:1])  # the first one chooses its kernels
    taken = dict.fromkeys(TRIED_AT_ONCE, float("inf"))
    for _, at_once in itertools.product(range(_ROUNDS), TRIED_AT_ONCE):
        start = time.perf_counter()
        compute(pictures[:at_once])
        taken[at_once] = min(taken[at_once], (time.perf_counter() - start) / at_once)
    best = min(TRIED_AT_ONCE, key=taken.__getitem__)
    return 1000 * taken[best], best
