"""What may be a reference, by itself and beside the others."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.errors import AutochromeError, UsageError
from tasks.ledger.reference_records import Certainty, Description, ReferenceKind, Split
from tasks.references.alike import ALIKE_BITS, differing_bits, hashes_turned
from tasks.references.look import Look, LookRequest, look_at_reference
from tasks.references.manifest import read_manifest
from tasks.references.rules import (
    HELD_OUT,
    KnownReference,
    Refusal,
    judge_against,
    judge_look,
    split_of,
)
from tasks.scans.header import ReadLimits
from tests.tasks.references.colours import Codes, make_colour, write_colour

ONE, OTHER = "f" * 64, "0" * 64  # for training, held out


def look_at(path: Path) -> Look:
    """As the child process does."""
    return look_at_reference(LookRequest(path, ReadLimits()))


def refusal_of(path: Path) -> Refusal | None:
    """Of a file by itself."""
    verdict = judge_look(look_at(path))
    return verdict.refusal if verdict else None


def sepia(codes: Codes) -> Codes:
    """One colour for each lightness."""
    grey = codes.mean(axis=2, keepdims=True) / 255
    return (255 * grey ** np.array([0.8, 1.0, 1.3])).astype(np.uint8)


def test_colour_is_accepted_and_grey_and_toned_are_not(tmp_path: Path) -> None:
    """Really colour: not grey in three channels, not a sepia print."""
    codes = make_colour(1)
    grey = np.repeat(codes.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert refusal_of(write_colour(tmp_path / "colour.jpg", codes)) is None
    assert refusal_of(write_colour(tmp_path / "grey.jpg", grey)) is Refusal.NOT_COLOUR
    assert refusal_of(write_colour(tmp_path / "one.png", grey[..., 0])) is Refusal.NOT_COLOUR
    assert refusal_of(write_colour(tmp_path / "sepia.png", sepia(codes))) is Refusal.NOT_COLOUR


def test_small_pictures_are_refused(tmp_path: Path) -> None:
    """They show no more than a few blocks of colour."""
    small = make_colour(1, height=159, width=400)
    assert refusal_of(write_colour(tmp_path / "small.jpg", small)) is Refusal.TOO_SMALL


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_damaged_files_are_refused(tmp_path: Path, share: float) -> None:
    """Empty, cut off in the middle, cut off near the end."""
    path = write_colour(tmp_path / "cut.jpg", make_colour(1))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AutochromeError):
        look_at(path)


def test_a_picture_is_known_again_however_it_was_treated() -> None:
    """Smaller, coarser, brighter, mirrored, turned; and none is taken for another."""
    pictures = [make_colour(seed) for seed in range(12)]
    hashes = [hashes_turned(codes)[0] for codes in pictures]
    image = Image.fromarray(pictures[0])
    treated = {
        "smaller": image.resize((130, 100)),
        "brighter": image.point(lambda code: min(255, int(code * 1.15))),
        "mirrored": image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "turned": image.transpose(Image.Transpose.ROTATE_90),
    }
    for name, picture in treated.items():
        found = hashes_turned(np.array(picture))
        assert min(differing_bits(one, hashes[0]) for one in found) <= ALIKE_BITS, name
    for number, codes in enumerate(pictures[1:], 1):
        others = [h for place, h in enumerate(hashes) if place != number]
        turned = hashes_turned(codes)
        assert min(differing_bits(one, h) for one in turned for h in others) > ALIKE_BITS


def test_the_split_follows_from_the_digest_alone() -> None:
    """Three in ten are held out, and always the same ones."""
    digests = [f"{int(share * 2**32):08x}{'0' * 56}" for share in np.linspace(0, 0.999, 1000)]
    splits = [split_of(digest) for digest in digests]
    assert splits.count(Split.EVALUATION) == pytest.approx(1000 * HELD_OUT, abs=2)
    assert splits == [split_of(digest) for digest in digests]


def test_what_is_known_already_is_refused_with_the_reason(tmp_path: Path) -> None:
    """The same file, its twin in the same split, its twin in the other, its twin withdrawn."""
    look = look_at(write_colour(tmp_path / "a.jpg", make_colour(1)))
    phash = look.hashes[0]
    for known, expected in (
        (KnownReference("a", ONE, phash, Split.TRAIN), Refusal.DUPLICATE),
        (KnownReference("a", "e" * 64, phash, Split.TRAIN), Refusal.NEAR_DUPLICATE),
        (KnownReference("a", OTHER, phash, Split.EVALUATION), Refusal.LEAKAGE),
        (KnownReference("a", "e" * 64, phash, Split.TRAIN, "withdrawn"), Refusal.WITHDRAWN),
    ):
        verdict = judge_against(look, ONE, [known])
        assert verdict is not None
        assert verdict.refusal is expected
    other = look_at(write_colour(tmp_path / "b.jpg", make_colour(2))).hashes[0]
    assert judge_against(look, ONE, [KnownReference("b", OTHER, other, Split.EVALUATION)]) is None


def test_a_manifest_describes_each_file() -> None:
    """What a row says wins over what is said of all; other names of columns are understood."""
    text = (
        "\ufefffile,Class,rights,citation,date,place,curator,certainty\n"
        "a.jpg,hand-tinted,CC0,LC-1,1907,Lyon,Mme B,certain\n"
        "b.jpg,,,,,,,\n"
        "c.jpg,photo,,,,,,\n"
    )
    rows = read_manifest(text.encode(), name="m.csv", default=Description(rights="public domain"))
    assert rows[0].description == Description(
        kind=ReferenceKind.HAND_TINTED,
        rights="CC0",
        citation="LC-1",
        date="1907",
        place="Lyon",
        curator="Mme B",
        certainty=Certainty.CERTAIN,
    )
    assert rows[1].description == Description(rights="public domain")
    assert "there is no class 'photo'; there are period, pair" in rows[2].wrong


@pytest.mark.parametrize(
    ("text", "said"), [("name\nx.jpg\n", "no column 'name'"), ("rights\nCC0\n", "`file`")]
)
def test_a_manifest_of_other_columns_is_refused(text: str, said: str) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError, match=said):
        read_manifest(text.encode(), name="m.csv", default=Description())
