"""S3 over a bad road: what is tried again, what is an error, and which."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import (
    AccessDenied,
    AutochromeError,
    FixityMismatch,
    OutputFull,
    Reason,
    SourceNotFound,
    StorageUnavailable,
    UsageError,
    reason_of,
)
from tasks.storage import ObjectMissing, ObjectRefused, ObjectStore, open_store
from tasks.storage import s3 as s3_module
from tests.s3server import SECRET_ACCESS_KEY, S3Bucket, settings_for
from tests.tasks.storage.bad_road import SECRET, BadRoad, Fault, bad_road_to
from tests.tasks.storage.places import MakeFile

SCAN = os.urandom(300_000)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be waited between attempts; a hundredth of them is waited."""
    waits: list[float] = []
    sleep, mine = time.sleep, threading.current_thread()

    def sleep_less(seconds: float) -> None:
        if threading.current_thread() is not mine:  # another test's, which has not ended yet
            sleep(seconds)
            return
        waits.append(seconds)
        sleep(seconds / 100)

    monkeypatch.setattr(time, "sleep", sleep_less)
    return waits


@pytest.fixture
def road(s3_bucket: S3Bucket) -> Iterator[BadRoad]:
    """A proxy to a bucket that holds one scan."""
    s3_bucket.client.put_object(
        Bucket=s3_bucket.name, Key="in/scan.jpg", Body=SCAN, ChecksumAlgorithm="SHA256"
    )
    with bad_road_to(s3_bucket.endpoint) as road:
        yield road


def source(bucket: S3Bucket, road: BadRoad, **settings: object) -> ObjectStore:
    """Open the bucket for reading, over the road."""
    return open_store(f"{bucket.url}/in", settings=settings_for(road.endpoint, **settings))


def output(bucket: S3Bucket, road: BadRoad, **settings: object) -> ObjectStore:
    """Open the bucket for writing, over the road."""
    settings_ = settings_for(road.endpoint, **settings)
    return open_store(f"{bucket.url}/out", settings=settings_, writable=True)


def say(error: BaseException) -> str:
    """Return the message, which is one line and holds no secret, of the server's or of ours."""
    message = str(error)
    assert "\n" not in message
    assert SECRET not in message
    assert SECRET_ACCESS_KEY not in message
    return message


TRANSIENT = [
    Fault("GET", times=2, status=503, code="SlowDown"),
    Fault("GET", times=2, status=500, code="InternalError"),
    Fault("GET", times=2, status=429, code="TooManyRequests"),
    Fault("GET", times=2, cut="reset"),
    Fault("GET", times=2, cut="close"),
    Fault("GET", times=2, lose_answer=True),
    Fault("GET", times=1, hang_s=1.2),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=str)
def test_passing_trouble_is_waited_out(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path, waits: list[float], fault: Fault
) -> None:
    """A listing and a fetch arrive whole, and the caller sees nothing of it but the time."""
    store = source(s3_bucket, road, s3_timeout_s=1.0)
    road.faults.append(Fault(**vars(fault)))
    (info,) = store.list_objects()
    road.faults.append(Fault(**vars(fault)))
    store.fetch(info.key, tmp_path / "into", etag=info.etag)
    assert (tmp_path / "into").read_bytes() == SCAN
    assert all(fault.times == 0 for fault in road.faults)
    assert len(waits) == 2 * fault.times
    assert all(0 < wait <= 4 for wait in waits)
    assert len(set(waits)) == len(waits), "waits without jitter meet again"


@pytest.mark.parametrize("fault", TRANSIENT, ids=str)
def test_lasting_trouble_ends_in_bounded_time(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path, fault: Fault
) -> None:
    """As `storage_unavailable`, after the attempts that the settings name, with no file left."""
    store = source(s3_bucket, road, s3_timeout_s=0.5, s3_max_attempts=2)
    before = road.count("GET")
    road.faults.append(Fault(**{**vars(fault), "times": 10_000}))
    started = time.monotonic()
    with pytest.raises(StorageUnavailable, match=r"scan\.jpg") as caught:
        store.fetch("scan.jpg", tmp_path / "into")
    assert time.monotonic() - started < 20
    assert reason_of(caught.value) is Reason.STORAGE_UNAVAILABLE
    assert say(caught.value)
    assert road.count("GET") - before == 2
    assert not (tmp_path / "into").exists()
    with pytest.raises(StorageUnavailable):
        list(store.list_objects())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("PUT", status=503, code="SlowDown", times=2), None),
        (Fault("PUT", lose_answer=True, times=2), None),
        (Fault("PUT", status=503, code="SlowDown"), StorageUnavailable),
        (Fault("PUT", status=507, code="InsufficientStorage"), OutputFull),
        (Fault("PUT", status=403, code="QuotaExceeded"), OutputFull),
        (Fault("PUT", status=507, code="XMinioStorageFull"), OutputFull),
        (Fault("PUT", status=403, code="AccessDenied"), AccessDenied),
        (Fault("PUT", status=400, code="ExpiredToken"), AccessDenied),
        (Fault("PUT", status=403, code="RequestTimeTooSkewed"), AccessDenied),
        (Fault("PUT", status=404, code="NoSuchBucket"), SourceNotFound),
    ],
    ids=str,
)
def test_put_over_a_bad_road(
    s3_bucket: S3Bucket, road: BadRoad, make_file: MakeFile, fault: Fault, error: type | None
) -> None:
    """The object is there whole, or not at all and the error has a name."""
    store = output(s3_bucket, road)
    road.faults.append(Fault(**vars(fault)))
    file = make_file(os.urandom(200_000))
    if error is None:
        store.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
        assert store.digest("a.jpg") == file.sha256
        return
    with pytest.raises(error) as caught:
        store.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    assert f"{s3_bucket.url}/out/a.jpg" in say(caught.value)
    road.faults.clear()
    assert store.stat("a.jpg") is None


def test_a_lasting_wrong_byte_is_a_fixity_mismatch(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path
) -> None:
    """Where the store keeps a checksum, bytes that do not fit it are never taken."""
    stored = s3_bucket.client.head_object(
        Bucket=s3_bucket.name, Key="in/scan.jpg", ChecksumMode="ENABLED"
    )
    assert stored.get("ChecksumSHA256"), "the server keeps no checksum; nothing is tested"
    store = source(s3_bucket, road)
    road.faults.append(Fault("GET", path="scan.jpg", corrupt=True, times=1))
    store.fetch("scan.jpg", tmp_path / "into")
    assert (tmp_path / "into").read_bytes() == SCAN
    road.faults.append(Fault("GET", path="scan.jpg", corrupt=True))
    with pytest.raises(FixityMismatch, match="restore"):
        store.fetch("scan.jpg", tmp_path / "into2")
    assert not (tmp_path / "into2").exists()


def test_what_was_put_is_digested_as_it_is_stored(
    s3_bucket: S3Bucket, road: BadRoad, make_file: MakeFile
) -> None:
    """Bytes that rot in the store are seen by the digest: it does not ask the store for it."""
    store = output(s3_bucket, road)
    file = make_file(b"derivative")
    store.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    s3_bucket.client.put_object(
        Bucket=s3_bucket.name, Key="out/a.jpg", Body=b"dErivative", Metadata={"sha256": file.sha256}
    )
    assert store.digest("a.jpg") != file.sha256


def test_s3_is_told_our_digest(s3_bucket: S3Bucket, road: BadRoad, make_file: MakeFile) -> None:
    """So that it can refuse what changed on the way, and others can check without us."""
    store = output(s3_bucket, road)
    file = make_file(b"derivative")
    store.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    head = s3_bucket.client.head_object(
        Bucket=s3_bucket.name, Key="out/a.jpg", ChecksumMode="ENABLED"
    )
    assert head["Metadata"] == {"sha256": file.sha256}
    assert head["ContentType"] == "image/jpeg"


def test_a_part_that_fails_is_put_again(
    s3_bucket: S3Bucket, road: BadRoad, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when the upload cannot be finished, nothing of it stays."""
    monkeypatch.setattr(s3_module, "PART_BYTES", 5 << 20)
    store = output(s3_bucket, road)
    file = make_file(os.urandom(11 << 20))
    road.faults.append(Fault("PUT", path="partNumber=2", status=503, code="SlowDown", times=1))
    store.put("a.tif", file.path, content_type="image/tiff", sha256=file.sha256)
    assert store.digest("a.tif") == file.sha256
    road.faults.append(Fault("PUT", path="partNumber=3", status=503, code="SlowDown"))
    with pytest.raises(StorageUnavailable):
        store.put("b.tif", file.path, content_type="image/tiff", sha256=file.sha256)
    assert store.stat("b.tif") is None
    assert not s3_bucket.client.list_multipart_uploads(Bucket=s3_bucket.name).get("Uploads")


def test_one_refused_scan_does_not_stop_the_run(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path
) -> None:
    """While the source as a whole can be read, it is that item's trouble."""
    store = source(s3_bucket, road)
    road.faults.append(Fault("GET", path="scan.jpg", status=403, code="AccessDenied"))
    with pytest.raises(ObjectRefused) as caught:
        store.fetch("scan.jpg", tmp_path / "into")
    assert reason_of(caught.value) is Reason.STORAGE_UNAVAILABLE
    say(caught.value)


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (400, "ExpiredToken"), (401, "Weird")],
)
def test_credentials_that_end_stop_the_run(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path, status: int, code: str
) -> None:
    """Nothing can be done for any item then: attempts are given back."""
    store = source(s3_bucket, road)
    road.faults.append(Fault("GET", status=status, code=code))
    with pytest.raises(AccessDenied) as caught:
        store.fetch("scan.jpg", tmp_path / "into")
    assert reason_of(caught.value) is Reason.ACCESS_DENIED
    say(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDenied", AccessDenied),
        (403, "SignatureDoesNotMatch", AccessDenied),
        (403, "RequestTimeTooSkewed", AccessDenied),
        (404, "NoSuchBucket", SourceNotFound),
        (301, "PermanentRedirect", UsageError),
        (503, "SlowDown", StorageUnavailable),
        (418, "a teapot\nsays " + SECRET, StorageUnavailable),
    ],
)
@pytest.mark.parametrize("writable", [False, True])
def test_opening_says_at_once_what_is_wrong(
    s3_bucket: S3Bucket,
    road: BadRoad,
    status: int,
    code: str,
    error: type[AutochromeError],
    writable: bool,
) -> None:
    """In one line, with a remedy."""
    road.faults += [Fault(method, status=status, code=code) for method in ("GET", "PUT")]
    with pytest.raises(error) as caught:
        (output if writable else source)(s3_bucket, road, s3_max_attempts=1)
    assert ";" in say(caught.value)


def test_least_privilege(s3_bucket: S3Bucket, road: BadRoad, make_file: MakeFile) -> None:
    """An output role may put and get: no list, no delete, and a missing object is a 403 then."""
    road.faults += [
        Fault("GET", path="list-type", status=403, code="AccessDenied"),
        Fault("DELETE", status=403, code="AccessDenied"),
        Fault("HEAD", path="a.jpg", status=403, times=1),
    ]
    store = output(s3_bucket, road)
    assert store.stat("a.jpg") is None
    file = make_file(b"derivative")
    store.put("a.jpg", file.path, content_type="image/jpeg", sha256=file.sha256)
    assert store.digest("a.jpg") == file.sha256
    assert store.stat("a.jpg") is not None
    assert road.count("DELETE") == 0


def test_a_source_role_lists_and_gets(s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path) -> None:
    """Nothing that writes, or asks for anything else, is ever sent to a source."""
    store = source(s3_bucket, road)
    (info,) = store.list_objects()
    store.fetch(info.key, tmp_path / "into", etag=info.etag)
    store.stat(info.key)
    assert {method for method, _ in road.requests} <= {"GET", "HEAD"}


def test_an_endpoint_that_is_not_there(s3_bucket: S3Bucket) -> None:
    """Is named, with the setting to look at."""
    with socket.socket() as closed:  # bound, not listening: refused at once
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(StorageUnavailable, match="AUTOCHROME_S3_ENDPOINT_URL") as caught:
            open_store(s3_bucket.url, settings=settings_for(endpoint, s3_max_attempts=1))
    assert endpoint in say(caught.value)


@pytest.mark.parametrize("endpoint", ["not a url", "127.0.0.1:9000", "http://"])
def test_an_endpoint_that_is_no_url(endpoint: str) -> None:
    """Is a mistake in the settings."""
    with pytest.raises(UsageError, match="AUTOCHROME_S3_ENDPOINT_URL"):
        open_store("s3://scans", settings=settings_for(endpoint))


def test_no_credentials(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Are missed before anything is sent."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    settings = settings_for(s3_endpoint, s3_access_key_id=None, s3_secret_access_key=None)
    with pytest.raises(AccessDenied, match="no credentials for S3; set AUTOCHROME_S3_ACCESS"):
        open_store("s3://scans", settings=settings)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UsageError, match="AWS_PROFILE"):
        open_store("s3://scans", settings=settings)


def test_half_of_the_credentials(s3_endpoint: str) -> None:
    """Is a mistake; the other half is not shown."""
    with pytest.raises(UsageError, match="only one of") as caught:
        open_store("s3://scans", settings=settings_for(s3_endpoint, s3_access_key_id=None))
    say(caught.value)


def test_an_empty_prefix_of_a_source_is_a_mistake(s3_bucket: S3Bucket) -> None:
    """A misspelt prefix must not look like an archive from which everything vanished."""
    with pytest.raises(SourceNotFound, match="nothing is stored under this prefix"):
        open_store(f"{s3_bucket.url}/typo", settings=s3_bucket.settings)
    open_store(f"{s3_bucket.url}/typo", settings=s3_bucket.settings, writable=True)


def test_folder_placeholders_are_no_scans(s3_bucket: S3Bucket) -> None:
    """Consoles make empty objects "name/"; they are not listed, other empty objects are."""
    for key, body in [("a/", b""), ("a/empty.jpg", b""), ("a/b/", b""), ("full/", b"x")]:
        s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=body)
    for prefix in ("", "/a"):
        store = open_store(f"{s3_bucket.url}{prefix}", settings=s3_bucket.settings)
        listed = [info.key for info in store.list_objects()]
        assert listed == (["a/empty.jpg", "full/"] if not prefix else ["empty.jpg"])


def test_hostile_keys_of_a_source_are_read_as_they_are(s3_bucket: S3Bucket, tmp_path: Path) -> None:
    """A bucket may hold them; they only must not be written so."""
    keys = ["a//b.jpg", "x/./y.jpg", "z" * 300 + ".jpg"]
    for key in keys:
        s3_bucket.client.put_object(Bucket=s3_bucket.name, Key=key, Body=key.encode())
    store = open_store(s3_bucket.url, settings=s3_bucket.settings)
    assert [info.key for info in store.list_objects()] == sorted(keys)
    for key in keys:
        store.fetch(key, tmp_path / "into")
        assert (tmp_path / "into").read_text() == key


def test_an_old_version_can_be_read(s3_bucket: S3Bucket, tmp_path: Path) -> None:
    """Where the bucket keeps versions, what was known is what is read."""
    s3_bucket.client.put_bucket_versioning(
        Bucket=s3_bucket.name, VersioningConfiguration={"Status": "Enabled"}
    )
    s3_bucket.client.put_object(Bucket=s3_bucket.name, Key="a.jpg", Body=b"first")
    store = open_store(s3_bucket.url, settings=s3_bucket.settings)
    first = store.stat("a.jpg")
    assert first is not None
    assert first.version
    s3_bucket.client.put_object(Bucket=s3_bucket.name, Key="a.jpg", Body=b"second")
    store.fetch("a.jpg", tmp_path / "into", version=first.version, etag=first.etag)
    assert (tmp_path / "into").read_bytes() == b"first"


def test_no_list_permission_hides_no_loss(
    s3_bucket: S3Bucket, road: BadRoad, tmp_path: Path
) -> None:
    """A derivative that is gone is an error to whoever wants its bytes, whatever S3 calls it."""
    store = output(s3_bucket, road)
    road.faults.append(Fault("GET", path="gone.jpg", status=403, code="AccessDenied"))
    with pytest.raises(ObjectRefused):
        store.digest("gone.jpg")
    road.faults.clear()
    with pytest.raises(ObjectMissing):
        store.fetch("gone.jpg", tmp_path / "into")
