"""`autochrome desk`: the curators' pages in the browser, and who may use them."""

from __future__ import annotations

import getpass
import signal
import sys
import threading
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.decisions import word_of
from flows.cli.opening import ledger_at
from flows.terminal import print_json, say, stdout
from tasks.errors import UsageError

app = typer.Typer(
    name="desk",
    help="The curators' pages in the browser, and who may use them.",
    invoke_without_command=True,
)
user = typer.Typer(name="user", help="Who may use the desk.", no_args_is_help=True)
app.add_typer(user)

_ROLE_HELP = (
    "look: see what is not held. decide: approve, reject, hold, correct, teach. "
    "run: all of it, what is held too."
)


@app.callback()
def desk(
    context: typer.Context,
    out: options.Output = None,
    database: options.Database = None,
    host: Annotated[str | None, typer.Option(help="Address to serve at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to serve at.  [default: 4201]")] = None,
) -> None:
    """Open the curators' pages over a ledger and an output, until Ctrl-C.

    `autochrome serve` has them at its web port. On this machine a link lets you in, as there;
    elsewhere each person has a name and a password (`autochrome desk user add`).
    """
    if context.invoked_subcommand is not None:
        return
    from flows.desk.app import desk_app
    from flows.desk.desk import open_desk
    from flows.serving.environment import write_login
    from flows.serving.password import with_password
    from flows.web.addresses import desk_login_url
    from flows.web.guard import LOOPBACK
    from flows.web.server import WebServer
    from tasks.ledger.opening import open_ledger
    from tasks.ledger.people import list_people
    from tasks.settings import load_settings

    settings = with_password(
        load_settings(database_url=database, output=out, host=host, web_port=port)
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with (
        open_ledger(settings) as ledger,
        open_desk(settings, ledger) as opened,
        WebServer(settings, desk_app(opened)) as web,
    ):
        if settings.host in LOOPBACK:
            link = desk_login_url(settings)
            write_login(settings, link)
            shown = link if sys.stderr.isatty() else "the one that `autochrome login` prints"
            say(f"the desk is open at {web.url}/; this link has the password: {shown}")
        else:
            say(f"the desk is open at {web.url}/ for whom `autochrome desk user list` shows")
            if not list_people(ledger):
                say("nobody may use it yet; `autochrome desk user add NAME` lets somebody in")
        say("Ctrl-C ends this")
        stop.wait()


@user.command()
def add(
    name: Annotated[str, typer.Argument(help="As decisions record it.")],
    role: Annotated[str, typer.Option(help=_ROLE_HELP)] = "decide",
    by_proxy: Annotated[
        bool,
        typer.Option("--by-proxy", help="Without a password: a proxy in front asks for that."),
    ] = False,
    database: options.Database = None,
) -> None:
    """Let a person use the desk, or give one another role and password.

    The password is asked for, or read from stdin: a line. Whoever is signed in is signed out.
    """
    from tasks.ledger.people import Role, add_person

    chosen = word_of(Role, "role", role)
    with ledger_at(database) as ledger:
        password = None if by_proxy else _ask_password(name)
        add_person(ledger, name, chosen, password=password)
    stdout.print(f"{name} may use the desk, with the role {chosen}")


@user.command("list")
def list_users(database: options.Database = None, as_json: options.AsJson = False) -> None:
    """Print who may use the desk."""
    from tasks.ledger.people import list_people

    with ledger_at(database) as ledger:
        people = list_people(ledger)
    if as_json:
        print_json([asdict(one) for one in people])
        return
    for one in people:
        way = "" if one.has_password else ", by a proxy's word"
        stdout.print(f"{one.name}: {one.role}{way}, since {one.added_at:%Y-%m-%d}")


@user.command()
def remove(
    name: Annotated[str, typer.Argument(help="Who may use it no more.")],
    database: options.Database = None,
) -> None:
    """Let a person use the desk no more, at once. What was decided stays."""
    from tasks.ledger.people import remove_person

    with ledger_at(database) as ledger:
        remove_person(ledger, name)
    stdout.print(f"{name} may use the desk no more")


def _ask_password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("Once more: ") != first:
        raise UsageError("the two are not the same; nothing was changed")
    return first
