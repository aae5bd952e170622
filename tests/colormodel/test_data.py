"""From photographs to minibatches."""

from pathlib import Path

import pytest
import torch

from colormodel.data import DataRecipe, MinibatchMaker, add_neutrals, draw_hints
from colormodel.photos import Bank, DataError, load_photos
from tests.colormodel.photographs import make_photos, write_photos

RECIPE = DataRecipe(crop_px=32, minibatch=8)


def test_loading_leaves_grey_photographs_out(tmp_path: Path) -> None:
    """They would teach the network to leave colour out."""
    write_photos(tmp_path, 8)
    assert len(load_photos(tmp_path)) == 8
    photos = load_photos(tmp_path, least_chroma=4.0)
    assert len(photos) == 6
    assert photos.pictures[0].shape == (72, 96, 3)
    assert set(photos.sources) == {"here", "there"}
    assert photos.licences == {"here": "CC0", "there": "CC0"}


def test_missing_photographs_are_a_clear_error(tmp_path: Path) -> None:
    """The message names the folder and the remedy."""
    with pytest.raises(DataError, match=r"train\.csv.*--photos"):
        load_photos(tmp_path)


def test_a_damaged_photograph_is_named(tmp_path: Path) -> None:
    """Not skipped: a hole in the training data must be seen."""
    write_photos(tmp_path, 2)
    archive = tmp_path / "train-00.tar"
    broken = bytearray(archive.read_bytes())
    broken[512:600] = bytes(88)  # the first member's data follow its header of 512 bytes
    archive.write_bytes(broken)
    with pytest.raises(DataError, match=r"train-00000\.webp"):
        load_photos(tmp_path)


def test_what_was_decoded_once_is_read_again(tmp_path: Path) -> None:
    """The same pictures, and not a second time from the archive's WebP; a new archive is new."""
    write_photos(tmp_path / "photos", 6)
    fresh = load_photos(tmp_path / "photos", least_chroma=4.0)
    for _ in range(2):
        kept = load_photos(tmp_path / "photos", least_chroma=4.0, cache=tmp_path / "cache")
        assert [p.tolist() for p in kept.pictures] == [p.tolist() for p in fresh.pictures]
        assert kept.sources == fresh.sources
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(files) == 2
    write_photos(tmp_path / "photos", 8)
    assert len(load_photos(tmp_path / "photos", cache=tmp_path / "cache")) == 8


def test_parts_are_taken_as_they_arrive(tmp_path: Path) -> None:
    """A listing may name photographs whose archive is not there yet."""
    write_photos(tmp_path, 4)
    whole = (tmp_path / "train.csv").read_text(encoding="utf-8")
    later = whole.splitlines()[1].replace("train-00000", "train-00099")
    (tmp_path / "train.csv").write_text(whole + later + "\n", encoding="utf-8")
    assert len(load_photos(tmp_path)) == 4


@torch.no_grad()
def test_squares_made_together_are_as_those_of_pillow() -> None:
    """A GPU cuts all at once by products of matrices; within two of 255 codes it is the same."""
    pictures = make_photos(4).pictures
    one_by_one, together = (Bank(pictures, torch.device("cpu")) for _ in range(2))
    flat = [torch.from_numpy(picture.reshape(-1, 3)) for picture in pictures]
    together._pixels = torch.cat(flat)  # as on a GPU
    chosen = torch.arange(4).repeat(6)
    first, second = (
        bank.squares(chosen, 32, least_cover=0.6, generator=torch.Generator().manual_seed(4))
        for bank in (one_by_one, together)
    )
    assert first.shape == (24, 3, 32, 32)
    assert (first - second).abs().max() < 2 / 255


def test_a_step_decides_its_minibatch() -> None:
    """Made twice, by two makers, it is the same; another step or seed gives another."""
    recipe = DataRecipe(crop_px=32, minibatch=6, film_share=0.5, neutral_share=0.5, hint_share=0.5)
    photos = make_photos(5)
    maker = MinibatchMaker(photos, recipe, seed=1)
    one, again = maker.minibatch(7), MinibatchMaker(photos, recipe, seed=1).minibatch(7)
    for tensor, same in zip(one[:3], again[:3], strict=True):
        assert torch.equal(tensor, same)
    assert not torch.equal(one.lightness, maker.minibatch(8).lightness)
    assert not torch.equal(
        one.lightness, MinibatchMaker(photos, recipe, seed=2).minibatch(7).lightness
    )


def test_film_changes_what_is_seen_never_what_is_true() -> None:
    """With and without film the same colours are asked for."""
    photos = make_photos(5)
    plain = MinibatchMaker(photos, RECIPE, seed=3).minibatch(0)
    film = MinibatchMaker(photos, DataRecipe(crop_px=32, minibatch=8, film_share=1.0), seed=3)
    aged = film.minibatch(0)
    assert torch.equal(plain.chroma, aged.chroma)
    assert (plain.lightness - aged.lightness).abs().flatten(1).mean(1).min() > 0.5


def test_sources_are_drawn_by_weight() -> None:
    """A source of weight zero is never seen."""
    photos = make_photos(4)
    for i in (1, 3):  # the pictures of "there"
        photos.pictures[i][:] = (255, 0, 0)
    recipe = DataRecipe(crop_px=32, minibatch=64, source_weights={"there": 0.0})
    chroma = MinibatchMaker(photos, recipe, seed=1).minibatch(0).chroma
    assert (chroma.flatten(2).mean(2)[:, 0] < 60).all()


def test_hints_reveal_the_truth_and_only_at_points() -> None:
    """They are true colours, here and there, in each picture."""
    chroma = torch.ones(40, 2, 32, 32) * torch.tensor([20.0, -30.0]).view(1, 2, 1, 1)
    hints = draw_hints(chroma, torch.Generator().manual_seed(1))
    mask = hints[:, 2]
    assert set(mask.flatten().tolist()) == {0.0, 1.0}
    assert mask.flatten(1).any(1).all()
    assert 0.05 < mask.mean() < 0.5
    torch.testing.assert_close(hints[:, 0], 20 * mask)
    torch.testing.assert_close(hints[:, 1], -30 * mask)


def test_neutral_things_are_neutral() -> None:
    """Borders, wedges and flat fields have equal RGB; some pixels of most pictures stay colour."""
    srgb = torch.tensor([0.9, 0.2, 0.1]).view(1, 3, 1, 1).expand(60, 3, 40, 40).clone()
    out = add_neutrals(srgb, torch.Generator().manual_seed(2))
    neutral = (out.amax(1) - out.amin(1)) < 1e-6
    share = neutral.float().flatten(1).mean(1)
    assert (share > 0).float().mean() > 0.9
    assert 0 < (share == 1).float().mean() < 0.4
    painted = out.permute(0, 2, 3, 1)[~neutral]
    torch.testing.assert_close(painted, torch.tensor([0.9, 0.2, 0.1]).expand_as(painted))


def test_nothing_to_train_on_is_a_clear_error() -> None:
    """An empty set is refused when the training is set up, not at its first step."""
    with pytest.raises(DataError, match="least_chroma"):
        MinibatchMaker(make_photos(0), RECIPE, seed=1)
