"""Where the servers of an archive are: for this machine, for browsers, and under which names."""

import socket
from urllib.parse import quote

from flows.web.guard import ANY_ADDRESS, Address, is_name, known_address
from tasks.errors import UsageError
from tasks.settings import Settings


def api_url(settings: Settings) -> str:
    """The API, as this machine reaches it."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what is bound to, read only
    return f"{_base(own.get(settings.host, settings.host), settings.port)}/api"


def ui_url(settings: Settings) -> str:
    """The UI, as people's browsers find it."""
    return _base(_public_host(settings), settings.port)


def web_url(settings: Settings) -> str:
    """Metrics and the output."""
    return _base(_public_host(settings), settings.web_port)


def login_url(settings: Settings) -> str:
    """A link that logs a browser in, to metrics and reports and then to the UI. It is a secret."""
    return _with_password(settings, "/login")


def desk_login_url(settings: Settings) -> str:
    """A link that logs a browser in to the curators' desk on this machine. It is a secret."""
    return _with_password(settings, "/enter")


def _with_password(settings: Settings, path: str) -> str:
    auth = settings.api_auth.get_secret_value() if settings.api_auth else ""
    user = ":".join(quote(part, safe="") for part in auth.split(":", 1))
    return f"{web_url(settings).replace('://', f'://{user}@', 1)}{path}"


def allowed_names(settings: Settings) -> tuple[str, ...]:
    """The names under which browsers and workers may ask the servers, and URLs of their pages.

    Raises:
        UsageError: One that the settings have is no name.
    """
    names = {_known("allowed_hosts", name).name for name in settings.allowed_hosts}
    own = (socket.gethostname(), socket.getfqdn()) if settings.host in ANY_ADDRESS else ()
    names_of_machine = tuple(name for name in own if is_name(name))
    # The output's URL may be another's, such as a bucket's: then its pages are not ours.
    url = settings.public_url
    is_web = url.startswith(("http://", "https://"))
    pages = (url,) if is_web and _known("public_url", url).name in names else ()
    return (*names_of_machine, *settings.allowed_hosts, *pages)


def _known(setting: str, name: str) -> Address:
    try:
        return known_address(name)
    except ValueError as error:
        raise UsageError(f"AUTOCHROME_{setting.upper()}: {error}") from error


def _public_host(settings: Settings) -> str:
    return socket.getfqdn() if settings.host in ANY_ADDRESS else settings.host


def _base(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
