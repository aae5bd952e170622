"""Settings: defaults, precedence, errors, and the document that lists them."""

import json
import re
from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.settings import (
    Settings,
    check_kept,
    current_settings,
    load_settings,
    settings_in_force,
)

ENV_EXAMPLE = Path(__file__).parents[2] / "deploy" / "env.example"


def _documented() -> dict[str, str]:
    pairs = re.findall(r"^AUTOCHROME_(\w+)=(.*)$", ENV_EXAMPLE.read_text(), re.MULTILINE)
    return {name.lower(): value for name, value in pairs}


def test_every_setting_is_documented_and_no_other() -> None:
    """`deploy/env.example` and the class name the same settings."""
    assert set(_documented()) == set(Settings.model_fields)


def test_a_worker_is_told_absolute_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Prefect runs each flow in a folder that it removes: nothing may be written into it."""
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "some run")
    with pytest.raises(UsageError, match="AUTOCHROME_DATABASE_URL"):
        current_settings()
    monkeypatch.setenv("AUTOCHROME_DATABASE_URL", f"sqlite:///{tmp_path}/ledger.db")
    with pytest.raises(UsageError, match="AUTOCHROME_OUTPUT"):
        current_settings()
    monkeypatch.setenv("AUTOCHROME_OUTPUT", str(tmp_path))
    monkeypatch.setenv("AUTOCHROME_SOURCES", "s3://bucket/scans;scans")
    with pytest.raises(UsageError, match="AUTOCHROME_SOURCES"):
        current_settings()
    monkeypatch.setenv("AUTOCHROME_SOURCES", f"s3://bucket/scans;{tmp_path}/")
    assert current_settings().output == str(tmp_path)
    with pytest.raises(UsageError, match="AUTOCHROME_FINETUNE_FOLDER"):
        check_kept({"FINETUNE_FOLDER": [str(current_settings().finetune_folder)]})
    check_kept({"FINETUNE_FOLDER": [str(tmp_path)]})


def test_documented_defaults_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying the whole file changes nothing."""
    plain = Settings()
    for name, value in _documented().items():
        monkeypatch.setenv(f"AUTOCHROME_{name.upper()}", value)
    assert Settings() == plain


def test_variables_win_over_the_file_and_arguments_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearer source decides."""
    monkeypatch.chdir(tmp_path)
    Path("autochrome.toml").write_text("minibatch = 2\nbatch_items = 3\nmax_attempts = 4\n")
    monkeypatch.setenv("AUTOCHROME_BATCH_ITEMS", "30")
    monkeypatch.setenv("AUTOCHROME_MAX_ATTEMPTS", "5")
    settings = load_settings(max_attempts=6)
    assert (settings.minibatch, settings.batch_items, settings.max_attempts) == (2, 30, 6)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("AUTOCHROME_MINIBATCH", "none", "minibatch"),
        ("AUTOCHROME_FAILURE_BUDGET", "7", "failure_budget"),
        ("AUTOCHROME_RETRY_BASE_S", "-1", "retry_base_s"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """No pydantic report of several lines reaches the person."""
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=words) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_misspelt_setting_in_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that nothing reads would be silently without effect."""
    monkeypatch.chdir(tmp_path)
    Path("autochrome.toml").write_text("minibach = 2\n")
    with pytest.raises(UsageError, match="minibach"):
        load_settings()


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest setting is named."""
    monkeypatch.setenv("AUTOCHROME_MINIBACH", "2")
    with pytest.raises(UsageError, match="did you mean AUTOCHROME_MINIBATCH"):
        load_settings()


def test_flows_see_the_settings_that_a_command_put_in_force() -> None:
    """Within the block, and only there."""
    with settings_in_force(Settings(minibatch=3)):
        assert current_settings().minibatch == 3
    assert current_settings() == Settings()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings shows no password."""
    monkeypatch.setenv("AUTOCHROME_DATABASE_URL", "postgresql://me:hunter2@db/ledger")
    monkeypatch.setenv("AUTOCHROME_S3_SECRET_ACCESS_KEY", "hunter2")
    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(("threads", "network"), [(1, 1), (2, 1), (8, 2), (64, 16)])
def test_the_network_takes_a_quarter_of_the_cores(threads: int, network: int) -> None:
    """Pixels have a process for each of them."""
    settings = Settings(threads=threads)
    assert (settings.cores, settings.network_threads) == (threads, network)


@pytest.mark.parametrize(
    "patterns",
    [
        ("*.tif", "!notes/*.jpg"),
        ("a;b.tif", "c.tif"),
        (" kept.tif", r"trailing\ "),
        ("[0-9]*.tif", "[ab].jpg"),
        ("[1]",),
        ('["a"]',),
        ("", "*.tif"),
        ("é\n;.tif",),
    ],
)
def test_patterns_reach_a_worker_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, patterns: tuple[str, ...]
) -> None:
    """Also those that hold what parts them in a variable; a file may have them as a list."""
    source = "file:///scans;of/1931"
    file = f"exclude = {json.dumps(patterns)}\nsources = [{json.dumps(source)}]\n"
    (tmp_path / "autochrome.toml").write_text(file)
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert (settings.exclude, settings.sources) == (patterns, (source,))
    variables = settings.as_environment()
    (tmp_path / "autochrome.toml").unlink()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    again = load_settings()
    assert (again.exclude, again.sources) == (patterns, (source,))
