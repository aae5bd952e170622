"""The settings: read once, at the edge, from `AUTOCHROME_…` variables and `autochrome.toml`."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

GIBI = 1 << 30


class Settings(BaseSettings):
    """Everything that differs between a laptop and a cluster, and nothing else."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOCHROME_", toml_file="autochrome.toml", frozen=True, extra="forbid"
    )

    database_url: SecretStr = SecretStr("sqlite:///autochrome.db")
    source: str = ""
    output: str = "var/colour"
    collection: str = "default"

    checkpoint: Path | None = None
    device: str = "auto"
    minibatch: int = Field(default=16, ge=1, le=1024)
    threads: int = Field(default=0, ge=0, description="0: as many as there are cores")

    batch_items: int = Field(default=64, ge=1, le=256)
    lease_s: float = Field(default=300.0, ge=3.0)
    max_attempts: int = Field(default=3, ge=1, le=20)
    retry_base_s: float = Field(default=30.0, ge=0.0)
    retry_cap_s: float = Field(default=3600.0, ge=0.0)
    item_timeout_s: float = Field(default=600.0, gt=0.0)
    failure_budget: float = Field(default=0.10, gt=0.0, le=1.0)
    failure_budget_min_items: int = Field(default=50, ge=1)
    deadline_hours: float = Field(default=8.0, gt=0.0)

    max_pixels: int = Field(default=1_200_000_000, ge=1)
    review_below_confidence: float = Field(default=0.35, ge=0.0, le=1.0)
    publish_directly: bool = False
    access_jpeg_quality: int = Field(default=90, ge=1, le=100)
    chroma_jpeg_quality: int = Field(default=90, ge=1, le=100)
    splice_luma: bool = True
    rights_statement: str = ""

    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: SecretStr | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_max_attempts: int = Field(default=5, ge=1, le=20)
    s3_timeout_s: float = Field(default=30.0, gt=0.0)

    scratch: Path | None = None

    @field_validator("source", "output")
    @classmethod
    def _no_blank_ends(cls, value: str) -> str:
        return value.strip()

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
