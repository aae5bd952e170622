"""The deployments as `deploy/prefect.yaml` defines them, and how they get onto a server."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate

from tasks.errors import RunAborted
from tasks.settings import Settings

#: Where the server remembers which definitions it was given last.
_VARIABLE = "autochrome_deployments"


def definitions_file() -> Path:
    """The definitions of this checkout, or of the installed wheel."""
    here = Path(__file__).parent
    installed = here / "prefect.yaml"
    return installed if installed.is_file() else here.parents[1] / "deploy" / "prefect.yaml"


def definitions(settings: Settings) -> dict[str, Any]:
    """The deployments' definitions, with the schedule that the settings ask for."""
    found: dict[str, Any] = yaml.safe_load(definitions_file().read_text())
    for deployment in found["deployments"]:
        for schedule in deployment.get("schedules", ()):
            if settings.timezone and "timezone" in schedule:
                schedule["timezone"] = settings.timezone
            if settings.nightly_cron and deployment["name"] == "nightly":
                schedule["cron"] = settings.nightly_cron
    return found


def names(found: Mapping[str, Any]) -> list[str]:
    """The deployments' full names, flow/deployment."""
    return [f"{one['entrypoint'].rpartition('.')[2]}/{one['name']}" for one in found["deployments"]]


async def apply_definitions(client: PrefectClient, settings: Settings, *, again: bool) -> list[str]:
    """Deploy what the definitions say; what was deployed from the same ones is left alone.

    So a schedule that someone changed in the UI stays changed until the definitions change.

    Args:
        client: Of the server.
        settings: May set the schedule.
        again: Deploy even if nothing has changed.

    Returns:
        The deployments' full names.

    Raises:
        RunAborted: Prefect refused them.
    """
    found = definitions(settings)
    digest = hashlib.sha256(f"{version('autochrome')} {found}".encode()).hexdigest()
    known = await client.read_variable_by_name(_VARIABLE)
    if again or known is None or known.value != digest:
        _run_prefect_deploy(found)
        if known is None:
            await client.create_variable(VariableCreate(name=_VARIABLE, value=digest))
        else:
            await client.update_variable(VariableUpdate(name=_VARIABLE, value=digest))
    return names(found)


def _run_prefect_deploy(found: Mapping[str, Any]) -> None:
    """Let Prefect's own command do it: the same that an engineer would type."""
    with tempfile.TemporaryDirectory(prefix="autochrome-") as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(yaml.safe_dump(dict(found), sort_keys=False))
        done = subprocess.run(  # noqa: S603  our own interpreter and file
            [
                *(sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"),
                *("--prefect-file", str(path)),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RunAborted(
            f"the deployments were refused: {' '.join(last)}; to see all that Prefect says, run "
            f"`prefect --no-prompt deploy --all --prefect-file {definitions_file()}`"
        )
