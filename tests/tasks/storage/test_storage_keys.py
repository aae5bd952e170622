"""Keys: every name has one, and whatever a key holds, its object stays under the root."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.storage.keys import is_storable, key_from_name, name_from_key, safe_key, shown

ORDINARY = [
    "1934/LC-USF34-008388.tif",
    "Boîte 12/épreuve n° 3 (bis).jpg",
    "写真/浅草 大正十二年.png",
    "100% rag/a+b & c;d='e' \"f\".jpg",
    "caf%C3%A9/%2e%2e/x.jpg",
    "..hidden/.dot/a~b/...",
    "C:\\scans\\a.tif",
    "a" * 255,
]
HOSTILE = [
    "",
    "/",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a//b",
    "a/./b",
    "a/../b",
    "a/",
    "nul\0byte",
    "line\nfeed",
    "half \ud800 pair",
    "\udcff undecoded",
    ".autochrome/x.part",
    "x" * 256,
    "é" * 200 + ".jpg",
    "d/" * 500 + "x.jpg",
    "~" + "0" * 32,
    "x~" + "0" * 32 + ".jpg",
    "x~~" + "0" * 32,
    "\uefc3\uefa9",
    "\uef2e\uef2e/x",
    "\uef2f",
]

# Components that matter, so that equal and nearly equal keys come up often.
components = st.one_of(
    st.sampled_from(["", ".", "..", ".autochrome", "a", "A", "~", "x" * 300, "\0", "\n", "\udc80"]),
    st.sampled_from(HOSTILE).map(safe_key),
    st.text(max_size=6),
    st.text(st.characters(codec=None), max_size=6),
)
keys = st.one_of(
    st.lists(components, max_size=5).map("/".join),
    st.sampled_from(HOSTILE),
    st.sampled_from(HOSTILE).map(safe_key),
    st.lists(components, min_size=1, max_size=2).map(lambda parts: "/".join(parts) * 400),
)
tricky = [b"a", b"\xff", b"\0", b"%", b"\xc3", b"\xc3\xa9", b"\xee\xbc\x80", b"\xee\xbf\xbf"]
names = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(str.encode),
    st.lists(st.sampled_from(tricky)).map(b"".join),
)


@pytest.mark.parametrize("key", ORDINARY)
def test_ordinary_keys_are_kept(key: str) -> None:
    """What people call their files stays as it is."""
    assert safe_key(key) == key
    assert is_storable(key)


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_replaced(key: str, tmp_path: Path) -> None:
    """A key that would leave the root, or break a store, names another place under the root."""
    safe = safe_key(key)
    assert safe != key
    assert is_storable(safe)
    path = tmp_path.joinpath(safe)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert path.resolve().is_relative_to(tmp_path)


@settings(deadline=None)  # the machine may be busy
@given(keys)
def test_a_safe_key_is_storable(key: str) -> None:
    """Whatever text comes in, what comes out fits file systems, S3 and databases."""
    safe = safe_key(key)
    assert is_storable(safe)
    assert len(safe.encode()) <= 900
    assert all(len(part.encode()) <= 255 for part in safe.split("/"))
    assert safe.isprintable() or not any(ord(char) < 32 for char in safe)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(keys, unique=True, max_size=30))
def test_two_keys_never_become_one(some: list[str]) -> None:
    """Neither among hostile keys nor between these and the results of others."""
    assert len({safe_key(key) for key in some}) == len(some)


@settings(deadline=None)  # the machine may be busy
@given(keys)
def test_the_result_is_not_a_key_of_its_own(key: str) -> None:
    """A scan that is named like the replacement of another does not overwrite its derivative."""
    safe = safe_key(key)
    if safe != key:
        assert safe_key(safe) != safe


@settings(deadline=None)  # the machine may be busy
@given(names)
def test_every_name_has_one_key(name: bytes) -> None:
    """Bytes of any kind become text that databases take, and come back."""
    key = key_from_name(name)
    assert name_from_key(key) == name
    assert "\0" not in key
    key.encode()  # no halves of surrogate pairs


@settings(deadline=None)  # the machine may be busy
@given(st.lists(names, unique=True, max_size=20))
def test_two_names_never_share_a_key(some: list[bytes]) -> None:
    """The mapping of names to keys is injective."""
    assert len({key_from_name(name) for name in some}) == len(some)


def test_long_keys_keep_recipe_kind_and_suffix() -> None:
    """What is shortened can still be told apart by a person, and opened by suffix."""
    safe = safe_key("0123456789ab/master/" + "very/deep/" * 100 + "scan.jpg")
    assert safe.startswith("0123456789ab/master/")
    assert safe.endswith(".jpg")


def test_a_shown_key_is_one_line() -> None:
    """A message or a log cannot be forged by a file name."""
    assert shown("a\nERROR all lost\x1b[2J") == "a\\nERROR all lost\\x1b[2J"
    assert shown("écrit 写真.jpg") == "écrit 写真.jpg"
