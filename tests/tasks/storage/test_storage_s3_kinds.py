"""What buckets and the proxies before them do differently: classes, ETags, payers, pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import StorageUnavailable
from tasks.storage import (
    ChangedSinceListing,
    ListingIncomplete,
    ObjectArchived,
    ObjectStore,
    open_store,
)
from tests.s3server import S3Bucket, settings_for
from tests.tasks.storage.bad_road import BadRoad, Fault, bad_road_to
from tests.tasks.storage.places import MakeFile

SCAN = b"a scan of 1934"


@pytest.fixture
def road(s3_bucket: S3Bucket) -> Iterator[BadRoad]:
    """A proxy to the bucket."""
    with bad_road_to(s3_bucket.endpoint) as road:
        yield road


def put(bucket: S3Bucket, key: str, body: bytes = SCAN, **options: str) -> None:
    """Put an object without our own code."""
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body, **options)  # type: ignore[arg-type]


def source(bucket: S3Bucket, road: BadRoad, **settings: object) -> ObjectStore:
    """Open the bucket for reading, over the road."""
    settings_ = settings_for(road.endpoint, s3_max_attempts=1, **settings)
    return open_store(bucket.url, settings=settings_)


@pytest.mark.parametrize(
    ("storage_class", "is_archived"),
    [
        ("STANDARD", False),
        ("STANDARD_IA", False),
        ("INTELLIGENT_TIERING", False),
        ("GLACIER_IR", False),
        ("GLACIER", True),
        ("DEEP_ARCHIVE", True),
    ],
)
def test_a_listing_tells_what_lies_in_an_archive_class(
    s3_bucket: S3Bucket, tmp_path: Path, storage_class: str, is_archived: bool
) -> None:
    """Those that answer at once do not count; whoever asks for one that does not is told why."""
    put(s3_bucket, "a.jpg", StorageClass=storage_class)
    store = open_store(s3_bucket.url, settings=s3_bucket.settings)
    (info,) = store.list_objects()
    assert info.is_archived is is_archived
    if is_archived:
        with pytest.raises(ObjectArchived, match="archive class"):
            store.fetch("a.jpg", tmp_path / "into", etag=info.etag)
        assert not (tmp_path / "into").exists()
    else:
        store.fetch("a.jpg", tmp_path / "into", etag=info.etag)


@pytest.mark.parametrize(
    ("told", "is_archived"),
    [
        (b"<IsRestoreInProgress>true</IsRestoreInProgress>", True),
        (b"<RestoreExpiryDate>2099-12-21T00:00:00.000Z</RestoreExpiryDate>", False),
    ],
)
def test_a_restored_copy_can_be_read(
    s3_bucket: S3Bucket, road: BadRoad, told: bytes, is_archived: bool
) -> None:
    """As soon as it is there; its class stays what it was."""
    put(s3_bucket, "a.jpg", StorageClass="GLACIER")
    status = b"<RestoreStatus>" + told + b"</RestoreStatus></Contents>"
    road.faults.append(Fault("GET", path="list-type", replace=(b"</Contents>", status)))
    (info,) = source(s3_bucket, road).list_objects()
    assert info.is_archived is is_archived
    asked = [one.get("x-amz-optional-object-attributes") for one in road.headers]
    assert asked[-1] == "RestoreStatus"


def test_a_server_that_refuses_the_question_is_asked_without(
    s3_bucket: S3Bucket, road: BadRoad
) -> None:
    """Not every server knows what is being restored."""
    put(s3_bucket, "a.jpg")
    road.faults.append(Fault("GET", times=1, status=501, code="NotImplemented"))
    assert [info.key for info in source(s3_bucket, road).list_objects()] == ["a.jpg"]
    assert "x-amz-optional-object-attributes" not in road.headers[-1]


def weaken(bucket: S3Bucket, key: str = "a.jpg") -> str:
    """The object's ETag as a proxy makes it that compresses."""
    return f"W/{bucket.client.head_object(Bucket=bucket.name, Key=key)['ETag']}"


@pytest.mark.parametrize("listed", ["strong", "weak", "absent", "empty"])
@pytest.mark.parametrize("answered", ["strong", "weak", "absent"])
def test_weak_and_absent_etags_change_nothing(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path, listed: str, answered: str
) -> None:
    """The scan is read, and no condition is sent that could not be met."""
    put(s3_bucket, "a.jpg")
    weak = weaken(s3_bucket)
    etag = b"<ETag>" + weak.removeprefix("W/").encode() + b"</ETag>"
    shown = {
        "strong": etag,
        "weak": b"<ETag>" + weak.encode() + b"</ETag>",
        "absent": b"",
        "empty": b"<ETag>&quot;&quot;</ETag>",
    }[listed]
    road.faults.append(Fault("GET", path="list-type", replace=(etag, shown)))
    if answered != "strong":
        headers = {"etag": weak if answered == "weak" else ""}
        for method in ("GET", "HEAD"):
            road.faults.append(Fault(method, path="a.jpg", headers=headers))
    store = source(s3_bucket, road)
    (info,) = store.list_objects()
    store.fetch("a.jpg", tmp_path / "into", etag=info.etag)
    assert (tmp_path / "into").read_bytes() == SCAN
    assert not any("W/" in one.get("if-match", "") for one in road.headers)
    assert not any(one.get("if-match", "x").strip('"') == "" for one in road.headers)


def test_a_proxy_that_refuses_the_etags_it_weakened(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path
) -> None:
    """A 412 for a scan that is the same is asked again without the condition; else it stands."""
    put(s3_bucket, "a.jpg")
    store = source(s3_bucket, road)
    (info,) = store.list_objects()
    weak = {"etag": weaken(s3_bucket)}
    refusal = Fault("GET", path="a.jpg", times=1, status=412, code="PreconditionFailed")
    road.faults += [refusal, Fault("HEAD", headers=weak), Fault("GET", headers=weak)]
    store.fetch("a.jpg", tmp_path / "into", etag=info.etag)
    assert (tmp_path / "into").read_bytes() == SCAN
    road.faults.clear()
    put(s3_bucket, "a.jpg", b"another scan")
    with pytest.raises(ChangedSinceListing, match="new revision"):
        store.fetch("a.jpg", tmp_path / "into", etag=info.etag)


def test_a_change_under_a_missing_etag_is_seen(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path
) -> None:
    """By size and time, which the listing gives all the same."""
    put(s3_bucket, "a.jpg")
    etag = weaken(s3_bucket).removeprefix("W/").encode()
    road.faults.append(Fault("GET", path="list-type", replace=(b"<ETag>" + etag + b"</ETag>", b"")))
    store = source(s3_bucket, road)
    (info,) = store.list_objects()
    put(s3_bucket, "a.jpg", b"another scan altogether")
    with pytest.raises(ChangedSinceListing, match="new revision"):
        store.fetch("a.jpg", tmp_path / "into", etag=info.etag)


def test_who_asks_pays_where_that_is_set(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path, make_file: MakeFile
) -> None:
    """In every request: to list, to look, to get, to put."""
    put(s3_bucket, "in/a.jpg")
    file = make_file(b"derivative")
    for is_paid in (True, False):
        road.headers.clear()
        settings = settings_for(road.endpoint, s3_requester_pays=is_paid)
        store = open_store(f"{s3_bucket.url}/in", settings=settings)
        (info,) = store.list_objects()
        store.fetch("a.jpg", tmp_path / "into", etag=info.etag)
        store.stat("a.jpg")
        output = open_store(f"{s3_bucket.url}/out", settings=settings, writable=True)
        output.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
        assert len(road.headers) >= 7
        paid = {one.get("x-amz-request-payer") for one in road.headers}
        assert paid == {"requester" if is_paid else None}


@pytest.fixture
def pages(s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket of three pages."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "4")
    for number in range(12):
        put(s3_bucket, f"{number:02}.jpg")


@pytest.mark.usefixtures("pages")
def test_a_listing_that_breaks_off_is_no_end(s3_bucket: S3Bucket, road: BadRoad) -> None:
    """A server that forgets to say where to go on has not told all."""
    store = source(s3_bucket, road)
    token = (b"NextContinuationToken", b"Forgotten")
    road.faults.append(Fault("GET", path="list-type", replace=token))
    listing = store.list_objects()
    assert [next(listing).key for _ in range(4)] == ["00.jpg", "01.jpg", "02.jpg", "03.jpg"]
    with pytest.raises(ListingIncomplete, match="breaks off"):
        next(listing)


@pytest.mark.usefixtures("pages")
def test_a_listing_that_goes_round_ends(s3_bucket: S3Bucket, road: BadRoad) -> None:
    """A proxy that gives the first page for every other one would be listened to for ever."""
    store = source(s3_bucket, road)
    road.faults.append(
        Fault("GET", path="continuation-token", replace=(b"<Key>04.jpg", b"<Key>00.jpg"))
    )
    with pytest.raises(ListingIncomplete, match="same page again"):
        list(store.list_objects())


@pytest.mark.usefixtures("pages")
def test_a_listing_that_fails_in_the_middle_says_so(s3_bucket: S3Bucket, road: BadRoad) -> None:
    """What came before has been given."""
    store = source(s3_bucket, road)
    road.faults.append(Fault("GET", path="continuation-token", status=503, code="SlowDown"))
    listing = store.list_objects()
    assert len([next(listing) for _ in range(4)]) == 4
    with pytest.raises(StorageUnavailable):
        next(listing)
