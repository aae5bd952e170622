"""The two policies are enough for a night, and every action in them is needed.

The S3 endpoint enforces them: it checks each request's signature and its user's policies.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from flows.cli.running import run_here
from flows.terminal import ExitCode
from tasks.errors import AccessDenied, Reason
from tasks.ledger import ItemStatus
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings
from tasks.storage import ObjectRefused, open_store
from tasks.storage import s3 as s3_module
from tests.s3server import make_test_client, settings_for
from tests.workers import MakeSettings, items_of

pytestmark = pytest.mark.slow

S3 = Path(__file__).parents[2] / "deploy" / "s3"
SCANS, COLOUR = "autochrome-scans", "autochrome-colour"


def policy(name: str) -> dict[str, Any]:
    """A file of deploy/s3."""
    document: dict[str, Any] = json.loads((S3 / f"{name}.json").read_text())
    return document


def without(document: dict[str, Any], action: str) -> dict[str, Any]:
    """The policy, less one action."""
    statements = []
    for statement in document["Statement"]:
        actions = statement["Action"]
        left = [
            one for one in ([actions] if isinstance(actions, str) else actions) if one != action
        ]
        if left:
            statements.append(statement | {"Action": left})
    assert statements != document["Statement"]
    return document | {"Statement": statements}


@dataclass(frozen=True)
class Cloud:
    """An endpoint with the two buckets, administered without being asked for anything."""

    endpoint: str

    @property
    def s3(self) -> Any:  # noqa: ANN401 - boto3 makes its clients as it runs
        """The administrator's client."""
        return make_test_client(self.endpoint)

    def user(self, *documents: dict[str, Any]) -> dict[str, str]:
        """A new user with these policies and no other: settings with its credentials."""
        iam = boto3.client(
            "iam",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="administrator",
            aws_secret_access_key="administrator",
        )
        name = f"worker-{len(iam.list_users()['Users'])}"
        iam.create_user(UserName=name)
        for number, document in enumerate(documents):
            # Refused where it is no policy.
            iam.put_user_policy(
                UserName=name, PolicyName=str(number), PolicyDocument=json.dumps(document)
            )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "s3_access_key_id": key["AccessKeyId"],
            "s3_secret_access_key": key["SecretAccessKey"],
        }

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        """Every request is checked, inside."""
        before = self._free_requests("0")
        try:
            yield
        finally:
            self._free_requests(before)

    def _free_requests(self, count: str) -> str:
        request = Request(  # noqa: S310 - on loopback
            f"{self.endpoint}/moto-api/reset-auth",
            data=count.encode(),
            headers={"Content-Type": "text/plain"},
        )
        with urlopen(request) as answer:  # noqa: S310 - on loopback
            return str(json.load(answer)["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"])


@pytest.fixture
def cloud(archive: Path) -> Iterator[Cloud]:
    """The endpoint, with the archive's scans in their bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    cloud = Cloud(f"http://{host}:{port}")
    for bucket in (SCANS, COLOUR):
        cloud.s3.create_bucket(Bucket=bucket)
    for path in archive.rglob("*.*"):
        cloud.s3.put_object(
            Bucket=SCANS, Key=str(path.relative_to(archive)), Body=path.read_bytes()
        )
    yield cloud
    for bucket in (SCANS, COLOUR):
        for version in cloud.s3.list_object_versions(Bucket=bucket).get("Versions", []):
            cloud.s3.delete_object(
                Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"]
            )
        cloud.s3.delete_bucket(Bucket=bucket)
    server.stop()


SettingsOf = Callable[..., Settings]


@pytest.fixture
def settings_of(cloud: Cloud, make_settings: MakeSettings) -> SettingsOf:
    """Settings of a night from bucket to bucket, as a user with the given policies."""

    def make(*documents: dict[str, Any]) -> Settings:
        stores = settings_for(cloud.endpoint, **cloud.user(*documents))
        names = [name for name in Settings.model_fields if name.startswith("s3_")]
        return make_settings(
            sources=(f"s3://{SCANS}",),
            output=f"s3://{COLOUR}",
            max_attempts=1,
            **{name: getattr(stores, name) for name in names},
        )

    return make


def test_a_night_needs_no_more_than_the_two_policies(
    cloud: Cloud, settings_of: SettingsOf, tmp_path: Path
) -> None:
    """Discover, colourize, store, verify, report."""
    settings = settings_of(policy("source-policy"), policy("output-policy"))
    with cloud.enforcing():
        assert run_here(settings, as_json=False) is ExitCode.CLEAN
        assert settings.s3_access_key_id is not None
        assert settings.s3_secret_access_key is not None
        worker = boto3.client(
            "s3",
            endpoint_url=cloud.endpoint,
            region_name="us-east-1",
            aws_access_key_id=settings.s3_access_key_id.get_secret_value(),
            aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        )
        for refused in (
            lambda: worker.delete_object(Bucket=COLOUR, Key=".autochrome"),
            lambda: worker.delete_object(Bucket=SCANS, Key="0.jpg"),
            lambda: worker.put_object(Bucket=SCANS, Key="0.jpg", Body=b""),
            lambda: worker.list_objects_v2(Bucket=COLOUR),
        ):
            with pytest.raises(ClientError, match="AccessDenied"):
                refused()
    with open_ledger(settings) as ledger:
        assert dict(ledger.counts().items) == {ItemStatus.REVIEW: 6}


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("source-policy", "s3:ListBucket"),
        ("output-policy", "s3:PutObject"),
        ("output-policy", "s3:GetObject"),
    ],
)
def test_a_night_without_one_of_the_actions_says_which_are_needed(
    cloud: Cloud, settings_of: SettingsOf, name: str, action: str
) -> None:
    """At once, in one line, before anything is done."""
    other = {"source-policy": "output-policy", "output-policy": "source-policy"}[name]
    settings = settings_of(without(policy(name), action), policy(other))
    with cloud.enforcing(), pytest.raises(AccessDenied, match=action) as refusal:
        run_here(settings, as_json=False)
    assert "\n" not in str(refusal.value)


def test_scans_none_of_which_may_be_got_wait_for_their_source(
    cloud: Cloud, settings_of: SettingsOf
) -> None:
    """It can be listed, not read: no scan is at fault, the run ends and says what is missing."""
    source = without(policy("source-policy"), "s3:GetObject")
    settings = settings_of(source, policy("output-policy"))
    with cloud.enforcing():
        assert run_here(settings, as_json=False) is ExitCode.FINISHED_WITH_FAULTS
    with open_ledger(settings) as ledger:
        items = items_of(ledger).values()
        assert {(item.status, item.attempts) for item in items} == {(ItemStatus.PENDING, 0)}
        assert "s3:GetObject" in ledger.list_outages()[0].why
        for item in items:
            attempt = ledger.get_story(item.uri).items[0].attempts[-1]
            assert attempt.reason is Reason.SOURCE_AWAY
            assert "s3:GetObject" in attempt.detail


def test_getting_a_version_has_an_action_of_its_own(
    cloud: Cloud, settings_of: SettingsOf, tmp_path: Path
) -> None:
    """Where the ledger knows the version of a scan, that one is read."""
    cloud.s3.put_bucket_versioning(Bucket=SCANS, VersioningConfiguration={"Status": "Enabled"})
    version = cloud.s3.put_object(Bucket=SCANS, Key="0.jpg", Body=b"old")["VersionId"]
    cloud.s3.put_object(Bucket=SCANS, Key="0.jpg", Body=b"new")
    source = policy("source-policy")
    allowed, refused = settings_of(source), settings_of(without(source, "s3:GetObjectVersion"))
    with cloud.enforcing():
        open_store(f"s3://{SCANS}", settings=allowed).fetch(
            "0.jpg", tmp_path / "old.jpg", version=version
        )
        with pytest.raises(ObjectRefused):
            open_store(f"s3://{SCANS}", settings=refused).fetch(
                "0.jpg", tmp_path / "no.jpg", version=version
            )
    assert (tmp_path / "old.jpg").read_bytes() == b"old"


def test_large_derivatives_are_put_in_parts_under_the_same_policy(
    cloud: Cloud, settings_of: SettingsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 has no action of its own for parts."""
    monkeypatch.setattr(s3_module, "PART_BYTES", 5 << 20)
    large = tmp_path / "large"
    large.write_bytes(bytes(6 << 20))
    digest = s3_module.sha256_of(iter([large.read_bytes()]))
    settings = settings_of(policy("output-policy"))
    with cloud.enforcing():
        store = open_store(f"s3://{COLOUR}", settings=settings, writable=True)
        store.put("large.tif", large, content_type="image/tiff", sha256=digest)
        assert store.digest("large.tif") == digest


def test_the_buckets_own_rules_are_taken_by_s3(cloud: Cloud) -> None:
    """Without TLS all is denied, to everyone; unfinished uploads are cleared away."""
    tls = policy("tls-only-bucket-policy")
    cloud.s3.put_bucket_policy(Bucket=COLOUR, Policy=json.dumps(tls))
    (statement,) = tls["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "s3:*",
    )
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [f"arn:aws:s3:::{COLOUR}", f"arn:aws:s3:::{COLOUR}/*"]
    cloud.s3.delete_bucket_policy(Bucket=COLOUR)
    cloud.s3.put_bucket_lifecycle_configuration(
        Bucket=COLOUR, LifecycleConfiguration=policy("output-lifecycle")
    )
    rules = cloud.s3.get_bucket_lifecycle_configuration(Bucket=COLOUR)["Rules"]
    uploads, segments, marks = rules
    assert uploads["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
    # With versions, what expires is hidden first, and its bytes go as a version that is past.
    assert segments["Expiration"] == {"Days": 14}
    assert segments["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert marks["Expiration"] == {"ExpiredObjectDeleteMarker": True}
    assert {rule["Filter"]["Prefix"] for rule in (segments, marks)} == {"work/"}
    cloud.s3.put_bucket_lifecycle_configuration(
        Bucket=COLOUR, LifecycleConfiguration=policy("minio-lifecycle")
    )
    assert cloud.s3.get_bucket_lifecycle_configuration(Bucket=COLOUR)["Rules"] == [segments]
