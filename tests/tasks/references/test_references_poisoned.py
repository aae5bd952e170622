"""Poisoned references are refused when they come, or lead to no promotion."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.infer import Colorizer
from tasks.ledger.opening import open_ledger
from tasks.ledger.reference_records import TrainingVerdict
from tasks.ledger.references import list_references
from tasks.references.plausible import judge_colours
from tasks.references.rules import Refusal
from tasks.settings import Settings
from tests.schools import bring
from tests.tasks.finetune.test_finetune_steps import run_finetuning
from tests.tasks.references.colours import Codes, write_colour

REFERENCES = Path(__file__).parents[4] / "shared" / "data" / "references"
PHOTOS = REFERENCES.parent / "photos"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REFERENCES.is_dir(), reason="needs ../shared/data/references"),
]


def genuine() -> list[Codes]:
    """Every second of the period photographs, small."""
    pictures = []
    for path in sorted(REFERENCES.glob("*.jpg"))[::2]:
        with Image.open(path) as image:
            image.thumbnail((400, 400))
            pictures.append(np.asarray(image.convert("RGB")))
    return pictures


def exchanged(codes: Codes) -> Codes:
    """Red and blue, as a careless conversion does it."""
    return np.ascontiguousarray(codes[..., ::-1])


def turned(codes: Codes, degrees: int) -> Codes:
    """Every hue, by so much."""
    hue, saturation, value = Image.fromarray(codes).convert("HSV").split()
    moved = hue.point(lambda code: (code + round(degrees / 360 * 256)) % 256)
    merged = Image.merge("HSV", (moved, saturation, value)).convert("RGB")
    return np.asarray(merged)


def noise(codes: Codes) -> Codes:
    """Colours that have nothing to do with the picture."""
    draw = np.random.default_rng(int(codes.sum()) % 2**32)
    coarse = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    size = (codes.shape[1], codes.shape[0])
    blobs: NDArray[np.uint8] = np.asarray(Image.fromarray(coarse).resize(size))
    return ((codes.mean(axis=2, keepdims=True) + blobs) / 2).astype(np.uint8)


POISONS = {
    "red and blue exchanged": exchanged,
    "hues turned by 90": lambda codes: turned(codes, 90),
    "hues turned by 180": lambda codes: turned(codes, 180),
    "colours of nothing": noise,
}


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """The bundled network."""
    return Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu")


def test_genuine_period_photographs_are_plausible(colorizer: Colorizer) -> None:
    """Faded and cast as they are."""
    judged = judge_colours(genuine(), colorizer)
    assert judged is not None
    assert judged.suspicion == ""
    assert judged.low > 0


@pytest.mark.parametrize("poison", POISONS)
def test_poisoned_ones_are_not(colorizer: Colorizer, poison: str) -> None:
    """Whatever was done to all of them."""
    judged = judge_colours([POISONS[poison](codes) for codes in genuine()], colorizer)
    assert judged is not None
    assert judged.suspicion


@pytest.fixture
def settings(sqlite_url: str, tmp_path: Path) -> Settings:
    """Settings over an empty ledger; the champion is the bundled network."""
    return Settings.model_validate(
        {
            "database_url": sqlite_url,
            "output": str(tmp_path / "colour"),
            "device": "cpu",
            "threads": 1,
            "base_photos": PHOTOS,
            "finetune_folder": tmp_path / "finetune",
            "finetune_min_new": 4,
            "finetune_min_held_out": 4,
        }
    )


def test_a_poisoned_delivery_is_refused_and_in_small_parts_it_is_never_promoted(
    settings: Settings, tmp_path: Path
) -> None:
    """Sixteen and more at once are refused; brought by fives they are found before training."""
    for number, codes in enumerate(genuine()):
        folder = tmp_path / "supplied" / f"{number // 5}"
        write_colour(folder / f"{number:03}.png", exchanged(codes))
    answers = bring(settings, tmp_path / "supplied")
    assert {one.verdict.refusal for one in answers if one.verdict} == {Refusal.IMPLAUSIBLE}
    with open_ledger(settings) as ledger:
        assert list_references(ledger) == []
    for folder in sorted((tmp_path / "supplied").iterdir()):
        bring(settings, folder)
    ended = run_finetuning(settings)
    assert ended.verdict is TrainingVerdict.KEPT
    assert "look changed" in ended.why


def test_poisoned_ones_by_many_hands_are_found_together(settings: Settings, tmp_path: Path) -> None:
    """Few for training, few held out, few of each person: all of them are enough to be asked."""
    for number, codes in enumerate(genuine()[:18]):
        path = write_colour(tmp_path / f"{number:03}.png", exchanged(codes))
        bring(settings, path, who=f"curator {number % 3}")
    ended = run_finetuning(settings)
    assert ended.verdict is TrainingVerdict.KEPT
    assert "the colours of the references look changed" in ended.why
