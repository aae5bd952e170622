"""What botocore's errors mean here.

Decided by code and status, never by a message; and no message is repeated, so no secret in one is.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import urllib3.exceptions
from botocore import exceptions as boto

from tasks.errors import (
    AccessDenied,
    AutochromeError,
    FixityMismatch,
    OutputFull,
    SourceNotFound,
    StorageUnavailable,
    UsageError,
)
from tasks.storage.objects import ChangedSinceListing, ObjectArchived, ObjectMissing

_SET_CREDENTIALS = (
    "set AUTOCHROME_S3_ACCESS_KEY_ID and AUTOCHROME_S3_SECRET_ACCESS_KEY, or an AWS profile or role"
)


class BrokenBody(StorageUnavailable):
    """An object's bytes stopped before its end. Asking again at once is worth it."""


class Forbidden(AccessDenied):
    """S3 knows who asks, and refuses this: the object alone, or all of it."""


@dataclass(frozen=True)
class _Meaning:
    kind: type[AutochromeError]
    what: str
    remedy: str


_BAD_CREDENTIALS = _Meaning(AccessDenied, "the credentials are refused", _SET_CREDENTIALS)
_FULL = _Meaning(OutputFull, "no more is taken", "free some space or raise the quota")
_ELSEWHERE = _Meaning(
    UsageError, "the bucket is in another region", "set AUTOCHROME_S3_REGION to it"
)
_NOT_NOW = _Meaning(StorageUnavailable, "not now", "it is tried again")

# By code, and where none of these is given, by status.
_MEANINGS = {
    "AccountProblem": _BAD_CREDENTIALS,
    "AllAccessDisabled": _BAD_CREDENTIALS,
    "ExpiredToken": _BAD_CREDENTIALS,
    "InvalidAccessKeyId": _BAD_CREDENTIALS,
    "InvalidSecurity": _BAD_CREDENTIALS,
    "InvalidToken": _BAD_CREDENTIALS,
    "NotSignedUp": _BAD_CREDENTIALS,
    "SignatureDoesNotMatch": _BAD_CREDENTIALS,
    "TokenRefreshRequired": _BAD_CREDENTIALS,
    "401": _BAD_CREDENTIALS,
    "InsufficientStorage": _FULL,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "507": _FULL,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "PermanentRedirect": _ELSEWHERE,
    "301": _ELSEWHERE,
    "RequestTimeTooSkewed": _Meaning(
        AccessDenied, "this machine's clock is wrong", "set the clock, and keep it set"
    ),
    "NoSuchBucket": _Meaning(
        SourceNotFound, "no such bucket", "check the spelling, or create the bucket"
    ),
    "InvalidObjectState": _Meaning(
        ObjectArchived, "the object is in an archive class", "restore it in the bucket"
    ),
    "403": _Meaning(
        Forbidden,
        "access is refused",
        "a source needs s3:ListBucket and s3:GetObject, an output s3:PutObject and s3:GetObject",
    ),
    "404": _Meaning(ObjectMissing, "not there", "the next discovery will tell if it is gone"),
    "412": _Meaning(
        ChangedSinceListing,
        "changed since it was listed",
        "the next discovery gives it a new revision",
    ),
}

_NO_CREDENTIALS = (
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.SSOError,
    boto.TokenRetrievalError,
)
_MISCONFIGURED = (boto.ConfigParseError, boto.InvalidRegionError, boto.ProfileNotFound)
_NOT_REACHED = (
    boto.ConnectTimeoutError,
    boto.EndpointConnectionError,
    boto.ProxyConnectionError,
    boto.SSLError,
)


@contextlib.contextmanager
def naming_s3_errors(what: str, *, endpoint: str) -> Iterator[None]:
    """Turn an error of botocore inside into the named error for *what*, an address."""
    try:
        yield
    except boto.ClientError as error:
        raise _named_answer(error, what) from error
    except boto.BotoCoreError as error:
        raise _named_failure(error, what, endpoint) from error


@contextlib.contextmanager
def naming_body_errors(what: str) -> Iterator[None]:
    """Turn an error inside, while an object's bytes come in, into the named error for *what*."""
    try:
        yield
    except boto.FlexibleChecksumError as error:
        raise FixityMismatch(
            f"{what}: the bytes do not fit the store's own checksum; restore the object from a copy"
        ) from error
    except (boto.BotoCoreError, urllib3.exceptions.HTTPError) as error:
        kind = type(error).__name__
        raise BrokenBody(
            f"{what}: the bytes stopped before the end ({kind}); it is tried again"
        ) from error


def status_of(error: boto.ClientError) -> str:
    """The HTTP status that the server answered with; "" where it is not known."""
    return str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def _named_failure(error: boto.BotoCoreError, what: str, endpoint: str) -> AutochromeError:
    """Name what went wrong without an answer of the server."""
    kind = type(error).__name__
    if isinstance(error, _NO_CREDENTIALS):
        return AccessDenied(f"{what}: no credentials for S3; {_SET_CREDENTIALS}")
    if isinstance(error, _MISCONFIGURED):
        return UsageError(f"{what}: wrong AWS settings ({kind}); check AWS_PROFILE and the region")
    if isinstance(error, _NOT_REACHED):
        return StorageUnavailable(
            f"{what}: {endpoint} cannot be reached ({kind}); check AUTOCHROME_S3_ENDPOINT_URL, "
            "the network, and that the server runs"
        )
    return StorageUnavailable(f"{what}: the connection failed ({kind}); it is tried again")


def _named_answer(error: boto.ClientError, what: str) -> AutochromeError:
    """Name what the server answered."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = status_of(error)
    meaning = _MEANINGS.get(code) or _MEANINGS.get(status) or _NOT_NOW
    # A code is one plain word; anything else that a server sends is not repeated.
    word = f" {code}" if re.fullmatch(r"[A-Za-z0-9.]{1,64}", code) and code != status else ""
    return meaning.kind(f"{what}: {meaning.what} (S3 answered {status}{word}); {meaning.remedy}")
