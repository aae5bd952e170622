"""What colouring along the motion gives, with the bundled network and with a restless one."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from colormodel.checkpoint import DEFAULT_CHECKPOINT, read_checkpoint
from colormodel.correction import Correction
from colormodel.hints import Stroke, chroma_of
from colormodel.infer import Colorizer
from colormodel.planes import ChromaMap
from colormodel.session import PictureSession
from tasks.errors import InvalidPrediction
from tasks.films import shots
from tasks.films.colouring import FrameCorrections, colour_shot
from tasks.films.header import probe
from tasks.films.shots import Shot, find_shots
from tests.bench.films import as_lab, frame_by_frame
from tests.flicker import measure_flicker
from tests.tasks.films.filmmaking import scene, write_film
from tests.tasks.films.networks import RestlessNetwork

Lab = NDArray[np.float32]


def frames_of(*paths: Path) -> list[Lab]:
    """L*, a*, b* of each frame, (3, h, w)."""
    found = []
    for path in paths:
        with av.open(str(path)) as film:
            found += [
                as_lab(frame.reformat(format="rgb24").to_ndarray())  # type: ignore[arg-type]
                for frame in film.decode(video=0)
            ]
    return found


@pytest.fixture(scope="module")
def network() -> Colorizer:
    """The bundled network."""
    return Colorizer(read_checkpoint(DEFAULT_CHECKPOINT), device="cpu")


def test_the_bundled_network_flickers_less_along_the_motion(
    tmp_path: Path, network: Colorizer
) -> None:
    """By two thirds at least, on a pan with grain."""
    rng = np.random.default_rng(1)
    pictures = [
        np.clip(one + rng.normal(0, 4, one.shape), 0, 255).astype(np.uint8)
        for one in scene(16, width=192, height=128, seed=3)
    ]
    path = tmp_path / "f"
    write_film(path, pictures)
    header = probe(path)
    (shot,) = find_shots(path, header)
    colour_shot(path, header, shot, network, tmp_path / "along.mkv")
    frame_by_frame(path, header, shot, network, tmp_path / "each.mkv")
    along, each = (
        measure_flicker((lab[0], lab[1:]) for lab in frames_of(tmp_path / name))
        for name in ("along.mkv", "each.mkv")
    )
    assert along.warped_error < 0.35 * each.warped_error


def test_a_hint_is_carried_through_its_shot(tmp_path: Path, network: Colorizer) -> None:
    """What is red in one frame is red, where it has moved to, in the first and in the last."""
    pictures = scene(12, width=192, height=128, seed=5)
    for number, one in enumerate(pictures):  # a light figure that walks
        one[40:90, 40 + 3 * number : 80 + 3 * number] = 190
    path = tmp_path / "f"
    write_film(path, pictures)
    header = probe(path)
    (shot,) = find_shots(path, header)
    red = (200.0, 60.0, 50.0)
    place = ((60 + 3 * 6) / 192, 65 / 128)
    said = FrameCorrections(
        [(6, Correction((Stroke((place,), red),)))],
        lambda lightness, known: PictureSession(network, lightness).colours(known),
    )
    colour_shot(path, header, shot, network, tmp_path / "plain.mkv")
    colour_shot(path, header, shot, network, tmp_path / "told.mkv", corrections=said)
    plain, told = frames_of(tmp_path / "plain.mkv"), frames_of(tmp_path / "told.mkv")
    wanted = np.array(chroma_of(red))
    for number in (0, 6, 11):
        here = slice(58, 72), slice(52 + 3 * number, 68 + 3 * number)
        before, after = (lab[number][1:, *here].mean(axis=(1, 2)) for lab in (plain, told))
        assert np.hypot(*(after - wanted)) < 0.5 * np.hypot(*(before - wanted))
        assert after[0] > before[0] + 15


def test_nothing_shows_where_a_take_is_parted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the border of two shots of one take colours step no more than within them."""
    monkeypatch.setattr(shots, "MOST_FRAMES", 40)
    still = scene(1, seed=6)[0]
    rng = np.random.default_rng(4)
    pictures = [
        np.clip(still + rng.normal(0, 3, still.shape), 0, 255).astype(np.uint8) for _ in range(80)
    ]
    path = tmp_path / "f"
    write_film(path, pictures)
    header = probe(path)
    parts = find_shots(path, header)
    assert [(one.frames, one.lead, one.tail) for one in parts] == [(40, 0, 36), (40, 36, 0)]
    for number, part in enumerate(parts):
        # The network says the same of the same frame, whoever asks.
        colour_shot(path, header, part, _ByFrame(), tmp_path / f"{number}.mkv")
    labs = frames_of(tmp_path / "0.mkv", tmp_path / "1.mkv")
    tints = np.array([lab[1:].mean(axis=(1, 2)) for lab in labs])
    steps = np.hypot(*np.diff(tints, axis=0).T)
    assert steps[39] < 2 * steps.max(initial=0, where=np.arange(79) != 39) + 0.1
    assert steps[39] < 1


class _ByFrame(RestlessNetwork):
    """As restless, but what it says follows from the frame alone."""

    def predict(self, lightness: object) -> list[ChromaMap | Exception]:
        maps: list[ChromaMap | Exception] = []
        for plane in lightness:  # type: ignore[attr-defined]
            rng = np.random.default_rng(int(plane.astype(np.float64).sum() * 1000))
            chroma = np.stack([plane * 0.3, 20 - plane * 0.3]) + rng.normal(0, 5, (2, 1, 1))
            sure = np.full(plane.shape, 0.6, np.float32)
            maps.append(ChromaMap(chroma.astype(np.float32), sure, 0.6, plane))
        return maps


class _Broken(RestlessNetwork):
    """Gives no colours."""

    def predict(self, lightness: object) -> list[ChromaMap | Exception]:
        return [ValueError("no finite colours")] * len(lightness)  # type: ignore[arg-type]


class _Full(RestlessNetwork):
    """Has no room."""

    def predict(self, lightness: object) -> list[ChromaMap | Exception]:
        return [MemoryError("no room")] * len(lightness)  # type: ignore[arg-type]


def test_a_network_that_fails_has_its_reason(tmp_path: Path) -> None:
    """As for scans."""
    write_film(tmp_path / "f", scene(6))
    header = probe(tmp_path / "f")
    shot = Shot(0, 6, 0, 0, None)
    with pytest.raises(InvalidPrediction):
        colour_shot(tmp_path / "f", header, shot, _Broken(), tmp_path / "x.mkv")
    with pytest.raises(MemoryError):
        colour_shot(tmp_path / "f", header, shot, _Full(), tmp_path / "x.mkv")
