"""`autochrome serve`: server, deployments, workers and metrics on one machine."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from flows.serving.environment import (
    client_environment,
    prefect_home,
    server_environment,
    worker_environment,
    write_login,
    write_profile,
)
from flows.serving.password import with_password
from flows.serving.processes import Child, Children
from flows.terminal import ExitCode, say
from flows.web.addresses import allowed_names, api_url, login_url, ui_url, web_url
from tasks.errors import RunAborted, UsageError
from tasks.ledger.migrate import upgrade
from tasks.ledger.opening import open_ledger
from tasks.settings import Settings, sources_of
from tasks.storage import check_apart, open_store

#: A server on a busy machine takes its time, the more so when it makes its database.
_SERVER_START_S = 300.0

#: Asking the server what is new costs it as much as a worker that asks for work.
_TELL_EVERY_S = 10.0

#: A child that ends so often within a minute will not do better the next time.
_MAX_ENDS = 3


@dataclass(frozen=True)
class ServeOptions:
    """What is no setting of the archive."""

    gpus: tuple[int, ...] = ()  #: to work on; none: on whatever the device setting says
    workers: int = 0  #: that colour, each a process; 0: one for each GPU, or one


def serve(settings: Settings, options: ServeOptions) -> ExitCode:
    """Start everything, watch it, and drain it at SIGINT or SIGTERM.

    Raises:
        UsageError: The settings cannot work: no source, a port in use.
        AutochromeError: Database, source or output cannot be used; the message says what to do.
    """
    _check(settings)
    settings = with_password(settings)
    home = settings.home.absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    stop = Stop()
    with ExitStack() as opened:
        opened.enter_context(_only_one(home))
        opened.enter_context(stop.listening())
        children = Children(home)
        if ended := children.end_leftovers():
            say(f"{ended} processes of an earlier `autochrome serve` were still there: ended")
        _check_port(settings.host, settings.port)
        upgrade(settings.database_url.get_secret_value())
        write_profile(settings)
        write_login(settings, login_url(settings))
        # Imported by Prefect's client below: the address must be there before.
        os.environ.update(client_environment(settings))
        # Their libraries, when they are needed.
        from flows.desk.app import desk_app  # noqa: PLC0415
        from flows.desk.desk import open_desk  # noqa: PLC0415
        from flows.web.server import WebServer  # noqa: PLC0415

        ledger = opened.enter_context(open_ledger(settings))
        desk = opened.enter_context(open_desk(settings, ledger))
        opened.enter_context(WebServer(settings, desk_app(desk)))
        try:
            return _run(settings, options, children, stop)
        finally:
            children.end_all(hurry=stop.hurry)


def _check(settings: Settings) -> None:
    """Refuse what cannot work, before anything is started."""
    for source in sources_of(settings):
        check_apart(source, settings.output)
        open_store(source, settings=settings)


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"port {port} on {host} cannot be used: {error.strerror}; end what uses it, or set "
                "AUTOCHROME_PORT to another"
            ) from error


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    lock, owner = FileLock(home / "serve.lock", blocking=False), home / "serve.pid"
    try:
        held = lock.acquire()
    except Timeout:
        raise UsageError(
            f"`autochrome serve` runs already on {home}, as process {owner.read_text()}; "
            "end that one, or set AUTOCHROME_HOME to another folder"
        ) from None
    with held:
        owner.write_text(str(os.getpid()))
        yield


class Stop:
    """The wish to end: once in order, twice at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.hurry = False

    @property
    def is_asked(self) -> bool:
        """Whether someone wants an end."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep, but not through the wish to end."""
        return self._asked.wait(seconds)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM; children then begin with the default handlers."""
        before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._asked.is_set():
            self.hurry = True
            return
        self._asked.set()
        say("stopping: what was begun is finished, the rest given back (again to stop at once)")


def _run(settings: Settings, options: ServeOptions, children: Children, stop: Stop) -> ExitCode:
    # Prefect reads its settings when it is imported, and they are there by now.
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    from flows.deploying import deploy  # noqa: PLC0415
    from flows.serving.draining import drain, resume  # noqa: PLC0415
    from flows.serving.watch import Watch, is_healthy  # noqa: PLC0415

    say(f"starting Prefect's server ({children.log_file('server')}) …")
    server = children.start("server", server_command(settings), server_environment(settings))
    began = time.monotonic()
    while not is_healthy(settings):
        if not server.is_alive:
            raise RunAborted(
                f"Prefect's server ended: {children.last_words('server')}; "
                f"{_server_remedy(settings)}"
            )
        if time.monotonic() - began > _SERVER_START_S:
            raise RunAborted(
                f"Prefect's server does not answer at {api_url(settings)} after "
                f"{_SERVER_START_S:.0f} s; look into {children.log_file('server')}"
            )
        if stop.wait(0.5):
            return ExitCode.CLEAN
    say("making work pools, deployments and automations …")
    deployed = asyncio.run(deploy(settings, again=False))
    if stop.is_asked:
        return ExitCode.CLEAN
    asyncio.run(resume(settings.home))
    workers = [
        children.start(name, command, environment)
        for name, command, environment in _workers(settings, options)
    ]
    say(f"\n  Prefect's UI   {ui_url(settings)}")
    say(f"  Log in by      {_way_in(settings)}")
    say(f"  Curators' desk {web_url(settings)}/")
    say(f"  Metrics        {web_url(settings)}/metrics")
    say(f"  Deployments    {', '.join(deployed.deployments)}")
    say(f"  Workers        {', '.join(worker.name for worker in workers)}")
    say("\nA night begins by its schedule, or now: `prefect deployment run nightly/nightly`, with")
    say(f"PREFECT_HOME={prefect_home(settings)}. Ctrl-C drains and stops everything.\n")
    with get_client(sync_client=True) as client:
        _supervise(children, [server, *workers], stop, tell=Watch(client).tell)
    if not stop.hurry:
        asyncio.run(drain(settings.home, is_hurried=lambda: stop.hurry))
    return ExitCode.ABORTED if stop.hurry else ExitCode.CLEAN


def _way_in(settings: Settings) -> str:
    """The link, for a person at the terminal; a log is told where to find it, and no secret."""
    if sys.stderr.isatty():
        return login_url(settings)
    return f"the link that `autochrome login --home {settings.home.absolute()}` prints"


def _supervise(
    children: Children, kept: list[Child], stop: Stop, *, tell: Callable[[], None]
) -> None:
    """Tell what is going on, and start again what ends by itself."""
    ends: dict[str, list[float]] = {}
    told_at = 0.0
    while not stop.wait(2.0):
        for number, child in enumerate(kept):
            if child.is_alive:
                continue
            now = time.monotonic()
            recent = [end for end in ends.get(child.name, ()) if now - end < 60.0]
            ends[child.name] = [*recent, now]
            last = children.last_words(child.name)
            if len(recent) >= _MAX_ENDS:
                raise RunAborted(
                    f"{child.name} ends again and again, last with: {last}; look into "
                    f"{children.log_file(child.name)}"
                )
            say(f"{child.name} ended unexpectedly ({last}) and is started again")
            kept[number] = children.restart(child)
        if time.monotonic() - told_at > _TELL_EVERY_S:
            tell()
            told_at = time.monotonic()


def server_command(settings: Settings) -> Sequence[str]:
    """How Prefect's server is started."""
    return [
        *(sys.executable, "-m", "flows.serving.prefect_server"),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--allow", ";".join(allowed_names(settings))),
    ]


def _server_remedy(settings: Settings) -> str:
    if settings.prefect_database_url is not None:
        return "check AUTOCHROME_PREFECT_DATABASE_URL, and that the database exists and answers"
    return f"look into its log, and for free space below {settings.home}"


def _workers(
    settings: Settings, options: ServeOptions
) -> Iterator[tuple[str, Sequence[str], dict[str, str]]]:
    """As many workers as are wanted, each on a GPU where there are some; and one without."""
    from flows.deploying.pools import GPU_POOL, LIGHT_POOL  # noqa: PLC0415  brings Prefect

    host = socket.gethostname()
    gpus = options.gpus or (None,)
    number = options.workers or len(gpus)
    if number > len(gpus) and not settings.threads:  # they share the cores
        settings = settings.model_copy(update={"threads": max(1, settings.cores // number)})
    for index in range(number):
        gpu = gpus[index % len(gpus)]
        name = "worker" if number == 1 else f"worker-{index + 1}"
        name += "" if gpu is None else f"-gpu{gpu}"
        yield (
            name,
            _worker_command(GPU_POOL, name=f"{host} {name}", limit=1),
            worker_environment(settings, gpu=gpu),
        )
    yield (
        "worker-light",
        _worker_command(LIGHT_POOL, name=f"{host} worker-light", limit=4),
        worker_environment(settings),
    )


def _worker_command(pool: str, *, name: str, limit: int) -> Sequence[str]:
    return [
        *(sys.executable, "-m", "flows.serving.worker"),
        *(sys.executable, "-m", "prefect", "worker", "start"),
        *("--pool", pool, "--name", name, "--limit", str(limit)),
    ]
