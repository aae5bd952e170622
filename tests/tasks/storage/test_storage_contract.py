"""What every store does alike: the same tests over a folder and over S3 by HTTP."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.request import urlopen

import pytest

from tasks.errors import AccessDenied, SourceNotFound, WriteUnverified
from tasks.storage import ChangedSinceListing, ObjectMissing, ObjectStore, open_store, safe_key
from tasks.storage import s3 as s3_module
from tests.tasks.storage.places import MakeFile, Place

NAMES = [
    "plain.jpg",
    "a b/c d.tif",
    "100%/caf%C3%A9+x.jpg",
    "Boîte 12/épreuve n° 3.jpg",
    "写真/浅草.png",
    "q?x=1&y#z;'\"<>.jpg",
    "back\\slash.tif",
    "d/" * 60 + "e" * 200 + ".jpg",
]


def fill(place: Place, keys: list[str]) -> None:
    """Make one object a key, with the key as its content."""
    for key in keys:
        place.seed(key, key.encode())


def reading(place: Place) -> ObjectStore:
    """Open the place as a source."""
    return open_store(place.url, settings=place.settings)


def writing(place: Place) -> ObjectStore:
    """Open the place as an output."""
    return open_store(place.url, settings=place.settings, writable=True)


def test_a_listing_is_complete_and_sorted(place: Place) -> None:
    """By key as a whole: what lies in the folder "a" comes after "a.jpg", before "a0.jpg"."""
    keys = [
        *NAMES,
        "a.jpg",
        "a/z.jpg",
        "a0.jpg",
        "a/b/c.jpg",
        "a/b.jpg",
        "B.jpg",
        "é.jpg",
        "\U0001f600.jpg",
    ]
    fill(place, keys)
    found = list(reading(place).list_objects())
    assert [info.key for info in found] == sorted(keys)
    assert all(info.size_bytes == len(info.key.encode()) for info in found)
    assert all(info.etag for info in found)
    assert all(abs(info.modified_at - datetime.now(UTC)) < timedelta(minutes=5) for info in found)


def test_a_listing_takes_a_prefix_of_the_key(place: Place) -> None:
    """Any prefix, not just whole folders."""
    fill(place, ["a/1.jpg", "a/2.jpg", "ab/3.jpg", "b/4.jpg"])
    store = reading(place)
    assert [info.key for info in store.list_objects("a")] == ["a/1.jpg", "a/2.jpg", "ab/3.jpg"]
    assert [info.key for info in store.list_objects("a/")] == ["a/1.jpg", "a/2.jpg"]
    assert [info.key for info in store.list_objects("a/2")] == ["a/2.jpg"]
    assert list(store.list_objects("c")) == []


def test_a_listing_longer_than_a_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 gives 1,000 keys at a time, here 50; the reader sees one stream, and may stop early."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "50")
    keys = [f"{n % 7}/{n:05}.jpg" for n in range(123)]
    fill(place, keys)
    store = reading(place)
    assert [info.key for info in store.list_objects()] == sorted(keys)
    assert [info.key for info in islice(store.list_objects(), 3)] == sorted(keys)[:3]


@pytest.mark.parametrize("key", NAMES)
def test_what_is_listed_can_be_read(place: Place, tmp_path: Path, key: str) -> None:
    """Under the key and the etag of the listing, whatever is in the name."""
    place.seed(key, b"scan")
    store = reading(place)
    (info,) = store.list_objects()
    into = tmp_path / "fetched"
    sha256 = store.fetch(info.key, into, version=info.version, etag=info.etag)
    assert into.read_bytes() == b"scan"
    assert sha256 == store.digest(info.key)
    assert store.read(info.key) == b"scan"
    assert store.stat(info.key) is not None


def test_the_digest_is_sha256(place: Place, tmp_path: Path) -> None:
    """The well-known one of "abc"."""
    place.seed("abc", b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert reading(place).digest("abc") == known
    assert reading(place).fetch("abc", tmp_path / "abc") == known


def test_an_empty_object(place: Place, tmp_path: Path, make_file: MakeFile) -> None:
    """Has a digest like any other."""
    file = make_file(b"")
    store = writing(place)
    store.put("empty.xmp", file.path, content_type="text/xml", sha256=file.sha256)
    assert store.fetch("empty.xmp", tmp_path / "into") == file.sha256
    assert store.read("empty.xmp") == b""
    assert [info.key for info in reading(place).list_objects()] == ["empty.xmp"]


def test_stat_agrees_with_the_listing(place: Place) -> None:
    """So that either can be compared with what the ledger knows."""
    place.seed("a/b.jpg", b"12345")
    store = reading(place)
    (info,) = store.list_objects()
    known = store.stat("a/b.jpg")
    assert known is not None
    assert (known.key, known.size_bytes, known.etag) == (info.key, 5, info.etag)


def test_what_is_not_there(place: Place, tmp_path: Path) -> None:
    """Is None for stat, and a named error for whoever wants the bytes; no file is left."""
    place.seed("folder/there.jpg", b"x")
    store = reading(place)
    for key in ("not.jpg", "folder", "folder/", "folder/there.jpg/below", "../archive", ""):
        assert store.stat(key) is None, key
    with pytest.raises(ObjectMissing, match=r"not\.jpg"):
        store.fetch("not.jpg", tmp_path / "into")
    assert not (tmp_path / "into").exists()
    with pytest.raises(ObjectMissing):
        store.read("not.jpg")
    with pytest.raises(ObjectMissing):
        store.digest("not.jpg")


def test_a_scan_that_changed_since_its_listing_is_not_read(place: Place, tmp_path: Path) -> None:
    """What was listed is what is read, or an error says so: never new bytes under an old row."""
    place.seed("a.jpg", b"first")
    store = reading(place)
    (info,) = store.list_objects()
    place.seed("a.jpg", b"second, and longer")
    with pytest.raises(ChangedSinceListing, match="new revision"):
        store.fetch("a.jpg", tmp_path / "into", etag=info.etag)
    assert not (tmp_path / "into").exists()
    (again,) = store.list_objects()
    assert again.etag != info.etag
    store.fetch("a.jpg", tmp_path / "into", etag=again.etag)
    assert (tmp_path / "into").read_bytes() == b"second, and longer"


def test_put_then_read_back(place: Place, tmp_path: Path, make_file: MakeFile) -> None:
    """Every way of reading gives what was put."""
    file = make_file(os.urandom(3_000_000))
    store = writing(place)
    for key in NAMES:
        store.put(key, file.path, content_type="image/jpeg", sha256=file.sha256)
        assert store.digest(key) == file.sha256
        assert store.fetch(key, tmp_path / "into") == file.sha256
        assert store.read(key) == file.content
        with urlopen(store.link(key)) as answer:  # noqa: S310 - file:// and loopback
            assert answer.read() == file.content
    assert place.content() == dict.fromkeys(NAMES, file.content)
    assert [info.key for info in reading(place).list_objects()] == sorted(NAMES)


def test_put_replaces(place: Place, make_file: MakeFile) -> None:
    """Writing an item's derivative twice is harmless."""
    store = writing(place)
    for content in (b"first", b"second"):
        file = make_file(content)
        store.put("a/b.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    assert place.content() == {"a/b.jpg": b"second"}


def test_a_file_that_is_not_the_one_meant_is_not_stored(place: Place, make_file: MakeFile) -> None:
    """What stood there before still stands."""
    store = writing(place)
    old, new = make_file(b"old"), make_file(b"new")
    store.put("a.jpg", old.path, content_type="image/jpeg", sha256=old.sha256)
    with pytest.raises(WriteUnverified, match="nothing was stored"):
        store.put("a.jpg", new.path, content_type="image/jpeg", sha256=old.sha256)
    assert place.content() == {"a.jpg": b"old"}


@pytest.mark.parametrize(
    "key", ["../../x.jpg", "/etc/x.jpg", "a//b", "x\0y", "z" * 300, ".autochrome/x"]
)
def test_hostile_keys_stay_under_the_root(place: Place, make_file: MakeFile, key: str) -> None:
    """And can be read again under the key that they were put under."""
    file = make_file(b"derivative")
    store = writing(place)
    store.put(key, file.path, content_type="image/jpeg", sha256=file.sha256)
    assert place.content() == {safe_key(key): b"derivative"}
    assert store.digest(key) == file.sha256
    assert store.stat(key) is not None
    assert store.read(safe_key(key)) == b"derivative"


def test_a_source_cannot_be_written(place: Place, make_file: MakeFile) -> None:
    """Whatever permissions we happen to have on it."""
    place.seed("a.jpg", b"scan")
    file = make_file(b"derivative")
    with pytest.raises(AccessDenied, match="opened for reading"):
        reading(place).put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    assert place.content() == {"a.jpg": b"scan"}


def test_large_files(
    place: Place, tmp_path: Path, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts, where the store works so: same bytes, same digest."""
    monkeypatch.setattr(s3_module, "PART_BYTES", 5 << 20)
    file = make_file(os.urandom(12 << 20))
    store = writing(place)
    store.put("large.tif", file.path, content_type="image/tiff", sha256=file.sha256)
    assert store.digest("large.tif") == file.sha256
    assert store.fetch("large.tif", tmp_path / "into") == file.sha256


def test_many_threads_share_a_store(place: Place, tmp_path: Path, make_file: MakeFile) -> None:
    """Fetch, encode and put overlap in one process."""
    files = [make_file(os.urandom(100_000)) for _ in range(24)]
    store = writing(place)

    def there_and_back(number: int) -> bool:
        file, key = files[number], f"{number % 5}/{number}.jpg"
        store.put(key, file.path, content_type="image/jpeg", sha256=file.sha256)
        return store.fetch(key, tmp_path / f"into-{number}") == file.sha256 == store.digest(key)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(len(files))))


def test_a_place_that_does_not_exist(place: Place) -> None:
    """Is found out at once, not by the first scan."""
    with pytest.raises(SourceNotFound, match="check the spelling"):
        open_store(f"{place.url}-not", settings=place.settings)


def test_the_url_is_normal(place: Place) -> None:
    """However it was written, one place has one address."""
    place.seed("x", b"x")
    plain = reading(place).url
    assert open_store(f"{place.url}/", settings=place.settings).url == plain
    assert open_store(plain, settings=place.settings).url == plain
