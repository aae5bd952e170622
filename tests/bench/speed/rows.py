"""What the benchmark says: rows of measured figures, as a table and as JSON."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch


@dataclass(frozen=True)
class Row:
    """One claim, measured.

    Attributes:
        claim: What is compared, in words.
        value: The figure, mostly a ratio.
        unit: Of the figure.
        target: What it should be, in words; empty where the figure is only told.
        is_met: Whether it is so; None where there is no target.
        detail: The figures that it was made of.
    """

    claim: str
    value: float
    unit: str
    target: str = ""
    is_met: bool | None = None
    detail: str = ""


def at_least(claim: str, value: float, target: float, detail: str, *, unit: str = "×") -> Row:
    """A row whose figure should not be smaller than *target*."""
    return Row(claim, value, unit, f"≥ {target:g} {unit}", value >= target, detail)


def at_most(claim: str, value: float, target: float, detail: str, *, unit: str = "×") -> Row:
    """A row whose figure should not be larger than *target*."""
    return Row(claim, value, unit, f"≤ {target:g} {unit}", value <= target, detail)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu_seconds_of(work: Callable[[], object]) -> float:
    """Seconds of CPU that one call costs this process, all its threads together."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turn(*works: Callable[[], object], rounds: int) -> list[float]:
    """Median seconds of each work, called in turn so that a noisy machine disturbs all alike."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for seconds, work in zip(taken, works, strict=True):
            seconds.append(seconds_of(work))
    return [statistics.median(seconds) for seconds in taken]


def machine() -> dict[str, object]:
    """What it was measured on."""
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": cuda,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def to_table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = ["| what | measured | target | | of |", "|---|--:|---|---|---|"]
    for row in rows:
        met = {True: "met", False: "missed", None: ""}[row.is_met]
        lines.append(
            f"| {row.claim} | {row.value:.3g} {row.unit} | {row.target} | {met} | {row.detail} |"
        )
    return "\n".join(lines)


def write_json(path: Path, rows: Sequence[Row], *, command: str) -> None:
    """All rows and what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"command": command, **machine(), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
