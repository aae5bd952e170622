"""`autochrome deploy`: the deployments, onto a server that is there."""

import asyncio
from collections.abc import Sequence

import httpx
from prefect.settings import get_current_settings

from flows.cli.talk import ExitCode, say, stdout
from flows.deploying import deploy as deploy_to_server
from tasks.errors import RunAborted, UsageError
from tasks.settings import Settings


def deploy(settings: Settings) -> ExitCode:
    """Put work pools, deployments and automations onto the server that Prefect is set up for."""
    api_url = get_current_settings().api.url
    if not api_url:
        raise UsageError(
            "which server? Set PREFECT_API_URL, such as http://127.0.0.1:4200/api, and "
            "PREFECT_API_AUTH_STRING if it has a password"
        )
    try:
        deployed = asyncio.run(deploy_to_server(settings))
    except httpx.TransportError as error:
        raise RunAborted(
            f"Prefect's server at {api_url} does not answer ({error}); start it, or set "
            "PREFECT_API_URL to where it is"
        ) from error
    _print("deployments", deployed.deployments)
    _print("automations", deployed.automations)
    say("start workers with `prefect worker start --pool autochrome-gpu --limit 1` and the like")
    return ExitCode.CLEAN


def _print(heading: str, names: Sequence[str]) -> None:
    for name in names:
        stdout.print(f"{heading}: {name}")
