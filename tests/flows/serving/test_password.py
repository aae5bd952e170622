"""There is always a password: the settings', or one that only its owner can read."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from flows.serving.environment import read_login, write_login, write_profile
from flows.serving.password import password_file, with_password
from flows.web.addresses import login_url
from tasks.errors import UsageError
from tasks.settings import Settings


def shown(settings: Settings) -> str:
    """Name and password."""
    assert settings.api_auth is not None
    return settings.api_auth.get_secret_value()


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The next command and the next start find the same; another home has another."""
    settings = Settings(home=tmp_path / "home")
    name, _, password = shown(with_password(settings)).partition(":")
    assert name == "autochrome"
    assert len(password) >= 32
    assert stat.S_IMODE(password_file(settings).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert shown(with_password(settings)) == f"{name}:{password}"
    assert shown(with_password(Settings(home=tmp_path / "other"))) != f"{name}:{password}"


def test_commands_that_begin_at_once_agree(tmp_path: Path) -> None:
    """The first one's stands, and nothing is left beside it."""
    settings = Settings(home=tmp_path)
    with ThreadPoolExecutor(8) as executor:
        made = set(executor.map(lambda _: shown(with_password(settings)), range(32)))
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


def test_the_settings_win(tmp_path: Path) -> None:
    """And no file is made."""
    settings = Settings(home=tmp_path / "home", api_auth=SecretStr("me:secret"))
    assert with_password(settings) == settings
    assert not (tmp_path / "home").exists()


def test_one_that_others_can_read_is_not_taken(tmp_path: Path) -> None:
    """Nor an empty one, nor a link."""
    file = password_file(Settings(home=tmp_path))
    file.write_text("known to all")
    file.chmod(0o644)
    with pytest.raises(UsageError, match="delete it"):
        with_password(Settings(home=tmp_path))
    file.chmod(0o600)
    file.write_text("")
    with pytest.raises(UsageError, match="delete it"):
        with_password(Settings(home=tmp_path))
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="AUTOCHROME_API_AUTH"):
        with_password(Settings(home=tmp_path))


def test_the_link_carries_any_password() -> None:
    """As a URL writes it."""
    settings = Settings(api_auth=SecretStr("a curator:p@ss/wörd:2"))
    url = "http://a%20curator:p%40ss%2Fw%C3%B6rd%3A2@127.0.0.1:4201/login"
    assert login_url(settings) == url


def test_the_link_is_kept_for_its_owner(tmp_path: Path) -> None:
    """As it was when `serve` started, whatever the next command is told of ports."""
    home = tmp_path / "home"
    with pytest.raises(UsageError, match="autochrome serve"):
        read_login(Settings(home=home))
    served = with_password(Settings(home=home, web_port=4711))
    write_login(served, login_url(served))
    assert read_login(Settings(home=home)) == login_url(served)
    assert stat.S_IMODE((home / "login").stat().st_mode) == 0o600


def test_prefect_commands_are_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the PREFECT_HOME that `serve` tells, whatever is in the password."""
    from prefect.settings import ProfilesCollection  # noqa: PLC0415  with the tests that need it
    from prefect.settings.profiles import _read_profiles_from  # noqa: PLC0415

    auth = 'me:a "quote", a \\ and an ö'
    settings = Settings(home=tmp_path, api_auth=SecretStr(auth))
    write_profile(settings)
    write_profile(settings)
    file = tmp_path / "prefect" / "profiles.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    profiles: ProfilesCollection = _read_profiles_from(file)
    profile = profiles.active_profile
    assert profile is not None
    found = {setting.name: str(value) for setting, value in profile.settings.items()}
    assert found == {
        "PREFECT_API_URL": "http://127.0.0.1:4200/api",
        "PREFECT_API_AUTH_STRING": auth,
    }
