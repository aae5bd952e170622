"""One S3 client a store: timeouts, attempts, addressing and credentials from the settings."""

import functools
from typing import TYPE_CHECKING, Any

import boto3
import botocore
import botocore.session
from botocore.config import Config
from botocore.loaders import Loader, create_loader
from botocore.model import OperationModel

from tasks.errors import UsageError
from tasks.settings import Settings

if TYPE_CHECKING:  # stubs alone, not installed in production
    from mypy_boto3_s3 import S3Client

_CONNECT_TIMEOUT_S = 10.0
_CONNECTIONS = 64


def make_client(settings: Settings) -> "S3Client":
    """Return a client that any number of threads may use.

    Raises:
        UsageError: The endpoint is no URL, or only half of the credentials are set.
    """
    key_id, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    if (key_id is None) != (secret is None):
        raise UsageError(
            "only one of AUTOCHROME_S3_ACCESS_KEY_ID and AUTOCHROME_S3_SECRET_ACCESS_KEY is set; "
            "set both, or neither to use AWS's own profiles and roles"
        )
    endpoint = settings.s3_endpoint_url
    if endpoint and "@" in endpoint:  # not repeated: what stands before it is a secret
        raise UsageError(
            "AUTOCHROME_S3_ENDPOINT_URL: credentials do not belong into it; set "
            "AUTOCHROME_S3_ACCESS_KEY_ID and AUTOCHROME_S3_SECRET_ACCESS_KEY"
        )
    core = botocore.session.get_session()
    core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
    session = boto3.Session(
        botocore_session=core,
        aws_access_key_id=key_id.get_secret_value() if key_id else None,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
    )
    # Other implementations ask for a region to sign with, and rarely care which.
    region = settings.s3_region or session.region_name or ("us-east-1" if endpoint else None)
    try:
        client = session.client(
            "s3", endpoint_url=endpoint, region_name=region, config=_config(settings)
        )
    except ValueError as error:
        raise UsageError(
            "AUTOCHROME_S3_ENDPOINT_URL is no URL of a server; write https://host:port"
        ) from error
    if settings.s3_requester_pays:
        client.meta.events.register("provide-client-params.s3", _pay)  # type: ignore[arg-type]  # the stubs forget what handlers may return
    return client


@functools.cache
def _loader(data_path: str | None) -> Loader:
    """What reads AWS's descriptions of its services; reading them is most of a client's making.

    They are never written to. Credentials, profile and region are read anew for each client.
    """
    return create_loader(data_path)


def _pay(params: dict[str, Any], model: OperationModel, **_: object) -> dict[str, Any]:
    """Say in every request that can say so that whoever asks pays, not the bucket's owner."""
    if model.input_shape is None or "RequestPayer" not in model.input_shape.members:
        return params
    return {"RequestPayer": "requester", **params}


def _config(settings: Settings) -> Config:
    return Config(
        # "standard" waits between attempts, longer each time, with full jitter, 20 s at most.
        retries={"mode": "standard", "total_max_attempts": settings.s3_max_attempts},
        connect_timeout=min(_CONNECT_TIMEOUT_S, settings.s3_timeout_s),
        read_timeout=settings.s3_timeout_s,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        # botocore would put its own together twice for each request, a tenth of its time.
        user_agent=f"Autochrome (botocore/{botocore.__version__})",
        parameter_validation=False,  # what we ask is typed; another twentieth
        signature_version="s3v4",
        # Buckets as host names need DNS, which only AWS can be counted on to have.
        s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
        # We send sha256 ourselves; botocore's own trailing CRC32 is refused by older servers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_supported",
    )
