"""Settings reach the workers whole, whatever their folder; passwords are where they belong."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from flows.serving.environment import client_environment, server_environment, worker_environment
from flows.web.addresses import allowed_names, api_url
from tasks.errors import UsageError
from tasks.settings import Settings


def test_settings_come_back_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every one, and places as absolute paths: a flow run begins in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        database_url=SecretStr("sqlite:///here.db"),
        sources=("scans", "s3://bucket/more"),
        output="colour",
        checkpoint=Path("net.safetensors"),
        base_photos=Path("photos"),
        publish_directly=True,
        s3_secret_access_key=SecretStr("hush"),
        minibatch=3,
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    again = Settings()
    assert again.database_url.get_secret_value() == f"sqlite:///{tmp_path / 'here.db'}"
    assert again.sources == (str(tmp_path / "scans"), "s3://bucket/more")
    assert again.output == str(tmp_path / "colour")
    assert again.checkpoint == tmp_path / "net.safetensors"
    assert again.base_photos == tmp_path / "photos"
    assert again.finetune_folder == tmp_path / settings.finetune_folder
    kept = ("publish_directly", "s3_secret_access_key", "minibatch", "device", "timezone")
    assert all(getattr(again, name) == getattr(settings, name) for name in kept)


def test_a_worker_of_a_gpu_sees_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing of another Prefect server that the shell knows of."""
    monkeypatch.setenv("PREFECT_API_KEY", "of another")
    environment = worker_environment(Settings(), gpu=2)
    assert environment["CUDA_VISIBLE_DEVICES"] == "2"
    assert environment["AUTOCHROME_DEVICE"] == "cuda"
    assert "PREFECT_API_KEY" not in environment
    assert environment["AUTOCHROME_PUBLIC_URL"] == "http://127.0.0.1:4201/files"
    assert "CUDA_VISIBLE_DEVICES" not in set(worker_environment(Settings())) - set(environment)


def test_the_server_asks_for_what_the_clients_show() -> None:
    """The password; and nothing is told to anyone outside."""
    settings = Settings(
        api_auth=SecretStr("me:secret"),
        host="0.0.0.0",  # noqa: S104  nothing is bound
        prefect_database_url=SecretStr("postgresql://u:p@db/prefect"),
    )
    server, client = server_environment(settings), client_environment(settings)
    assert server["PREFECT_SERVER_API_AUTH_STRING"] == client["PREFECT_API_AUTH_STRING"]
    assert server["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    url = server["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert url == "postgresql+asyncpg://u:p@db/prefect"
    assert api_url(settings) == "http://127.0.0.1:4200/api"
    assert not {name for name in server if name.startswith("AUTOCHROME_")}


@pytest.mark.parametrize("name", ["x:8o", "https://", "me@scans.example.org"])
def test_what_is_no_name_is_refused_at_the_start(name: str) -> None:
    """By the setting's name."""
    with pytest.raises(UsageError, match=r"AUTOCHROME_ALLOWED_HOSTS: .* is no name of a server"):
        allowed_names(Settings(allowed_hosts=("scans.example.org", name)))


def test_pages_at_the_public_url_are_ours_where_its_name_is() -> None:
    """And not those of a bucket, or of a network that hands files out."""
    ours, bucket = "https://scans.example.org:8443/files", "https://bucket.example.com/files"
    for url, pages in ((ours, {ours}), (bucket, set()), ("", set()), ("file:///colour", set())):
        settings = Settings(allowed_hosts=("scans.example.org", "2001:db8::5"), public_url=url)
        assert set(allowed_names(settings)) == {*settings.allowed_hosts, *pages}
