"""Names of derivatives: readable, and never shared by two items."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.derivatives import ToneCheck, WrittenFile
from tasks.derivatives.keys import derivative_key

RECIPE = "7e" * 32
ARCHIVE = hashlib.sha256(b"file:///archive").hexdigest()[:8]
TONE = ToneCheck(0.0, 0.0, 0.0, luma_identical=None, rule="", passed=True)
JPEG = WrittenFile("access", Path("a"), ".jpg", "image/jpeg", 1, "5c" * 32, TONE, "")


@dataclass(frozen=True)
class Named:
    """The part of an item that names depend on."""

    key: str
    page: int = 0
    revision: int = 1
    source: str = "file:///archive"


@pytest.mark.parametrize(
    ("item", "suffix", "name"),
    [
        (Named("box 12/a.jpg"), ".jpg", "box 12/a.jpg"),
        (Named("box 12/A.JPG"), ".jpg", "box 12/A.JPG"),
        (Named("box 12/a.tif"), ".jpg", "box 12/a.tif.jpg"),
        (Named("a.tif", page=1), ".tif", "a.tif.page-0002.tif"),
        (Named("a.tif", page=1, revision=3), ".jpg", "a.tif.page-0002.rev-0003.jpg"),
        (Named("a.jpg", revision=2), ".jpg", "a.jpg.rev-0002.jpg"),
        (Named("box.12/a"), ".jpg", "box.12/a.scan.jpg"),
        (Named("a.tif.jpg"), ".jpg", "a.tif.jpg.jpg"),
        (Named("a.jpg/b.jpg"), ".jpg", "a.jpg.d/b.jpg"),
        (Named("A.JPG.d/x.tif/b.jpg"), ".jpg", "A.JPG.d.d/x.tif.d/b.jpg"),
        (Named("a.jpg.d.jpg"), ".jpg", "a.jpg.d.jpg"),
        (Named("box.jpg 12/a.jpg"), ".jpg", "box.jpg 12/a.jpg"),
    ],
)
def test_names(item: Named, suffix: str, name: str) -> None:
    """What they look like."""
    file = replace(JPEG, suffix=suffix)
    assert derivative_key(RECIPE, item, file) == f"7e7e7e7e7e7e-{ARCHIVE}/access/{name}"


_PARTS = st.lists(
    st.sampled_from(
        [
            "a",
            "b",
            ".jpg",
            ".JPG",
            ".tif",
            ".scan",
            ".page-0002",
            ".rev-0002",
            ".json",
            ".",
            "/",
            ".d",
        ]
    ),
    min_size=1,
    max_size=6,
).map("".join)
_SOURCES = st.sampled_from(["file:///archive", "s3://archive"])
_ITEMS = st.builds(Named, _PARTS, st.integers(0, 2), st.integers(1, 3), _SOURCES)


@settings(max_examples=300)
@given(_ITEMS, _ITEMS, st.sampled_from([".jpg", ".tif", ".json"]))
@example(Named("a.tif"), Named("a.tif.jpg"), ".jpg")
@example(Named("a"), Named("a.jpg"), ".jpg")
@example(Named("a"), Named("a.scan"), ".jpg")
@example(Named("a.tif", page=1), Named("a.tif.page-0002.jpg"), ".jpg")
@example(Named("a", page=1, revision=2), Named("a.page-0002", revision=2), ".jpg")
@example(Named("a.jpg"), Named("a.jpg", source="s3://archive"), ".jpg")
@example(Named("a.page-0002.scan", page=1), Named("a.page-0002", page=1), ".jpg")
def test_no_two_items_share_a_name(first: Named, second: Named, suffix: str) -> None:
    """Whatever scans are called: a derivative is never written over another item's."""
    file = replace(JPEG, suffix=suffix)
    same = derivative_key(RECIPE, first, file) == derivative_key(RECIPE, second, file)
    assert same == (first == second)


_SUFFIXES = st.sampled_from([".jpg", ".tif", ".json"])


@settings(max_examples=300)
@given(_ITEMS, _ITEMS, _SUFFIXES, _SUFFIXES)
@example(Named("a.jpg"), Named("a.jpg/b.jpg"), ".jpg", ".jpg")
@example(Named("a.tif"), Named("a.tif.jpg/b.tif"), ".jpg", ".tif")
@example(Named("a"), Named("a.scan.jpg/b"), ".jpg", ".jpg")
@example(Named("a", page=1), Named("a.page-0002.tif/b"), ".tif", ".jpg")
def test_no_name_is_a_folder_of_another(first: Named, second: Named, one: str, other: str) -> None:
    """A bucket may hold "a.jpg" beside "a.jpg/b.jpg"; a folder takes the derivatives of both."""
    file = derivative_key(RECIPE, first, replace(JPEG, suffix=one))
    assert not derivative_key(RECIPE, second, replace(JPEG, suffix=other)).startswith(f"{file}/")
