"""What a bucket's listing tells, and whether it told all."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tasks.storage.objects import ListingIncomplete

if TYPE_CHECKING:  # stubs alone, not installed in production
    from mypy_boto3_s3 import S3Client

_EPOCH = datetime.fromtimestamp(0, UTC)
_MADE_HERE = "modified-"
#: Read only after hours of restoring. Other classes answer at once, or say no to a GET alone:
#: that a listing does not tell of Intelligent-Tiering's archive tiers.
_ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


def list_entries(
    client: "S3Client", *, bucket: str, prefix: str, asked: Mapping[str, Any], named: str
) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of all pages; *asked* goes along with every request.

    Raises:
        ListingIncomplete: The server says that there is more and does not give it, or gives what it
            gave before. `boto3`'s own paginator takes the first for the end.
    """
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, **asked}
    begun: set[str] = set()  # first keys of pages: one in a thousand
    while True:
        page = client.list_objects_v2(**request)
        entries = page.get("Contents", [])
        if entries and entries[0]["Key"] in begun:
            raise ListingIncomplete(
                f"{named}: the listing gives the same page again and never ends; "
                "look at the server, or at the proxy before it"
            )
        begun.update(entry["Key"] for entry in entries[:1])
        yield from entries
        if not page.get("IsTruncated"):
            return
        if not page.get("NextContinuationToken"):
            raise ListingIncomplete(
                f"{named}: the listing breaks off after a page, though the server says that there "
                "is more; look at the server, or at the proxy before it"
            )
        request["ContinuationToken"] = page["NextContinuationToken"]


def is_archived(entry: Mapping[str, Any]) -> bool:
    """Whether an entry's bytes lie in an archive class, and no restored copy can be read now."""
    if entry.get("StorageClass") not in _ARCHIVE_CLASSES:
        return False
    restored = entry.get("RestoreStatus") or {}
    return bool(restored.get("IsRestoreInProgress")) or not restored.get("RestoreExpiryDate")


def modified_at(facts: Mapping[str, Any]) -> datetime:
    """When the object was last changed; proxies may keep it to themselves."""
    told = facts.get("LastModified")
    return told if isinstance(told, datetime) else _EPOCH


def etag_of(facts: Mapping[str, Any], *, size_bytes: int) -> str:
    """The ETag of an entry or answer, without its quotes; "W/" stays before a weak one.

    Where a proxy took it away, time and size stand for it: they change when the content does.
    """
    told = str(facts.get("ETag") or "").strip()
    opaque = _opaque(told)
    if not opaque:
        return f"{_MADE_HERE}{modified_at(facts).timestamp():.0f}-{size_bytes:x}"
    return f"W/{opaque}" if told.startswith("W/") else opaque


def condition_for(etag: str) -> str | None:
    """The If-Match for *etag*: none for a weak one, which never matches, nor for one of ours."""
    return None if etag.startswith(("W/", _MADE_HERE)) else f'"{etag}"'


def is_same(etag: str, answer: Mapping[str, Any], *, size_bytes: int) -> bool:
    """Whether *answer* may be the object that was listed with *etag*.

    A proxy that compresses makes an ETag weak, and another takes it away: neither changes bytes.
    """
    if etag.startswith(_MADE_HERE):
        return etag == etag_of({**answer, "ETag": ""}, size_bytes=size_bytes)
    told = _opaque(str(answer.get("ETag") or ""))
    return not told or told == _opaque(etag)


def _opaque(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"')
