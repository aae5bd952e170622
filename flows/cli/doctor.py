"""`autochrome doctor`: what stands in the way of a run, a line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import options
from flows.terminal import ExitCode, print_json, stdout
from tasks.errors import UsageError

if TYPE_CHECKING:
    from tasks.diagnosis import Finding

app = typer.Typer()


@app.command(rich_help_panel=options.OPERATE)
def doctor(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="s3://bucket/prefix, file:///folder or a path.  [default: those of the settings]",
            show_default=False,
        ),
    ] = None,
    out: options.Output = None,
    database: options.Database = None,
    checkpoint: options.CheckpointFile = None,
    device: options.Device = None,
    as_json: options.AsJson = False,
) -> None:
    """Look at all that a run needs: database, stores, clocks, disks, GPU, Prefect, checkpoint.

    Nothing is deleted, and no scan touched. Exit code 0: all is well. 3: something should be looked
    at. 1: a run would stop, or not begin.
    """
    from tasks.diagnosis import Finding, State, diagnose
    from tasks.settings import load_settings

    def look() -> Iterator[Finding]:
        try:
            settings = load_settings(
                sources=tuple(sources) if sources else None,
                output=out,
                database_url=database,
                checkpoint=checkpoint,
                device=device,
            )
        except UsageError as error:
            yield Finding("settings", State.PROBLEM, str(error))
        else:
            yield from diagnose(settings)
        yield from _prefect()

    found = []
    for finding in look():
        found.append(finding)
        if not as_json:
            stdout.print(f"{finding.state:<8} {finding.subject:<10} {finding.detail}")
    if as_json:
        print_json([asdict(finding) for finding in found])
    states = {finding.state for finding in found}
    if State.PROBLEM in states:
        raise typer.Exit(ExitCode.ABORTED)
    if State.WARNING in states:
        raise typer.Exit(ExitCode.FINISHED_WITH_FAULTS)


def _prefect() -> Iterator[Finding]:
    """The server that Prefect is set up for answers, lets us in, and knows what is to run."""
    from importlib.metadata import version

    import httpx
    from prefect.settings import get_current_settings

    from tasks.diagnosis import Finding, State

    api = get_current_settings().api
    if not api.url:
        said = "no server is named (PREFECT_API_URL): commands work in their own process"
        yield Finding("prefect", State.OK, said)
        return
    auth = api.auth_string.get_secret_value() if api.auth_string else ""
    try:
        with httpx.Client(
            base_url=f"{api.url.rstrip('/')}/",
            auth=tuple(auth.split(":", 1)) if ":" in auth else None,  # type: ignore[arg-type]  # two
            headers={"Authorization": f"Bearer {api.key.get_secret_value()}"} if api.key else {},
            timeout=10,
        ) as client:
            server = client.get("admin/version").raise_for_status().json()
            deployed = client.post("deployments/count", json={}).raise_for_status().json()
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        what = "set PREFECT_API_AUTH_STRING" if code in {401, 403} else "see the server's log"
        yield Finding("prefect", State.PROBLEM, f"{api.url} answers {code}; {what}")
        return
    except (httpx.TransportError, ValueError) as error:
        said = f"{api.url} does not answer ({error}); start the server, or unset PREFECT_API_URL"
        yield Finding("prefect", State.PROBLEM, said)
        return
    here = version("prefect")
    if server.split(".")[:2] != here.split(".")[:2]:
        said = f"{api.url} is Prefect {server}, and here is {here}; install the same on both"
        yield Finding("prefect", State.WARNING, said)
    elif not deployed:
        said = f"{api.url} has no deployments; `autochrome deploy` makes them"
        yield Finding("prefect", State.WARNING, said)
    else:
        yield Finding("prefect", State.OK, f"{api.url}, Prefect {server}, {deployed} deployments")
