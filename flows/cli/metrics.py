"""`autochrome metrics`: figures for Prometheus."""

import signal
import threading

from flows.cli.talk import ExitCode, say, write_data
from flows.serving.password import NAME, password_file, with_password
from flows.serving.web import WebServer
from tasks.errors import DatabaseUnavailable
from tasks.ledger.opening import open_ledger
from tasks.report.metrics import exposition
from tasks.settings import Settings


def once(settings: Settings) -> ExitCode:
    """Print the figures, for the node exporter's textfile collector."""
    with open_ledger(settings) as ledger:
        text = exposition(ledger)
    if b"autochrome_ledger_up 1" not in text:
        raise DatabaseUnavailable("the ledger's database does not answer; nothing is printed")
    write_data(text)
    return ExitCode.CLEAN


def serve_metrics(settings: Settings) -> ExitCode:
    """Serve the figures, and nothing else, until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    locked = with_password(settings)
    with open_ledger(locked) as ledger, WebServer(locked, ledger, files=False) as web:
        say(f"metrics at {web.url}/metrics; Ctrl-C ends this")
        if settings.api_auth is None:
            say(f"the name is {NAME}, the password in {password_file(settings)}")
        stop.wait()
    return ExitCode.CLEAN
