"""A bucket, or a prefix in one, as an object store: AWS or any server that speaks S3."""

import base64
import contextlib
import hashlib
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from tasks.errors import AccessDenied, FixityMismatch, SourceNotFound
from tasks.settings import Settings
from tasks.storage.keys import (
    RESERVED,
    WORK,
    is_storable,
    key_from_name,
    name_from_key,
    safe_key,
    shown,
)
from tasks.storage.location import BucketLocation
from tasks.storage.objects import (
    ChangedSinceListing,
    ObjectInfo,
    ObjectMissing,
    ObjectRefused,
    Watch,
)
from tasks.storage.s3_client import make_client
from tasks.storage.s3_errors import (
    BrokenBody,
    Forbidden,
    naming_body_errors,
    naming_s3_errors,
    status_of,
)
from tasks.storage.s3_listing import (
    condition_for,
    etag_of,
    is_archived,
    is_same,
    list_entries,
    modified_at,
)
from tasks.storage.streams import CHUNK_BYTES, check_digest, file_chunks, sha256_of, write_file

if TYPE_CHECKING:  # stubs alone, not installed in production
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        GetObjectOutputTypeDef,
        ListObjectsV2OutputTypeDef,
    )

T = TypeVar("T")

PART_BYTES = 64 << 20
_LINK_LIFE_S = 3 * 24 * 3600  # Friday night's report is read on Monday
_WAIT_CAP_S = 20.0
_MARKER = b"Autochrome writes here. The colours of its pictures are a machine's guess.\n"


class S3Store:
    """Objects are those whose key begins with the location's prefix; keys are what follows it.

    Reading needs `s3:ListBucket` and `s3:GetObject`; writing needs `s3:PutObject` and
    `s3:GetObject`, and neither to list nor to delete. Consoles' placeholders for folders (empty,
    "name/") are not objects here.
    """

    def __init__(
        self, location: BucketLocation, *, settings: Settings, writable: bool = False
    ) -> None:
        self.url = location.url
        self._bucket = location.bucket
        self._prefix = location.prefix
        self._writable = writable
        self._attempts = settings.s3_max_attempts
        self._endpoint = settings.s3_endpoint_url or "AWS"
        self._asked: Mapping[str, Any] = {"OptionalObjectAttributes": ["RestoreStatus"]}
        with self._naming_errors(self.url):
            self._client = make_client(settings)
        if writable:
            self._check_writable()
        else:
            self._check_readable()

    def list_objects(self, prefix: str = "", *, watch: Watch | None = None) -> Iterator[ObjectInfo]:
        """Yield all objects, page by page, in the order of the bucket: by key, as UTF-8."""
        entries = list_entries(
            self._client,
            bucket=self._bucket,
            prefix=self._prefix + _bucket_key(prefix),
            asked=self._asked,
            named=self.url,
        )
        with self._naming_errors(self.url):
            for entry in entries:
                key = key_from_name(entry["Key"].removeprefix(self._prefix).encode())
                if not key or (entry["Size"] == 0 and key.endswith("/")):
                    continue
                if RESERVED in key.split("/") or (watch and watch.leaves_out(key)):
                    continue
                yield ObjectInfo(
                    key=key,
                    size_bytes=entry["Size"],
                    etag=etag_of(entry, size_bytes=entry["Size"]),
                    modified_at=modified_at(entry),
                    is_archived=is_archived(entry),
                )

    def stat(self, key: str) -> ObjectInfo | None:
        """Tell about one object; None where there is none."""
        try:
            with self._naming_errors(self._named(key)):
                head = self._client.head_object(Bucket=self._bucket, Key=self._address(key))
        except ObjectMissing:
            return None
        except Forbidden:
            # Without leave to list, which an output needs not have, S3 answers 403 for "not there".
            if self._writable:
                return None
            raise
        return ObjectInfo(
            key=key,
            size_bytes=head["ContentLength"],
            etag=etag_of(head, size_bytes=head["ContentLength"]),
            modified_at=modified_at(head),
            version=head.get("VersionId"),
        )

    def fetch(
        self, key: str, into: Path, *, version: str | None = None, etag: str | None = None
    ) -> str:
        """Stream the object to *into* and return its sha256; a broken stream is asked for again."""
        wanted = {} if version is None else {"VersionId": version}
        return self._take(key, lambda chunks: write_file(into, chunks), wanted, etag)

    def put(self, key: str, path: Path, *, content_type: str, sha256: str) -> None:
        """Store the file *path*; S3 checks the sha256 on arrival where it can, and keeps it."""
        if not self._writable:
            raise AccessDenied(
                f"{self._named(key)}: nothing is written, the store was opened for reading"
            )
        check_digest(sha256_of(file_chunks(path)), sha256, path)
        with self._naming_errors(self._named(key)):
            if path.stat().st_size > PART_BYTES:
                self._put_parts(key, path, content_type=content_type, sha256=sha256)
                return
            with path.open("rb") as file:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._address(key),
                    Body=file,
                    ContentType=content_type,
                    ChecksumSHA256=_base64(bytes.fromhex(sha256)),
                    Metadata={"sha256": sha256},
                )

    def discard(self, folder: str) -> None:
        """Nothing: the bucket's lifecycle does it."""
        if not folder.startswith(f"{WORK}/"):
            raise ValueError(f"{folder} is not to be removed")

    def digest(self, key: str) -> str:
        """Read the object back and return its sha256."""
        return self._take(key, sha256_of, {})

    def read(self, key: str) -> bytes:
        """Return the object's content."""
        return self._take(key, b"".join, {})

    def probe(self, key: str) -> None:
        """Read the object's first byte."""
        self._take(key, b"".join, {"Range": "bytes=0-0"})

    def check(self) -> None:
        """Ask as when it was opened."""
        if self._writable:
            self._check_writable()
        else:
            self._check_readable()

    def stream(self, key: str, part: range, *, etag: str) -> Iterator[bytes]:
        """Yield the bytes of *part* as they come; one that breaks off is not asked for again."""
        # Of nothing, S3 knows no range.
        wanted = {"Range": f"bytes={part.start}-{part.stop - 1}"} if part else {}
        return self._chunks(key, wanted, etag)

    def may_delete(self) -> bool:
        """Whether objects could be deleted for good: asked by deleting one that never was."""
        with contextlib.suppress(ClientError):  # who may not ask is told nothing of versions
            versions = self._client.get_bucket_versioning(Bucket=self._bucket)
            if versions.get("Status") == "Enabled":
                return False
        try:
            self._client.delete_object(
                Bucket=self._bucket, Key=f"{self._prefix}{RESERVED}-{secrets.token_hex(8)}"
            )
        except ClientError:
            return False
        return True

    def link(self, key: str) -> str:
        """Return a signed address that anyone can open for three days."""
        with self._naming_errors(self._named(key)):
            return self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": self._address(key)},
                ExpiresIn=_LINK_LIFE_S,
            )

    def _naming_errors(self, what: str) -> AbstractContextManager[None]:
        return naming_s3_errors(what, endpoint=self._endpoint)

    def _named(self, key: str) -> str:
        return f"{self.url}/{shown(key)}"

    def _address(self, key: str) -> str:
        """Return the bucket's key for *key*: as it is in what we read, safe in what we write."""
        if self._writable and not is_storable(key):
            key = safe_key(key)
        return self._prefix + _bucket_key(key)

    def _take(
        self,
        key: str,
        use: Callable[[Iterator[bytes]], T],
        wanted: Mapping[str, Any],
        etag: str | None = None,
    ) -> T:
        """Give the object's bytes to *use*; anew, after a wait with jitter, if they break off."""
        attempt = 1
        while True:
            try:
                return use(self._chunks(key, wanted, etag))
            except (BrokenBody, FixityMismatch):
                if attempt >= self._attempts:
                    raise
            except Forbidden as error:
                if not self._writable:
                    self._check_readable()  # raises if it is not this object alone
                raise ObjectRefused(str(error)) from error
            time.sleep(random.uniform(0, min(_WAIT_CAP_S, 2.0**attempt)))  # noqa: S311 - jitter
            attempt += 1

    def _chunks(self, key: str, wanted: Mapping[str, Any], etag: str | None) -> Iterator[bytes]:
        what = self._named(key)
        answer = self._get(key, wanted, etag)
        # Asked again here: not every server knows the condition, and not every ETag can be one.
        size_bytes = _whole_size_of(answer)
        if etag is not None and not is_same(etag, answer, size_bytes=size_bytes):
            answer["Body"].close()
            raise ChangedSinceListing(
                f"{what}: changed since it was listed; the next discovery gives it a new revision"
            )
        with naming_body_errors(what), contextlib.closing(answer["Body"]) as body:
            yield from body.iter_chunks(CHUNK_BYTES)

    def _get(
        self, key: str, wanted: Mapping[str, Any], etag: str | None
    ) -> "GetObjectOutputTypeDef":
        request = {"Bucket": self._bucket, "Key": self._address(key), **wanted}
        condition = None if etag is None else condition_for(etag)
        with self._naming_errors(self._named(key)):
            if condition is None:
                return self._client.get_object(**request)
            try:
                return self._client.get_object(**request, IfMatch=condition)
            except ClientError as error:
                # A proxy that makes ETags weak on their way refuses them on the way back.
                if status_of(error) != "412" or not self._is_still(key, etag):
                    raise
            return self._client.get_object(**request)

    def _is_still(self, key: str, etag: str | None) -> bool:
        """Whether the object has *etag*, as far as a head tells."""
        known = self.stat(key)
        return known is not None and known.etag == f"W/{etag}"

    def _put_parts(self, key: str, path: Path, *, content_type: str, sha256: str) -> None:
        """Store a large file in parts, each with its own sha256; nothing shows before the last."""
        address = self._address(key)
        upload = self._client.create_multipart_upload(
            Bucket=self._bucket,
            Key=address,
            ContentType=content_type,
            ChecksumAlgorithm="SHA256",
            Metadata={"sha256": sha256},
        )["UploadId"]
        parts: list[CompletedPartTypeDef] = []
        try:
            with path.open("rb") as file:
                while body := file.read(PART_BYTES):
                    parts.append(self._put_part(address, upload, len(parts) + 1, body))
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=address, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            # Where this is not allowed, the bucket's lifecycle rule removes unfinished uploads.
            with contextlib.suppress(Exception):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=address, UploadId=upload
                )
            raise

    def _put_part(
        self, address: str, upload: str, number: int, body: bytes
    ) -> "CompletedPartTypeDef":
        checksum = _base64(hashlib.sha256(body).digest())
        part = self._client.upload_part(
            Bucket=self._bucket,
            Key=address,
            UploadId=upload,
            PartNumber=number,
            Body=body,
            ChecksumSHA256=checksum,
        )
        return {"ETag": part["ETag"], "PartNumber": number, "ChecksumSHA256": checksum}

    def _check_readable(self) -> None:
        with self._naming_errors(self.url):
            page = self._first_page()
        if self._prefix and not page.get("Contents"):
            raise SourceNotFound(
                f"{self.url}: nothing is stored under this prefix; check the spelling"
            )

    def _first_page(self) -> "ListObjectsV2OutputTypeDef":
        """List one object, and learn whether the server can tell what is being restored."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix, "MaxKeys": 1}
        try:
            return self._client.list_objects_v2(**request, **self._asked)
        except ClientError as error:
            if status_of(error) not in {"400", "501"} or not self._asked:
                raise
            page = self._client.list_objects_v2(**request)
            self._asked = {}
            return page

    def _check_writable(self) -> None:
        """Put and get a small object that no listing shows: S3 has no other way to ask."""
        address = self._prefix + RESERVED
        with self._naming_errors(self.url):
            self._client.put_object(
                Bucket=self._bucket, Key=address, Body=_MARKER, ContentType="text/plain"
            )
            self._client.head_object(Bucket=self._bucket, Key=address)


def _bucket_key(key: str) -> str:
    """Return the text of a bucket's key: the inverse of `key_from_name` where that is UTF-8."""
    try:
        return name_from_key(key).decode()
    except UnicodeDecodeError:
        return key  # a derivative of a file whose name is not UTF-8


def _whole_size_of(answer: "GetObjectOutputTypeDef") -> int:
    """The object's length, also where a part of it was asked for ("bytes 0-9/4711")."""
    total = answer.get("ContentRange", "").rpartition("/")[2]
    return int(total) if total.isdecimal() else answer["ContentLength"]


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
