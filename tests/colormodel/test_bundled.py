"""The checkpoint that the repository carries: never random, and what it must be able to do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import color, data

from colormodel.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, read_checkpoint
from colormodel.evaluate import Contestant, Measurer, iter_photographs, summarise
from colormodel.infer import Colorizer
from colormodel.pictures import resize_lightness
from colormodel.planes import ChromaMap

PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "photos"


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """The bundled default."""
    return read_checkpoint(DEFAULT_CHECKPOINT)


@pytest.fixture(scope="module")
def colorizer(checkpoint: Checkpoint) -> Colorizer:
    """Of the bundled default, on the CPU."""
    return Colorizer(checkpoint, device="cpu")


def test_it_is_small_and_says_what_it_is(checkpoint: Checkpoint) -> None:
    """At most 20 MB, with its data, terms and limits in the card."""
    assert checkpoint.path.stat().st_size <= 20_000_000
    assert checkpoint.card.data
    assert all(source.licence for source in checkpoint.card.data)
    assert checkpoint.card.limitations


def test_skin_is_warm(colorizer: Colorizer) -> None:
    """The astronaut's face is neither grey nor green."""
    lightness = color.rgb2lab(data.astronaut())[..., 0].astype(np.float32)
    small = resize_lightness(lightness, colorizer.network_size(*lightness.shape))
    (result,) = colorizer.predict([small])
    assert isinstance(result, ChromaMap)
    height, width = small.shape
    face = result.chroma[
        :, height * 80 // 512 : height * 170 // 512, width * 190 // 512 : width // 2
    ]
    a, b = face.mean(axis=(1, 2))
    assert a > 2
    assert b > 4


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is not there")
def test_it_beats_grey_and_heeds_hints_on_photographs_kept_aside(colorizer: Colorizer) -> None:
    """On 24 photographs: nearer to the truth than grey, and nearer still with ten true points."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    contestants = [Contestant("default", colorizer), Contestant("hints", colorizer, hints=10)]
    measurer = Measurer(contestants, weights=None, film=False)
    measurer.add(list(iter_photographs(PHOTOS, limit=24)))
    torch.set_num_threads(threads)
    grey, automatic, hinted = (row.ciede2000 for row in summarise("", measurer.evidence).table)
    assert automatic < 0.95 * grey
    assert hinted < 0.9 * automatic
