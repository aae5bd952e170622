"""The settings: read once, at the edge, from `AUTOCHROME_…` variables and `autochrome.toml`."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from tasks.errors import UsageError
from tasks.paths import absolute_path

#: What a greyscale JPEG becomes: see `tasks.derivatives.OutputPolicy`.
GreyJpegPolicy = Literal["splice", "interleaved", "lossless"]

#: What a share's batches are submitted to: see `flows.fanout`.
TaskRunnerName = Literal["threads", "dask", "ray"]


class Settings(BaseSettings):
    """Everything that differs between a laptop and a cluster, and nothing else."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOCHROME_",
        env_ignore_empty=True,
        toml_file="autochrome.toml",
        frozen=True,
        extra="forbid",
    )

    database_url: SecretStr = SecretStr("sqlite:///autochrome.db")
    sources: Annotated[tuple[str, ...], NoDecode] = ()
    include: Annotated[tuple[str, ...], NoDecode] = ()
    exclude: Annotated[tuple[str, ...], NoDecode] = ()
    missing_limit: float = Field(default=0.2, ge=0.0, le=1.0)
    output: str = "var/colour"
    collection: str = ""

    checkpoint: Path | None = None
    device: str = "auto"
    minibatch: int = Field(default=16, ge=1, le=1024)
    threads: int = Field(default=0, ge=0)

    batch_items: int = Field(default=64, ge=1, le=256)
    lease_s: float = Field(default=300.0, ge=3.0)
    max_attempts: int = Field(default=3, ge=1, le=20)
    retry_base_s: float = Field(default=30.0, ge=0.0)
    item_timeout_s: float = Field(default=600.0, gt=0.0)
    failure_budget: float = Field(default=0.10, gt=0.0, le=1.0)
    deadline_hours: float = Field(default=8.0, gt=0.0)
    audit_older_than_days: float = Field(default=30.0, ge=0.0)
    audit_mb_per_s: float = Field(default=0.0, ge=0.0)

    order_workers: int = Field(default=0, ge=0, le=200)
    share_minutes: float = Field(default=20.0, gt=0.0)
    task_runner: TaskRunnerName = "threads"
    task_runner_address: str = ""
    batches_in_flight: int = Field(default=0, ge=0, le=1024)

    pixel_memory_mb: int = Field(default=4096, ge=512)
    max_pixels: int = Field(default=1_200_000_000, ge=1)
    max_buffer_mb: int = Field(default=2048, ge=16)
    max_film_minutes: float = Field(default=240.0, gt=0)
    fade: float = Field(default=0.0, ge=0.0, le=4.0)
    review_below_confidence: float = Field(default=0.5, ge=0.0, le=1.0)
    publish_directly: bool = False

    grey_jpeg: GreyJpegPolicy = "splice"
    write_master: bool = True
    write_access: bool = True
    write_sidecar: bool = False
    access_px: int = Field(default=0, ge=0)
    thumbnail_px: int = Field(default=0, ge=0)
    access_jpeg_quality: int = Field(default=90, ge=1, le=100)
    access_jpeg_subsampling: bool = True
    chroma_jpeg_quality: int = Field(default=90, ge=1, le=100)
    rights_statement: str = ""

    base_photos: Path | None = None
    finetune_folder: Path = Path("var/finetune")
    finetune_min_new: int = Field(default=20, ge=1)
    finetune_min_held_out: int = Field(default=12, ge=2)
    finetune_steps: int = Field(default=200, ge=1)
    finetune_minibatch: int = Field(default=12, ge=2, le=512)
    finetune_learning_rate: float = Field(default=1e-4, gt=0.0, le=0.1)
    finetune_encoder_rate: float = Field(default=0.3, ge=0.0, le=1.0)
    finetune_replay_photos: int = Field(default=1500, ge=8)
    finetune_judged_photos: int = Field(default=500, ge=20)
    finetune_approval: bool = False
    finetune_approval_hours: float = Field(default=72.0, gt=0.0)

    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: SecretStr | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_max_attempts: int = Field(default=5, ge=1, le=20)
    s3_timeout_s: float = Field(default=30.0, gt=0.0)
    s3_requester_pays: bool = False

    scratch: Path | None = None

    home: Path = Path("var/serve")
    host: str = "127.0.0.1"
    port: int = Field(default=4200, ge=1, le=65535)
    web_port: int = Field(default=4201, ge=1, le=65535)
    public_url: str = ""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    api_auth: SecretStr | None = None
    desk_agreement: int = Field(default=1, ge=1, le=2)
    desk_session_hours: float = Field(default=12.0, gt=0.0, le=720.0)
    desk_proxy_header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    desk_proxies: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "::1")
    desk_cache_mb: int = Field(default=2048, ge=64)
    desk_upload_mb: int = Field(default=64, ge=1, le=4096)
    prefect_database_url: SecretStr | None = None
    nightly_cron: str = ""
    timezone: str = ""
    notify_webhook_url: SecretStr | None = None
    notify_email_url: SecretStr | None = None

    @field_validator(
        "sources", "include", "exclude", "allowed_hosts", "desk_proxies", mode="before"
    )
    @classmethod
    def _split_at_semicolons(cls, value: object) -> object:
        return _parts_of(value) if isinstance(value, str) else value

    @field_validator("sources", "output", mode="before")
    @classmethod
    def _name_bytes(cls, value: object) -> object:
        # A path may hold bytes that are no text, as no string here may: its URI names it as well.
        if isinstance(value, tuple):
            return tuple(map(_as_text, value))
        return _as_text(value) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over variables, variables over the file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _something_is_written(self) -> Self:
        if not (self.write_master or self.write_access):
            raise ValueError("write_master and write_access are both false: nothing would be left")
        return self

    @model_validator(mode="after")
    def _auth_has_two_parts(self) -> Self:
        if self.api_auth is not None and not all(self.api_auth.get_secret_value().partition(":")):
            raise ValueError("api_auth must be a name and a password, as name:password")
        return self

    def as_environment(self) -> dict[str, str]:
        """The variables under which another process has these settings, whatever its folder.

        Secrets are among them in plain text: for the environment of a process, and nothing else.
        """
        return {
            f"AUTOCHROME_{name.upper()}": _as_variable(name, value)
            for name, value in self
            if value != type(self).model_fields[name].default or name in _PLACES
        }

    @property
    def cores(self) -> int:
        """How many cores the work is spread over."""
        if hasattr(os, "sched_getaffinity"):  # not on macOS
            return self.threads or len(os.sched_getaffinity(0))
        return self.threads or os.cpu_count() or 1

    @property
    def network_threads(self) -> int:
        """How many of them the network computes on, where there is no GPU.

        Pixels take most of the work and have a process for each core; more threads than
        this compete with them, and are slower (`deploy/decisions/0009-speed.md`).
        """
        return max(1, self.cores // 4)


#: Settings that may name a place on this machine, relative to the folder that a command runs in.
_PLACES = (
    "database_url", "sources", "output", "checkpoint", "scratch", "home", "base_photos",
    "finetune_folder",
)  # fmt: skip


def _as_text(place: str) -> str:
    if place.isprintable() or "://" in place:
        return place
    return absolute_path(place).as_uri()


def _as_variable(name: str, value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        return _joined([_absolute(part) if name in _PLACES else part for part in value])
    text = "" if value is None else str(value)
    return _absolute(text) if name in _PLACES else text


def _joined(parts: Sequence[str]) -> str:
    """Parts as `_parts_of` reads them again: those that hold what parts them, as JSON."""
    text = ";".join(parts)
    return text if _parts_of(text) == tuple(parts) else json.dumps(parts)


def _parts_of(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        with suppress(ValueError):
            parts = json.loads(text)
            if all(isinstance(part, str) for part in parts):
                return tuple(parts)
    return tuple(part.strip() for part in text.split(";") if part.strip())


def _absolute(place: str) -> str:
    scheme, separator, rest = place.partition(":///")
    if scheme == "sqlite" and separator and rest:
        return f"sqlite:///{Path(rest).absolute()}"
    if not place or "://" in place:
        return place
    return str(absolute_path(place))


def load_settings(**given: object) -> Settings:
    """Build the settings; what is *given* and not None wins over variables and file.

    Raises:
        UsageError: A setting is unknown or out of range; the message names it.
    """
    _refuse_unknown_variables()
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # pydantic checks
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        said = first["msg"].removeprefix("Value error, ")
        if not first["loc"]:  # of several settings, which it names
            raise UsageError(f"{said}; see deploy/env.example, or autochrome.toml") from error
        name = str(first["loc"][0])
        raise UsageError(
            f"setting {name}: {said}; see deploy/env.example for "
            f"AUTOCHROME_{name.upper()}, or autochrome.toml if it is set there"
        ) from error
    except (SettingsError, TOMLDecodeError) as error:
        raise UsageError(f"autochrome.toml cannot be read: {error}; mend or remove it") from error


def sources_of(settings: Settings) -> tuple[str, ...]:
    """The addresses that the nightly run reads.

    Raises:
        UsageError: None is set.
    """
    if not settings.sources:
        raise UsageError(
            "no source is set; name one in AUTOCHROME_SOURCES (s3://bucket/prefix, file:///folder)"
        )
    return settings.sources


def _refuse_unknown_variables() -> None:
    # A misspelt variable would be without effect, and nobody would notice.
    known = {f"AUTOCHROME_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith("AUTOCHROME_") and name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "deploy/env.example lists them all"
            raise UsageError(f"{name} is no setting; {hint}")


_current: ContextVar[Settings | None] = ContextVar("settings", default=None)


def current_settings() -> Settings:
    """The settings that a command has put in force, or else those of the environment.

    Raises:
        UsageError: A worker of Prefect's runs this, and a place is named relative to its folder.
    """
    in_force = _current.get()
    if in_force is not None:
        return in_force
    settings = load_settings()
    check_kept(
        {
            "DATABASE_URL": [settings.database_url.get_secret_value()],
            "SOURCES": settings.sources,
            "OUTPUT": [settings.output],
        }
    )
    return settings


def check_kept(places: Mapping[str, Sequence[str]]) -> None:
    """Refuse places, by the names of their settings, that would be gone when this run ends.

    Raises:
        UsageError: A worker of Prefect's runs this, and a place is named relative to its folder.
    """
    if "PREFECT__FLOW_RUN_ID" not in os.environ:
        return
    for name, named in places.items():
        if any(_is_relative(place) for place in named):
            raise UsageError(
                f"AUTOCHROME_{name} is not set, or relative: a worker runs each flow in a folder "
                "of its own that is removed afterwards; name an absolute path or a URL"
            )


def _is_relative(place: str) -> bool:
    if "://" not in place:
        return not place.startswith("~") and not Path(place).is_absolute()
    scheme, _, rest = place.partition(":///")
    return scheme == "sqlite" and not Path(rest).is_absolute()


@contextmanager
def settings_in_force(settings: Settings) -> Iterator[None]:
    """Let `current_settings` give *settings*, for flows that run in this process."""
    token = _current.set(settings)
    try:
        yield
    finally:
        _current.reset(token)
