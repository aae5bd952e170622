"""What a processor computes fastest is tried once, and kept."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.infer import MINIBATCH_TOLERANCE, Colorizer
from colormodel.passes import TRIED_SHAPE, PassPlan, plan_passes
from colormodel.planes import ChromaMap

PICTURE_PX = TRIED_SHAPE[0] * TRIED_SHAPE[1]


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else works here, whatever the tests do beside each other."""
    monkeypatch.setattr("psutil.getloadavg", lambda: (0.0, 0.0, 0.0))


class Processor:
    """Takes milliseconds a pass and a picture: a fifth more for each beyond *best*."""

    def __init__(self, a_pass: float, a_picture: float, best: int = 8) -> None:
        self.a_pass, self.a_picture, self.best = a_pass, a_picture, best
        self.passes = 0

    def __call__(self, lightness: Tensor) -> None:
        """Take the time."""
        self.passes += 1
        count = len(lightness)
        over = 1 + max(0, count - self.best) / 5
        time.sleep((self.a_pass + self.a_picture * count * over) / 1000)


def plan(
    folder: Path, float32: Callable[..., object], half: Callable[..., object] | None = None
) -> PassPlan | None:
    """Of a network called a."""
    return plan_passes(float32, half, network="a", folder=folder)


@pytest.mark.parametrize(
    ("half", "in_bfloat16"),
    [(Processor(1, 1), True), (Processor(5, 5), False), (Processor(1, 2.9), False), (None, False)],
    ids=["faster", "emulated", "hardly faster", "not there"],
)
def test_bfloat16_is_taken_where_it_pays(
    half: Processor | None, in_bfloat16: bool, tmp_path: Path
) -> None:
    """A gain of a twentieth is noise."""
    found = plan(tmp_path, Processor(1, 3), half)
    assert found is not None
    assert found.in_bfloat16 is in_bfloat16
    assert (found.other_milliseconds is None) is (half is None)
    assert found.milliseconds == pytest.approx(1.1 if in_bfloat16 else 3.1, rel=0.5)


def test_as_many_at_once_as_are_fastest(tmp_path: Path) -> None:
    """More of them fall out of the caches."""
    found = plan(tmp_path, Processor(4, 3, best=4))
    assert found is not None
    assert found.pass_px == 4 * PICTURE_PX
    assert found.in_words().startswith("float32, 4 at once: ")


def test_it_is_tried_once_for_a_machine_and_a_network(tmp_path: Path) -> None:
    """Every later process reads it."""
    first, again, other = Processor(0, 1), Processor(0, 9), Processor(0, 2)
    found = plan(tmp_path / "cache", first)
    assert plan(tmp_path / "cache", again) == found
    assert first.passes
    assert not again.passes
    assert plan_passes(other, None, network="b", folder=tmp_path / "cache") != found
    assert plan(tmp_path / "cache", again) == found  # beside another network's
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["passes.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', "{", '{"KEY": {"pass_px": 3}}'])
def test_what_is_kept_and_damaged_is_tried_again(tmp_path: Path, text: str) -> None:
    """A cache is never a reason to fail."""
    plan(tmp_path, Processor(0, 1))
    file = tmp_path / "passes.json"
    (key,) = json.loads(file.read_text())
    file.write_text(text.replace("KEY", key))
    tried = Processor(0, 1)
    found = plan(tmp_path, tried)
    assert tried.passes
    assert json.loads(file.read_text())[key] == found._asdict()  # type: ignore[union-attr]


def test_a_plan_for_bfloat16_is_not_for_a_processor_without(tmp_path: Path) -> None:
    """One home on a network mount, two machines that call their processors the same."""
    plan(tmp_path, Processor(0, 3), Processor(0, 1))
    found = plan(tmp_path, Processor(0, 3), None)
    assert found is not None
    assert not found.in_bfloat16


def test_nothing_is_tried_where_it_cannot_be_kept_or_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second for each process, or noise kept for ever: neither is worth it."""
    tried = Processor(0, 1)
    assert plan(Path(os.devnull) / "none", tried) is None
    monkeypatch.setattr("psutil.getloadavg", lambda: (999.0, 0.0, 0.0))
    assert plan(tmp_path, tried) is None
    assert not tried.passes
    assert not list(tmp_path.iterdir())


def test_colours_are_the_same_however_passes_are_made(tmp_path: Path) -> None:
    """Within the tolerance that the colorizer states."""
    checkpoint = read_checkpoint(DEFAULT_CHECKPOINT)
    planes = [
        np.random.default_rng(seed).uniform(0, 100, TRIED_SHAPE).astype(np.float32)
        for seed in range(3)
    ]
    colorizer = Colorizer(checkpoint, device="cpu")
    colorizer.suit_processor(tmp_path)
    assert isinstance(colorizer.plan, PassPlan)
    exact = Colorizer(checkpoint, device="cpu", precision="float32")
    for found, wanted in zip(colorizer.predict(planes), exact.predict(planes), strict=True):
        assert isinstance(found, ChromaMap)
        assert isinstance(wanted, ChromaMap)
        apart = np.abs(found.chroma - wanted.chroma).max()
        assert apart <= max(colorizer.tolerance, MINIBATCH_TOLERANCE)
